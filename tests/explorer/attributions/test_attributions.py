"""Every method equals its definition by PyTorch's autograd, and Captum where that is right."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg.errors import ShapeError, UnsupportedError, UsageError
from npvgg.explorer.attributions import METHODS, slopes
from npvgg.explorer.attributions.gradcam import gradcam
from npvgg.explorer.attributions.occlusion import occlusion
from npvgg.explorer.attributions.relevance import RULES, relevance
from npvgg.explorer.folding import folded
from npvgg.explorer.resampling import upsampled
from npvgg.explorer.targets import target_of
from npvgg.gap import relative_gap
from npvgg.runner import Runner

torch = pytest.importorskip("torch")
from witnesses import attributions as witness  # noqa: E402

NETWORKS = {
    "plain": ("vgg11", {"head": "avg2 flatten 12 relu drop 4"}),
    "batch norm": ("vgg11_bn", {"head": "flatten 9 bn relu 4", "pooling": "avg"}),
    "response norm": ("a_lrn", {"head": "max1 flatten 4", "bias": False}),
}
PRECISIONS = {"float64": (1e-10, {"dtype": "float64", "tier": "reference"}), "float32": (1e-4, {})}


@pytest.fixture(params=[(kind, precision) for kind in NETWORKS for precision in PRECISIONS], ids=lambda pair: " ".join(pair))
def case(request):
    """A network, a picture, a class and how near a method has to come."""
    kind, precision = request.param
    bound, options = PRECISIONS[precision]
    name, fields = NETWORKS[kind]
    vgg = lively(name, width=1 / 16, input_size=64, **fields).using(**options)
    x = vgg.prepare(photograph(1))
    target = target_of(vgg, 2, x.shape[2:])
    return SimpleNamespace(vgg=vgg, x=x, target=target, bound=bound, layer=target.layer)


def near(found, expected, bound):
    assert relative_gap(found, expected) <= bound


def test_gradients_and_their_relu_rules(case):
    plain, guided, deconvolved = (witness.gradient(case.vgg, case.x, case.layer, (2,), relu) for relu in (
        torch.relu, witness.GuidedReLU.apply, witness.DeconvolvedReLU.apply))
    near(slopes.saliency(case.vgg, case.x, case.target), abs(plain), case.bound)
    near(slopes.input_times_gradient(case.vgg, case.x, case.target), plain * case.x, case.bound)
    near(slopes.guided(case.vgg, case.x, case.target), guided, case.bound)
    near(slopes.deconvolution(case.vgg, case.x, case.target), deconvolved, case.bound)


def test_smoothgrad_is_the_mean_gradient_of_these_pictures(case):
    noise = np.random.default_rng(1).standard_normal((3, *case.x.shape[1:])).astype(case.x.dtype)
    expected = np.mean([witness.gradient(case.vgg, case.x + each, case.layer, (2,)) for each in noise], 0)
    near(slopes.smoothgrad(case.vgg, case.x, case.target, noise=noise), expected, case.bound)


def test_gradcam_weighs_the_maps_by_their_mean_gradients(case):
    g = witness.gradient(case.vgg, case.x, case.layer, (2,), of="relu5_2")
    maps = case.vgg.forward(case.x, "relu5_2").astype(float)
    expected = (maps * g.mean((2, 3), keepdims=True)).sum(1)
    near(gradcam(case.vgg, case.x, case.target, relu=False), expected, case.bound)
    near(gradcam(case.vgg, case.x, case.target), np.maximum(expected, 0), case.bound)


@pytest.mark.parametrize("rule", RULES)
def test_relevance(case, rule):
    near(relevance(case.vgg, case.x, case.target, rule=rule), witness.relevance(case.vgg, case.x, (2,), rule), case.bound)


def test_integrated_gradients_are_complete(case):
    found, gap, steps = slopes.integrated_gradients(case.vgg, case.x, case.target, steps=8, most=8)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    expected = sum(weight / 2 * witness.gradient(case.vgg, (1 + node) / 2 * case.x.astype(float), case.layer, (2,))
                   for node, weight in zip(nodes, weights)) * case.x
    if case.bound < 1e-5:                                        # in float32 another side of a ReLU's kink may be met
        near(found, expected, case.bound)
    ends = slopes.value(case.vgg, np.concatenate([case.x, 0 * case.x]), case.target)
    assert steps == 8 and gap == pytest.approx(found.sum(dtype=float) - (ends[0] - ends[1]), abs=1e-4)
    _, finer, many = slopes.integrated_gradients(case.vgg, case.x, case.target, steps=4, most=16)
    assert abs(finer) <= slopes.COMPLETE * abs(ends[0] - ends[1]) or many == 16


def test_occlusion_is_the_loop_over_windows():
    vgg = lively("vgg11", width=1 / 16, input_size=32, head="flatten 4")
    x = vgg.prepare(photograph(1))
    target = target_of(vgg, 2, (32, 32))
    total, count = np.zeros((32, 32)), np.zeros((32, 32))
    for top in range(0, 32, 5):
        for left in range(0, 32, 5):
            if (top - 5 + 9 < 32) and (left - 5 + 9 < 32):         # the one before does not reach the end yet
                window, covered = np.s_[top:top + 9, left:left + 9], x.copy()
                covered[0, :, *window] = 0.5
                total[window] += float(vgg.forward(x)[0, 2]) - float(vgg.forward(covered)[0, 2])
                count[window] += 1
    near(occlusion(vgg, x, target, window=9, stride=5, baseline=0.5)[0], total / count, 1e-5)


def test_captum_agrees_where_it_is_right():
    captum = pytest.importorskip("captum.attr")
    vgg = lively("vgg11", width=1 / 16, input_size=64, head="avg2 flatten 12 relu 4").using(dtype="float64", tier="reference")
    x = vgg.prepare(photograph(1))
    target, model = target_of(vgg, 2, (64, 64)), torch.nn.Sequential(*witness.twin_of(vgg).steps.values()).eval()
    tensor, position = torch.tensor(x), {layer.name: at for at, layer in enumerate(vgg.architecture.layers)}

    def by(method, *arguments, **options):
        return method(model, *arguments).attribute(tensor.clone().requires_grad_(), target=2, **options).detach().numpy()

    near(slopes.saliency(vgg, x, target), by(captum.Saliency), 1e-10)
    near(slopes.guided(vgg, x, target), by(captum.GuidedBackprop), 1e-10)
    near(slopes.deconvolution(vgg, x, target), by(captum.Deconvolution), 1e-10)
    near(gradcam(vgg, x, target, relu=False), by(captum.LayerGradCam, model[position["relu5_2"]])[:, 0], 1e-10)
    covered = by(captum.Occlusion, sliding_window_shapes=(3, 20, 20), strides=(3, 11, 11))[:, 0]
    near(occlusion(vgg, x, target, window=20, stride=11), covered, 1e-6)         # which it adds up in float32
    found, _, _ = slopes.integrated_gradients(vgg, x, target, steps=10, most=10)
    near(found, by(captum.IntegratedGradients, n_steps=10), 1e-5)                # its steps are rounded to float32
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    model[position["flatten"]].rule = rules.EpsilonRule()                        # it has none for this module
    near(relevance(vgg, x, target, rule="epsilon", epsilon=1e-9), by(captum.LRP), 1e-5)      # its pools divide by z + ε too


def test_relevance_without_biases_is_kept_and_is_the_picture_times_the_gradient():
    vgg = lively("vgg11", width=1 / 16, input_size=64, head="avg1", bias=False).using(dtype="float64", tier="reference")
    x = vgg.prepare(photograph(1))
    target = target_of(vgg, "avgpool:3", (64, 64))
    found = relevance(vgg, x, target, rule="epsilon", epsilon=0)
    near(found, slopes.input_times_gradient(vgg, x, target), 1e-9)
    assert found.sum() == pytest.approx(slopes.value(vgg, x, target)[0])


@pytest.mark.parametrize("words, index", [("conv3_1:3,2,5", (3, 2, 5)), ("conv3_1:3", (3,)), (("fc6", 4), (4,))], ids=str)
def test_any_unit_can_be_explained(words, index):
    vgg = lively("vgg11", width=1 / 16, input_size=64, head="flatten 9 relu 4").using(dtype="float64", tier="reference")
    x = vgg.prepare(photograph(1))
    target = target_of(vgg, words, (64, 64))
    output = vgg.forward(x, target.layer)
    assert slopes.value(vgg, x, target)[0] == pytest.approx(output[0][index].mean())
    expected = witness.gradient(vgg, x, target.layer, index) / output[0][index].size
    near(slopes.gradient(vgg, x, target), expected, 1e-10)


def test_folding_keeps_every_number():
    vgg = lively("vgg13_bn", width=1 / 16, input_size=32, head="flatten 9 bn0.01 relu drop 4", bias=False)
    vgg = vgg.using(dtype="float64", tier="reference")
    net, parameters = folded(vgg.architecture, vgg.parameters)
    assert not any("norm" in layer.op for layer in net.layers)
    x = vgg.prepare(photograph(1))
    near(Runner(net, parameters, vgg.options).forward(x), vgg.forward(x), 1e-12)
    with pytest.raises(UnsupportedError, match="bn5 of this vgg11 follows pool5"):
        folded(lively("vgg11", width=1 / 16, head="bn flatten 3", input_size=32).architecture, {})


@pytest.mark.parametrize("small, large", [((4, 7), (19, 30)), ((1, 3), (5, 5)), ((6, 6), (4, 3))], ids=str)
def test_coarse_maps_are_enlarged_as_by_pytorch(small, large):
    maps = np.random.default_rng(0).standard_normal((2, *small))
    expected = torch.nn.functional.interpolate(torch.tensor(maps)[None], size=large, mode="bilinear", align_corners=False)[0]
    assert upsampled(maps, large) == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_attribute_gives_a_map_in_the_size_of_the_picture(method, tiny):
    found = tiny.attribute(photograph(1), method, "cat")
    assert found.map.shape == found.size == (32, 32) and np.isfinite(found.map).all() and found.target == "cat"
    assert found.is_signed or found.map.min() >= 0
    assert np.array(json.loads(found.to_json())["map"]) == pytest.approx(found.map)
    assert found.value == pytest.approx(float(tiny(photograph(1))[0, 2]), rel=1e-5)


def test_without_a_target_the_class_that_the_network_names_is_meant(tiny):
    assert tiny.attribute(photograph(1)).target == tiny.predict(photograph(1), top=1)[0].label


@pytest.mark.parametrize("arguments, options, words", [
    (("grad-cam",), {}, "did you mean 'gradcam'|choose one of gradcam"), (("saliency", "cow"), {}, "no class 'cow'"),
    (("saliency",), {"window": 3}, "saliency takes no 'window'"), (("occlusion",), {"window": 0}, "window is 0"),
    (("occlusion",), {"stride": True}, "stride is True"), (("relevance",), {"rule": "gamma"}, "rule is 'gamma'"),
    (("relevance",), {"epsilon": -1}, "epsilon is -1"), (("smoothgrad",), {"sigma": "1"}, "sigma is '1'"),
    (("smoothgrad",), {"noise": np.zeros((2, 3, 5, 5))}, "the noise does not fit"),
    (("integrated",), {"steps": 0}, "steps is 0"),
    (("integrated",), {"baseline": "black"}, "the baseline is 'black'"), (("gradcam",), {"layer": "fc6"}, "gives no maps"),
    (("gradcam", "conv1_1:0"), {}, "no ReLU before conv1_1"), (("gradcam", "conv1_1:0,99,0"), {}, "has no row 99"),
    (("gradcam", "fc6:0,0,0"), {}, "is no unit of fc6"), (("gradcam", 1.5), {}, "the target is 1.5"),
], ids=str)
def test_what_makes_no_sense_is_refused(arguments, options, words, tiny):
    with pytest.raises(UsageError, match=words):
        tiny.attribute(photograph(1), *arguments, **options)


def test_several_pictures_are_refused(tiny):
    with pytest.raises(ShapeError, match="2 pictures"):
        tiny.attribute([photograph(1)] * 2)


def test_rules_are_for_layers_and_operations_that_exist(tiny):
    x = tiny.prepare(photograph(1))
    g = {"conv1_1": np.ones_like(tiny.forward(x, "conv1_1"))}
    for rules, words in (({"conv9": abs}, "no layer 'conv9'"), ({"relu": 3}, "rule of 'relu' is a int"),
                         ([], "rules are a list")):
        with pytest.raises(UsageError, match=words):
            tiny.backward(tiny.parameters, x, g, of="input", training=False, rules=rules)
    twice = tiny.backward(tiny.parameters, x, g, of="input", training=False,
                          rules={"features.0": lambda g, x, *_, **__: {"x": 2 * x}})
    assert np.array_equal(twice.gradients["input"], 2 * x)
