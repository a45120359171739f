"""The forward pass as a whole, in every tier, and its gradients."""
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from witnesses import small_weights
from witnesses.networks import lively

from npvgg import images, initialisation, network
from npvgg.architecture import NAMES, architecture
from npvgg.counting import describe
from npvgg.errors import HashMismatchError, ShapeError, UnsupportedError, UsageError
from npvgg.kernels import tiers

SIZES = {"width": 1 / 16, "hidden": (10, 7), "pooled_size": 2, "num_classes": 5, "input_size": 64}


def picture(n=2, height=64, width=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3, height, width)).astype(np.float32)


@pytest.fixture(scope="module", params=NAMES)
def vgg(request):
    return network.create(request.param, seed=1, how="he", **SIZES)


def test_logits_are_one_a_class_in_the_dtype_of_the_parameters(vgg):
    logits = vgg(picture())
    assert logits.shape == (2, 5) and logits.dtype == np.float32


def test_tiers_agree_to_rounding(vgg):
    x = picture()
    exact = vgg.using(dtype=np.float64, tier="reference")(x)
    for tier in tiers.LADDER:
        for dtype in (np.float32, np.float64):
            # 16 weight layers, each a few roundings off, and a safety of ten: 16 · 4 · 10 · ε/2.
            bound = 320 * np.finfo(dtype).eps
            assert abs(vgg.using(tier=tier, dtype=dtype)(x) - exact).max() <= bound * abs(exact).max()


def test_trace_names_every_layer_in_order_with_its_shape(vgg):
    x = picture(3)
    arrays = vgg.trace(x)
    assert list(arrays) == ["input", *(layer.name for layer in vgg.architecture.layers)]
    rows = describe(vgg.architecture, (64, 64))
    assert [array.shape for array in list(arrays.values())[1:]] == [(3, *row.output_shape) for row in rows]
    assert np.array_equal(arrays["input"], x)


@pytest.mark.parametrize("height, width", [(32, 32), (33, 70), (97, 41)], ids=str)
def test_any_picture_of_at_least_32_by_32(vgg, height, width):
    assert vgg(picture(1, height, width)).shape == (1, 5)


def test_a_smaller_picture_is_refused(vgg):
    with pytest.raises(ShapeError, match="31×64 vanishes in 5 poolings"):
        vgg(picture(1, 31, 64))


def test_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(vgg):
    x = picture(5)
    together = vgg(x)
    for n in range(5):
        assert np.array_equal(vgg(x[n:n + 1])[0], together[n])
    assert np.array_equal(vgg.using(threads=1)(x[::-1])[::-1], together)


def test_nan_in_the_picture_reaches_the_logits(vgg):
    x = picture()
    x[1, 2, 10, 10] = np.nan
    logits = vgg.forward(x)
    assert np.isfinite(logits[0]).all() and np.isnan(logits[1]).all()


def test_the_run_changes_neither_picture_nor_parameters(vgg):
    x = picture()
    before = x.copy(), {path: array.copy() for path, array in vgg.parameters.items()}
    vgg.trace(x)
    assert np.array_equal(x, before[0])
    assert all(np.array_equal(array, before[1][path]) for path, array in vgg.parameters.items())


def test_features_by_paper_torchvision_and_keras_names(tiny):
    x = picture(1, 32, 32)
    trace = tiny.trace(x)
    found = tiny.features(x, ["relu5_2", "features.0", "block3_pool", "fc1", "fc8", "logits"])
    for asked, layer in {"relu5_2": "relu5_2", "features.0": "conv1_1", "block3_pool": "pool3", "fc1": "relu6", "fc8": "fc8",
                         "logits": "fc8"}.items():
        assert np.array_equal(found[asked], trace[layer])


def test_probabilities_are_the_softmax_of_the_logits(tiny):
    x = picture(2, 32, 32)
    found = tiny.features(x, ["logits", "prob"])
    exponentials = np.exp(found["logits"].astype(float))
    assert found["prob"] == pytest.approx(exponentials / exponentials.sum(1, keepdims=True), rel=1e-6)


@pytest.mark.parametrize("head, output", [("avg1 flatten 3", "sigmoid"), ("avg1 flatten 1", "sigmoid"),
                                          ("avg1 flatten 3", "softmax")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_what_the_architecture_says(head, output, dtype):
    vgg = network.create("vgg11", width=1 / 32, input_size=32, head=head, output=output, how="he").using(dtype=dtype)
    found = vgg.features(picture(2, 32, 32).astype(dtype), ["predictions", "logits"])
    exponentials = np.exp(found["logits"].astype(float))
    total = 1 + exponentials if output == "sigmoid" else exponentials.sum(1, keepdims=True)
    assert found["predictions"] == pytest.approx(exponentials / total, rel=1e-6) and found["predictions"].dtype == dtype
    assert np.array_equal(vgg.probabilities(found["logits"]), found["predictions"])


def test_sigmoids_of_large_logits_are_0_and_1():
    vgg = network.create("vgg11", width=1 / 32, input_size=32, head="avg1 flatten 2", output="sigmoid")
    assert vgg.probabilities(np.array([[-1e4, 1e4]], np.float32)).tolist() == [[0, 1]]


def test_features_have_no_probabilities():
    vgg = network.create("vgg11", width=1 / 32, input_size=32, head="avg1 flatten 3 relu")
    for ask in (lambda: vgg.features(picture(1, 32, 32), ["relu6", "prob"]), lambda: vgg.probabilities(np.zeros((1, 3)))):
        with pytest.raises(UnsupportedError, match="holds features without a classifier"):
            ask()


def test_layers_behind_the_last_one_asked_for_are_not_computed(tiny):
    called, watched = [], tiny.using(tier="jit")
    watched.runner.chosen = {op: lambda *a, op=op, kernel=kernel, **k: called.append(op) or kernel(*a, **k)
                             for op, kernel in watched.runner.kernels.items()}
    watched.features(picture(1, 32, 32), "pool1")
    assert called == ["conv2d", "batchnorm2d", "relu", "maxpool2d"]


@pytest.mark.parametrize("names, text", [
    ([], "^no layer was asked for; name at least one"), (["conv9_9"], "^vgg11_bn has no layer 'conv9_9'; it has conv1_1"),
    (None, r"^the layers asked for are None; give a list of names such as \['relu5_3', 'fc7'\]$"),
    (7, "^the layers asked for are 7; give"), ([7], "^7 is no name of a layer; give text, for example 'relu5_3'$"),
    (["pool1", None], "^None is no name of a layer"), ([["pool1"]], r"^\['pool1'\] is no name of a layer"),
    (b"pool1", "^b'pool1' is no name"), ("", "^vgg11_bn has no layer ''"), ((), "^no layer was asked for"),
], ids=repr)
def test_features_that_do_not_exist(tiny, names, text):
    with pytest.raises(UsageError, match=text):
        tiny.features(picture(1, 32, 32), names)


def test_names_may_come_from_a_generator_and_more_than_once(tiny):
    x = picture(1, 32, 32)
    found = tiny.features(x, (name for name in ["pool5", "prob", "block5_pool", "pool5"]))
    assert list(found) == ["pool5", "prob", "block5_pool"] and np.array_equal(found["pool5"], found["block5_pool"])


def test_one_picture_gives_one_answer_and_several_a_list(tiny):
    one = np.zeros((40, 50, 3), np.uint8)
    answer = tiny.predict(one, top=2)
    assert [prediction.label in tiny.class_names for prediction in answer] == [True, True]
    assert tiny.predict([one, one], top=2) == [answer, answer]


def test_save_and_open_give_back_every_bit(tiny, tiny_file):
    again = network.load_file(tiny_file)
    assert again.architecture == tiny.architecture and again.class_names == tiny.class_names and again.preset == tiny.preset
    assert all(np.array_equal(again.parameters[path], array) for path, array in tiny.parameters.items())
    x = picture(1, 32, 32)
    assert np.array_equal(again(x), tiny(x))


def test_the_self_test_passes_in_every_tier_and_notices_other_parameters(tiny_file):
    vgg = network.load_file(tiny_file)
    assert all(vgg.using(tier=tier).run_self_test() < 1e-5 for tier in tiers.LADDER)
    changed = replace(vgg, parameters=vgg.parameters | {"fc8/bias": vgg.parameters["fc8/bias"] + 1})
    with pytest.raises(HashMismatchError, match="the self-test is off by .* of the largest value, more than 1e-04; convert"):
        changed.run_self_test()
    with pytest.raises(ValueError, match="read-only"):
        vgg.self_test.output[...] = 0


def test_a_network_that_was_not_stored_has_no_self_test(tiny):
    with pytest.raises(UnsupportedError, match="carries no self-test"):
        tiny.run_self_test()
    with pytest.raises(UnsupportedError, match="carries no record of its layers"):
        tiny.run_layer_test()


@pytest.mark.parametrize("change", [
    {"mean": (0.486, 0.456, 0.406)}, {"std": (0.229, 0.2241, 0.225)}, {"divisor": 255.1}, {"order": "BGR"}, {"resize": 38},
    {"resize": None}, {"crop": 33}, {"interpolation": "bicubic"}, {"interpolation": "lanczos"}, {"interpolation": "nearest"},
    {"crop_mode": "squash"},
], ids=str)
def test_the_self_test_notices_another_preset(tiny, tiny_file, tmp_path, change):
    other = replace(tiny.preset, **change)
    changed = network.load_file(small_weights.rewritten(tiny_file, tmp_path / "a.h5", preset=other.to_json()))
    assert changed.preset == other
    with pytest.raises(HashMismatchError, match="a seeded picture is prepared otherwise .* preset, torchvision, was changed"):
        changed.run_self_test()


def test_the_self_test_notices_two_names_that_changed_places(tiny, tiny_file, tmp_path):
    labels = np.array([name.encode() for name in tiny.class_names])
    changed = network.load_file(small_weights.rewritten(tiny_file, tmp_path / "a.h5", {"labels": labels[[0, 2, 1, 3]]}))
    assert changed.class_names == ("ant", "cat", "bee", "dog")
    with pytest.raises(HashMismatchError, match="its class names are not those that it was written with"):
        changed.run_self_test()


@pytest.mark.parametrize("channels, preset", [(1, None), (4, None), (3, "keras"), (3, "caffe")])
def test_every_kind_of_network_passes_the_tests_of_its_file(tmp_path, channels, preset):
    vgg = network.create("vgg11", width=1 / 64, num_classes=None, input_channels=channels, pooled_size=1, input_size=32,
                         preset=preset)
    again = network.load_file(vgg.save(tmp_path / "a.h5"))
    assert again.run_self_test() < 1e-5 and again.run_layer_test() < 1e-14


def zeroed(array, unit):
    changed = array.copy()
    changed[unit] = 0
    return changed


@pytest.mark.parametrize("layer, change", [
    ("conv3_1", lambda arrays: {"conv3_1/weight": arrays["conv3_1/weight"] * np.float32(1.0001)}),
    ("fc7", lambda arrays: {path: zeroed(arrays[path], 4) for path in ("fc7/weight", "fc7/bias")}),
    ("conv2_1", lambda arrays: {"conv2_1/weight": arrays["conv2_1/weight"].astype(np.float16).astype(np.float32)}),
    ("fc8", lambda arrays: {"fc8/bias": arrays["fc8/bias"][::-1] + np.float32(1e-6)}),
], ids=["scaled", "zeroed unit", "rounded", "last layer"])
def test_the_layer_test_names_the_first_layer_that_was_changed(tiny, tiny_file, tmp_path, layer, change):
    changed = network.load_file(small_weights.rewritten(tiny_file, tmp_path / "a.h5", change(tiny.parameters)), verify=True)
    with pytest.raises(HashMismatchError, match=f"a float64 run differs from its record, first at {layer}, by"):
        changed.run_layer_test()


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_the_layer_test_passes_in_every_tier(tiny_file, tier):
    assert network.load_file(tiny_file, tier=tier).run_layer_test() < 1e-13


def test_features_only_gives_the_pooled_map_and_refuses_to_name_it():
    vgg = network.create("vgg16", width=1 / 16, num_classes=None, input_size=64, pooled_size=2)
    assert vgg(picture()).shape == (2, 32, 2, 2)
    with pytest.raises(UnsupportedError, match="holds features without a classifier, so it cannot name what it sees"):
        vgg.predict(picture())


@pytest.mark.parametrize("arguments, text", [
    ({"class_names": ("one",)}, "1 class names were given for 4 classes"), ({"how": "luck"}, "no initialisation 'luck'"),
    ({"width": -1}, "width is -1"), ({"preset": "squash"}, "squash"), ({"num_clases": 3}, "a network has no 'num_clases'"),
    ({"class_names": 4}, "the class names are 4; give a list of texts"), ({"class_names": "abcd"}, "class names are 'abcd'"),
    ({"class_names": [1, 2, 3, 4]}, r"the class names are \[1, 2, 3, 4\]"), ({"hidden": 256}, "hidden is 256"),
    ({"class_names": ("a",), "num_classes": None}, "1 class names were given for no classes"),
    ({"how": ["he"]}, r"no initialisation \['he'\]"), ({"seed": -1}, "seed is -1; give a whole number of at least 0"),
    ({"seed": "1"}, "seed is '1'"), ({"seed": True}, "seed is True"), ({"seed": None}, "seed is None"),
    ({"preset": 3}, "preset 3 is not known"), ({"threads": "2"}, "threads is '2'"), ({"tier": "cuda"}, "no kernel tier 'cuda'"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else None)
def test_create_refuses_what_it_cannot_make(arguments, text):
    with pytest.raises(UsageError, match=text):
        network.create("vgg11", **{"num_classes": 4, "width": 1 / 32, **arguments})


@pytest.mark.parametrize("options, text", [
    ({"dtype": np.float16}, "dtype is float16; npvgg computes in float32 or float64"),
    ({"dtype": "xx"}, "dtype is 'xx'; npvgg computes in float32 or float64"), ({"dtype": None}, "dtype is None"),
    ({"dtype": np.dtype("f4").newbyteorder()}, "dtype is [<>]f4"), ({"dtype": [1]}, r"dtype is \[1\]"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else None)
def test_using_refuses_what_it_cannot_do(tiny, options, text):
    with pytest.raises(UsageError, match=text):
        tiny.using(**options)


def test_repr_says_what_it_is(tiny, tiny_file):
    assert repr(tiny).startswith("<VGG vgg11_bn at width 0.0625: ")
    assert "32×32 → 4 classes, engine tier in float32" in repr(tiny)
    assert str(tiny_file) in repr(network.load_file(tiny_file))


def test_summary_is_the_table_of_its_architecture(tiny):
    assert tiny.summary().splitlines()[-1].endswith("MACs")


# ------------------------------------------------------------------------------------------------- one value


def test_nothing_of_it_can_be_changed(tiny):
    with pytest.raises(FrozenInstanceError):
        tiny.parameters = {}
    with pytest.raises(TypeError):
        tiny.parameters["fc8/bias"] = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="read-only"):
        tiny.parameters["conv3_1/weight"][...] *= 2
    with pytest.raises(AttributeError):
        tiny.parameters.clear()


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("path, change", [("conv3_1/weight", lambda w: 2 * w), ("bn1_1/var", lambda w: w + 1),
                                          ("fc8/bias", lambda w: w - 0.5)])
def test_other_parameters_give_another_network_with_its_own_answer(tier, path, change):
    vgg, x = lively("vgg11_bn", tier=tier, **SIZES), picture()
    before, given = vgg(x), {name: array.copy() for name, array in vgg.parameters.items()}
    given[path] = change(given[path])
    other = vgg.with_parameters({path: given[path]})
    exact = other.using(tier="reference", dtype=np.float64)(x)
    assert abs(other(x) - exact).max() <= 1e-5 * abs(exact).max() < abs(before - exact).max()
    given[path][...] = 7                                  # what was given may be written again, and does not count
    assert abs(other(x) - exact).max() <= 1e-5 * abs(exact).max() and np.array_equal(vgg(x), before)
    assert other.source == f"seed 0 with other {path}" and list(other.parameters) == list(vgg.parameters)


def test_a_network_run_otherwise_has_the_same_parameters_and_keeps_them(tiny):
    other, x = tiny.using(threads=1), picture(1, 32, 32)
    before = tiny(x)
    changed = other.with_parameters({"fc8/bias": np.full(4, 3, np.float32)})
    assert np.shares_memory(other.parameters["fc8/bias"], tiny.parameters["fc8/bias"])
    assert np.array_equal(tiny(x), before) and np.array_equal(other(x), before) and not np.allclose(changed(x), before)


def test_other_parameters_drop_the_self_test(tiny_file):
    vgg = network.load_file(tiny_file)
    assert vgg.self_test is not None and vgg.with_parameters({"fc8/bias": np.zeros(4, np.float32)}).self_test is None
    five = {path: array + 1 for path, array in list(vgg.parameters.items())[:5]}
    assert vgg.with_parameters(five).source == f"{tiny_file} with other {', '.join(list(five)[:3])} and 2 more"


@pytest.mark.parametrize("parameters, error, text", [
    ({"conv9_9/bias": np.zeros(4, np.float32)}, ShapeError, "conv9_9/bias is none of them; leave it out"),
    ({"fc8/bias": np.zeros(4)}, ShapeError, "fc8/bias is float64 and conv1_1/weight float32"),
    (None, UsageError, "^the parameters are a NoneType; give {path: array}, for example {'fc8/bias': array}$"),
], ids=["path", "dtype", "nothing"])
def test_with_parameters_refuses_what_does_not_fit(tiny, parameters, error, text):
    with pytest.raises(error, match=text):
        tiny.with_parameters(parameters)


NET = architecture("vgg11", width=1 / 32, num_classes=4, hidden=(), input_size=32, pooled_size=1)
MISFITS = {
    "architecture": ({"architecture": "vgg11"}, "architecture is 'vgg11'; give a npvgg.architecture.Architecture"),
    "preset": ({"preset": "torchvision"}, "preset is 'torchvision'; give a npvgg.images.presets.Preset"),
    "channels": ({"preset": images.preset("grey")}, "preset grey prepares 1 channels"),
    "options": ({"options": "jit"}, "options is 'jit'; give a npvgg.runner.Options"),
    "source output": ({"source_output": "scores"}, "source_output is 'scores'; choose one of logits, probabilities"),
    "self-test": ({"self_test": 3}, "self_test is 3; give a weights.SelfTest or None"),
    "source": ({"source": b"vgg11.h5"}, "source is b'vgg11.h5'; give text"),
    "names": ({"class_names": ("a", "b")}, "2 class names were given for 4 classes; give one for each"),
    "parameters": ({"parameters": {}}, r"the parameters are not those of vgg11: conv1_1/weight is missing \(and 17 more\)"),
}


@pytest.mark.parametrize("fields, text", MISFITS.values(), ids=MISFITS)
def test_fields_that_do_not_fit_are_refused(fields, text):
    given = {"architecture": NET, "parameters": initialisation.initial(NET), "preset": images.default_preset(NET)}
    assert network.VGG(**given).class_names is None
    with pytest.raises(UsageError, match=f"^{text}"):
        network.VGG(**given | fields)


def test_threads_of_python_may_share_it():
    from concurrent.futures import ThreadPoolExecutor

    vgg, x = lively("vgg11", **SIZES), picture(8)
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda n: vgg.forward(x[n:n + 1]), range(8)))
    assert np.array_equal(np.concatenate(alone), vgg.forward(x))


# ------------------------------------------------------------------------------------------------- another head


def test_another_head_keeps_the_features_and_draws_the_rest(tiny):
    other = tiny.with_head("avg2 flatten 7 bn relu 3", class_names=("ant", "bee", "cow"), seed=4, how="he")
    kept = [path for path in other.parameters if path in tiny.parameters and not path.startswith("fc")]
    assert kept == [path for path in tiny.parameters if not path.startswith("fc")]
    assert all(np.shares_memory(other.parameters[path], tiny.parameters[path]) for path in kept)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    assert np.array_equal(other.forward(x, "pool5"), tiny.forward(x, "pool5")) and other.forward(x).shape == (2, 3)
    assert (other.architecture.head, other.architecture.output) == ("avg2 flatten 7 bn relu 3", "softmax")
    assert (other.class_names, other.self_test, other.preset, other.options) == (
        ("ant", "bee", "cow"), None, tiny.preset, tiny.options)


def test_a_fresh_head_is_drawn_by_its_seed_alone(tiny):
    first, again, other = (tiny.with_head("avg1 flatten 5", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.parameters["fc6/weight"], again.parameters["fc6/weight"])
    assert not np.array_equal(first.parameters["fc6/weight"], other.parameters["fc6/weight"])
    elsewhere = network.create("vgg11_bn", seed=9, width=1 / 16, input_size=32).with_head("avg1 flatten 5", seed=1)
    assert np.array_equal(first.parameters["fc6/weight"], elsewhere.parameters["fc6/weight"])
    assert 0.005 < first.parameters["fc6/weight"].std() < 0.02 and not first.parameters["fc6/bias"].any()


def test_a_head_of_another_meaning_dtype_or_none_at_all(tiny, tmp_path):
    assert tiny.with_head("avg1 flatten 4", output="sigmoid").architecture.output == "sigmoid"
    assert tiny.with_head("").architecture.output == "none"
    double = tiny.using(dtype=np.float64).with_head("avg1 flatten 4")
    assert {array.dtype for array in double.parameters.values()} == {np.dtype(np.float64)}
    again = network.load_file(tiny.with_head("avg1 flatten 2", class_names=("a", "b")).save(tmp_path / "new.h5"))
    assert again.class_names == ("a", "b") and again.run_self_test() < 1e-5


@pytest.mark.parametrize("head, options, words", [
    ("avg1 4", {}, "put flatten before it"), (None, {}, "head is None"), ("avg1 flatten 4", {"seed": -1}, "seed is -1"),
    ("avg1 flatten 4", {"class_names": ("a",)}, "1 class names were given for 4 classes"),
    ("avg1 flatten 4", {"how": "xavier"}, "there is no initialisation 'xavier'"),
    ("avg1 flatten 4", {"output": "tanh"}, "output is 'tanh'"),
])
def test_a_head_that_makes_no_sense_is_refused(tiny, head, options, words):
    with pytest.raises(UsageError, match=words):
        tiny.with_head(head, **options)


# ------------------------------------------------------------------------------------------------- gradients


def test_gradients_are_those_of_inference(tiny):
    """Of ½·Σ logits², whose gradient is the logits: by the slope along one direction of the input, in float64."""
    vgg = tiny.using(dtype=np.float64)
    rng, h = np.random.default_rng(0), 1e-6
    x, direction = rng.standard_normal((2, 2, 3, 32, 32))
    gradient = vgg.gradients(x, lambda logits: (0.5 * np.vdot(logits, logits), logits))["input"]
    above, below = (0.5 * np.linalg.norm(vgg.forward(x + step * direction)) ** 2 for step in (h, -h))
    assert (above - below) / (2 * h) == pytest.approx(np.vdot(gradient, direction), rel=1e-6)


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_gradients_of_layers_and_parameters_have_their_shapes_on_every_tier(tiny, tier):
    vgg = tiny.using(tier=tier, threads=1)
    x = vgg.prepare(np.zeros((40, 50, 3), np.uint8))
    found = vgg.gradients(x, {"logits": np.ones((1, 4), np.float32)}, ["input", "features.0/weight", "relu5_2", "bn1_1/bias"])
    shapes = {name: gradient.shape for name, gradient in found.items()}
    assert shapes == {"input": x.shape, "features.0/weight": (4, 3, 3, 3), "relu5_2": vgg.forward(x, "relu5_2").shape,
                      "bn1_1/bias": (4,)}
    assert all(gradient.dtype == np.float32 for gradient in found.values())
    assert vgg.backward is vgg.backward and vgg.backward.options.tier == tier


def test_a_packed_network_gives_the_same_gradients(tiny):
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    g = {"fc8": np.ones((1, 4), np.float32)}
    before = tiny.gradients(x, g)["input"]
    assert np.array_equal(pickle.loads(pickle.dumps(tiny)).gradients(x, g)["input"], before)
