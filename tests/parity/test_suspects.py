"""A mistake made on purpose is named."""
from functools import cache

import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg import images
from npvgg.kernels import tiers
from npvgg.parity import report, suspects

# In float64, so that even ε = 0 for 1e-5 stands out of the rounding.
SIZES = {"width": 1 / 16, "hidden": (24, 20), "num_classes": 10, "pooled_size": 2, "input_size": 64}


# Networks that have between them every operation; photographs of 99×101 leave maps of 3×3 for the head to pool.
OTHER = {"width": 1 / 16, "input_size": 128, "pooling": "avg", "bias": False, "eps": 1e-3, "head": "max2 flatten 24 bn relu 10"}
KINDS = {"vgg11_bn": ("vgg11_bn", SIZES), "a_lrn": ("a_lrn", SIZES), "other": ("vgg11_bn", OTHER),
         "grey": ("vgg11", SIZES | {"input_channels": 1, "input_size": 128})}


@cache
def run(kind):
    """A network, its input and its right trace."""
    name, fields = KINDS[kind]
    vgg = lively(name, **fields).using(tier="reference", dtype=np.float64)
    height, width = (59, 61) if fields["input_size"] == 64 else (99, 101)
    x = np.ascontiguousarray(vgg.prepare([photograph(n) for n in range(3)])[:, :, :height, :width])
    return vgg, x, vgg.trace(x)


@pytest.fixture
def vgg():
    return run("vgg11_bn")[0]


@pytest.fixture
def right():
    return run("vgg11_bn")[2]


def trace_with(vgg, x, name, mistake):
    """The run of a network one of whose layers makes a mistake: mistake(kernel, x, *parameters, **options)."""
    kernels, arrays = tiers.choose("reference"), {"input": x}
    for layer in vgg.architecture.layers:
        op, arguments = kernels[layer.op], (x, *layer.arrays(vgg.parameters))
        x = mistake(op, *arguments, **dict(layer.options)) if layer.name == name else op(*arguments, **dict(layer.options))
        arrays[layer.name] = x = np.ascontiguousarray(x)
    return arrays


def mistakes():
    """(network, operation, mistake): each where it is one."""
    for kind, ops in {"vgg11_bn": ("conv2d", "batchnorm2d", "relu", "maxpool2d", "dense"), "a_lrn": ("local_response_norm",),
                      "other": ("conv2d", "batchnorm2d", "batchnorm1d", "avgpool2d", "adaptive_maxpool2d"),
                      "grey": ("adaptive_avgpool2d",)}.items():
        nothing_new = ("with ε = 0.001", "without its bias") if kind == "other" else ("with ε = 1e-05",)
        yield from (pytest.param(kind, op, sentence, id=f"{kind} {op} {sentence}") for op in ops
                    for sentence in suspects.MISTAKES[op] if sentence not in nothing_new)


def test_every_mistake_is_made():
    """The two batch norms share theirs."""
    every = {(op[:9], sentence) for op, variants in suspects.MISTAKES.items() for sentence in variants}
    assert every == {(op[:9], sentence) for _, op, sentence in (param.values for param in mistakes())}


def test_every_operation_has_its_usual_causes():
    ops = {layer.op for kind in KINDS for layer in run(kind)[0].architecture.layers}
    assert ops | {"reflection_pad2d", "input"} == set(suspects.USUAL_CAUSES)


@pytest.mark.parametrize(("kind", "op", "sentence"), list(mistakes()))
def test_every_mistake_of_a_layer_is_found_out(kind, op, sentence):
    vgg, x, right = run(kind)
    name = next(layer.name for layer in vgg.architecture.layers if layer.op == op)
    wrong = trace_with(vgg, x, name, suspects.MISTAKES[op][sentence])
    for ours, reference, which in ((wrong, right, "A"), (right, wrong, "B")):
        comparison = report.compare(ours, reference, network=vgg)
        assert comparison.first.name == name
        assert f"{which} is {name} {sentence}" in comparison.hints


ARRAY_FAULTS = {
    "channels in reverse order": (lambda y: y[:, ::-1], "A's channels are B's in reverse order (BGR for RGB)"),
    "mirrored": (lambda y: y[..., ::-1], "A is B mirrored left to right"),
    "upside down": (lambda y: y[:, :, ::-1], "A is B upside down"),
    "transposed": (lambda y: y.swapaxes(2, 3), "A is B with height and width exchanged"),
    "channels last": (lambda y: y.transpose(0, 2, 3, 1), "A is B with its channels last"),
    "batch": (lambda y: y[::-1], "A holds B's pictures in reverse order"),
    "one picture": (lambda y: np.stack([y[0], y[1] + 1, y[2]]), "only 1 of 3 pictures differ, counted from 0: 1"),
}


@pytest.mark.parametrize("name, fault", [
    (name, fault) for name in ("input", "conv1_1", "pool2") for fault in ARRAY_FAULTS
    if (name, fault) != ("input", "channels last")])                      # which is turned before anything is compared
def test_a_rearranged_array_is_recognised(right, name, fault):
    change, sentence = ARRAY_FAULTS[fault]
    comparison = report.compare(right | {name: change(right[name])}, right)
    assert comparison.first.name == name and sentence in comparison.hints


def test_channels_last_in_front_of_the_classifier(vgg, right):
    maps = right["avgpool"].transpose(0, 2, 3, 1)
    ours = right | {"flatten": maps.reshape(len(maps), -1)}
    for a, b, sentence in ((ours, right, "A is B flattened with its channels last (H, W, C)"),
                           (right, ours, "B is A flattened with its channels last (H, W, C)")):
        assert sentence in report.compare(a, b, network=vgg).hints


@pytest.mark.parametrize("sentence", ["with inputs flattened with the channels last",
                                      "with weights for inputs whose channels come last"])
def test_channels_last_inside_the_first_dense_layer(vgg, right, sentence):
    def last(rows):
        return suspects.channels_last(rows, right["avgpool"].shape[1:])

    x, weight, bias = right["flatten"], *vgg.architecture.layers[-7].arrays(vgg.parameters)
    y = last(x) @ weight.T + bias if "inputs flattened" in sentence else x @ last(weight).T + bias
    assert f"A is fc6 {sentence}" in report.compare(right | {"fc6": y}, right, network=vgg).hints


def test_an_activation_in_place_is_recognised(right):
    name = "bn1_1" if "bn1_1" in right else "conv1_1"
    comparison = report.compare(right | {name: right["relu1_1"]}, right)
    assert f"A's {name} is B's relu1_1: under another name, or overwritten by an operation in place" in comparison.hints


PREPARED = {
    "BGR": (lambda recipe: {"order": "BGR"}, "each channel of A is B's (in reverse order) times"),
    "levels 0…255": (lambda recipe: {"divisor": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}, "each channel of A is B's times"),
    "another mean": (lambda recipe: {"mean": (0.5, 0.5, 0.5)}, "another bias or mean"),
}


@pytest.mark.parametrize("fault", PREPARED)
def test_pictures_prepared_otherwise_are_recognised(vgg, right, fault):
    change, sentence = PREPARED[fault]
    fields = {**vars(vgg.preset), **change(vgg.preset)}
    wrong = images.batch([photograph(n) for n in range(3)], images.Preset(**fields))[:, :, :59, :61]
    comparison = report.compare({"input": wrong}, right)
    assert comparison.first.name == "input"
    assert any(sentence in hint for hint in comparison.hints), comparison.hints


def test_where_nothing_fits_the_usual_causes_are_listed(vgg, right):
    rng = np.random.default_rng(0)
    noise = {name: rng.standard_normal(right[name].shape) for name in ("input", "conv3_1")}
    ours = right | {"conv3_1": noise["conv3_1"]}
    assert report.compare(ours, right).hints == ()         # plain dicts do not say what conv3_1 is
    assert report.compare(ours, right, network=vgg).hints == (
        f"usual causes: {suspects.USUAL_CAUSES['conv2d']}",
        "B is what npvgg computes for conv3_1 from B's input of that layer")
    assert report.compare(right | {"input": noise["input"]}, right).hints == (
        f"usual causes: {suspects.USUAL_CAUSES['input']}",)


def test_weights_that_are_of_neither_run():
    vgg, x, right = run("a_lrn")
    other = lively("a_lrn", seed=1, **SIZES)
    wrong = trace_with(vgg, x, "conv1_1", suspects.MISTAKES["conv2d"]["without its bias"])
    hints = report.compare(wrong, right, network=other).hints
    assert hints[-1] == "neither run is what npvgg computes for conv1_1 from B's input of that layer"


def test_a_network_of_other_shapes_is_told(right):
    vgg, x, _ = run("vgg11_bn")
    wrong = trace_with(vgg, x, "conv2_1", suspects.MISTAKES["conv2d"]["without its bias"])
    other = lively("vgg11_bn", **SIZES | {"width": 1 / 8})
    hints = report.compare(wrong, right, network=other).hints
    assert hints[-1].startswith("the network given is not that of the traces: conv2d: x (1, 4, 29, 30) has 4 channels")
