"""Every mistake that `mistakes.py` makes is found in its layer, in the run that makes it, and named; nothing else is."""
from functools import cache

import numpy as np
import pytest
from witnesses import mistakes
from witnesses.networks import lively, photograph

from npvgg import parity

SIZES = {"width": 1 / 16, "hidden": (20, 20), "num_classes": 10, "pooled_size": 2, "input_size": 64}
PLACES = {"conv2_1": mistakes.CONV, "conv3_2": mistakes.SQUARE, "bn3_1": mistakes.NORM, "relu2_1": mistakes.RELU,
          "pool2": mistakes.POOL, "flatten": mistakes.FLATTEN, "fc6": mistakes.FIRST_DENSE, "fc7": mistakes.DENSE,
          "drop6": mistakes.DROPOUT, "fc8": mistakes.LAST}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@cache
def runs(kind):
    """A network, its input and its right run by npvgg."""
    vgg = lively(kind, **SIZES)
    x = vgg.prepare([photograph(n) for n in range(2)])
    return vgg, x, {"input": x} | vgg.trace(x)


def made(kind, *places):
    """The run of a network with mistakes (place, what)."""
    vgg, x, _ = runs(kind)
    return mistakes.run(vgg, x, {place: PLACES[place][what][0] for place, what in places})


def every():
    """(network, place, what): each mistake with batch norm and without, one of the two only with the heavy tests."""
    for place, variants in PLACES.items():
        for number, what in enumerate(variants):
            kinds = ("vgg11_bn",) if place.startswith("bn") else ("vgg11_bn", "vgg11")[::1 - 2 * (number % 2)]
            yield kinds[0], place, what
            yield from (pytest.param(kind, place, what, marks=pytest.mark.heavy) for kind in kinds[1:])


@pytest.mark.parametrize(("kind", "place", "what"), list(every()))
def test_a_mistake_is_found_in_its_layer_and_named(kind, place, what):
    vgg, _, right = runs(kind)
    wrong, words = made(kind, (place, what)), PLACES[place][what][1]
    which = "A" if (kind == "vgg11") == (len(what) % 2 == 0) else "B"
    comparison = parity.compare(*((wrong, right) if which == "A" else (right, wrong)), vgg)
    assert comparison.first.name == place and comparison.run == which
    assert [row.name for row in comparison.rows if row.is_wrong] == [place]
    names = [cause.name for cause in comparison.causes]
    assert len(names) <= 1
    if words:
        assert names and words in names[0] and names[0].startswith(f"{which} is {place} "), comparison.text()


@pytest.mark.parametrize(("kind", "place", "what"), [("vgg11", "conv2_1", "TF32"), ("vgg11_bn", "bn3_1", "eps 2e-5"),
                                                     ("vgg11_bn", "drop6", "active")])
def test_the_verdict_does_not_depend_on_which_run_is_called_a(kind, place, what):
    vgg, _, right = runs(kind)
    wrong = made(kind, (place, what))
    for network in (vgg, None):
        one, other = parity.compare(wrong, right, network).as_dict(), parity.compare(right, wrong, network).as_dict()
        assert swapped(one) == other


def swapped(found):
    """What `as_dict` gives, with the names of the runs exchanged."""
    def exchange(text):
        return text and "".join({"A": "B", "B": "A"}.get(letter, letter) if letter in "AB" and is_alone(text, at) else letter
                                for at, letter in enumerate(text))

    def is_alone(text, at):
        return not text[at - 1:at].isalpha() and not text[at + 1:at + 2].isalpha()

    found = found | {"run": exchange(found["run"]), "a": found["b"], "b": found["a"]}
    found["causes"] = [cause | {"run": exchange(cause["run"]), "name": exchange(cause["name"])} for cause in found["causes"]]
    found["findings"] = [finding | {"run": exchange(finding["run"]), "causes": [*map(exchange, finding["causes"])],
                                    "facts": [*map(exchange, finding["facts"])]} for finding in found["findings"]]
    found["layers"] = [row | {"own_a": row["own_b"], "own_b": row["own_a"], "verdict": exchange(row["verdict"])}
                       for row in found["layers"]]
    return found


PAIRS = [
    ("vgg11", ("conv2_1", "no bias"), ("fc7", "transposed")),
    ("vgg11", ("relu2_1", "leaky 0.01"), ("conv3_2", "in and out")),
    ("vgg11", ("flatten", "channels last"), ("drop6", "active")),
    ("vgg11_bn", ("bn3_1", "eps 2e-5"), ("conv2_1", "bfloat16 weights")),
    ("vgg11_bn", ("pool2", "averages"), ("fc8", "soft-max")),
    ("vgg11_bn", ("conv2_1", "reflect"), ("conv3_2", "groups")),
    ("vgg11_bn", ("relu2_1", "left out"), ("bn3_1", "no beta")),
]


@pytest.mark.parametrize(("kind", "one", "other"), PAIRS)
def test_two_mistakes_at_once_are_two_findings(kind, one, other):
    vgg, _, right = runs(kind)
    wrong = made(kind, one, other)
    places = sorted({one, other}, key=lambda found: list(right).index(found[0]))
    for a, b, run in ((wrong, right, "A"), (right, wrong, "B")):
        comparison = parity.compare(a, b, vgg)
        assert [(finding.layer, finding.run) for finding in comparison.findings] == [(place, run) for place, _ in places]
        for cause, (place, what) in zip(comparison.causes, places, strict=True):
            assert PLACES[place][what][1] in cause.name


def turned(p):
    return p | {"weight": np.flip(p["weight"], (2, 3))}


IN_ONE_LAYER = {
    "no bias, convolved": ("conv2_1", lambda x, p: mistakes.conv(x, turned(p)["weight"]), ("without its bias", "180°")),
    "convolved, reflected": ("conv2_1", lambda x, p: mistakes.padded("reflect")(x, turned(p)), ("180°", "reflected")),
    "no β, γ = 1": ("bn3_1", mistakes.normed(weight=lambda p: np.ones_like(p["weight"]), bias=lambda p: 0 * p["bias"]),
                    ("γ = 1", "without β")),
    "mean 0, no β": ("bn3_1", mistakes.normed(mean=lambda p: 0 * p["mean"], bias=lambda p: 0 * p["bias"]),
                     ("mean", "without β")),
}


@pytest.mark.parametrize("what", IN_ONE_LAYER)
def test_two_mistakes_in_one_layer_are_named_together(what):
    vgg, x, right = runs("vgg11_bn")
    place, change, words = IN_ONE_LAYER[what]
    comparison = parity.compare(right, mistakes.run(vgg, x, {place: change}), vgg)
    cause, = comparison.causes
    assert comparison.first.name == place and all(word in cause.name for word in words)


def test_each_run_may_have_a_mistake_of_its_own():
    vgg, _, _ = runs("vgg11_bn")
    a, b = made("vgg11_bn", ("conv2_1", "no bias")), made("vgg11_bn", ("bn3_1", "gamma 1"))
    comparison = parity.compare(a, b, vgg)
    assert [(cause.run, cause.layer) for cause in comparison.causes] == [("A", "conv2_1"), ("B", "bn3_1")]


def test_one_mistake_in_many_layers_is_one_cause():
    vgg, x, right = runs("vgg11_bn")
    norms = [layer.name for layer in vgg.architecture.layers if layer.op == "batchnorm2d"]
    wrong = mistakes.run(vgg, x, dict.fromkeys(norms, mistakes.NORM["eps 1e-3"][0]))
    comparison = parity.compare(right, wrong, vgg)
    cause, = comparison.causes
    assert "ε = 0.001" in cause.name and comparison.layers_of(cause) == norms
    assert f"; so are {norms[1]}, " in comparison.text()


@pytest.mark.parametrize("what", ["no bias", "convolved", "eps 1e-3", "older checkpoint"])
def test_without_a_network_the_growth_of_the_gap_tells_the_layer(what):
    place = "bn3_1" if what in mistakes.NORM else "conv2_1"
    _, _, right = runs("vgg11_bn")
    comparison = parity.compare(right, made("vgg11_bn", (place, what)))
    assert comparison.first.name == place and comparison.run is None and not comparison.causes
    assert [row.name for row in comparison.rows if row.is_wrong] == [place]


FUSED = [("vgg11", "conv2_1", "convolved"), ("vgg11", "conv2_1", "one bias"), ("vgg11_bn", "conv2_1", "reflect"),
         ("vgg11_bn", "bn3_1", "eps 1e-3"), ("vgg11_bn", "bn3_1", "not loaded"), ("vgg11_bn", "relu2_1", "leaky 0.01"),
         ("vgg11", "pool2", "averages"), ("vgg11_bn", "fc7", "no bias")]


@pytest.mark.parametrize(("kind", "place", "what"), FUSED)
def test_a_mistake_inside_a_stage_of_several_layers_is_named(kind, place, what):
    """As in a run of Keras, which holds what comes out of the ReLUs."""
    vgg, _, right = runs(kind)
    wrong = made(kind, (place, what))
    a, b = ({name: run[name] for name in right if not name.startswith(("conv", "bn", "drop"))} for run in (wrong, right))
    comparison = parity.compare(a, b, vgg)
    cause, = comparison.causes
    assert comparison.first.name == place.replace("conv", "relu").replace("bn", "relu") and cause.layer == place
    assert PLACES[place][what][1] in cause.name


def test_without_a_network_a_gap_below_the_tolerance_is_found_by_its_growth():
    vgg, x, right = runs("vgg11_bn")
    bias = vgg.parameters["conv2_1/bias"] + np.float32(5e-5) * np.sqrt(np.mean(right["conv2_1"] ** 2))
    wrong = {"input": x} | vgg.with_parameters({"conv2_1/bias": bias}).trace(x)
    comparison = parity.compare(mistakes.run(vgg, x), wrong)             # of two implementations, so that every layer differs
    assert comparison.first.name == "conv2_1" and comparison.first.difference.largest_relative < 1e-4
    assert "many times that of the layers before" in comparison.text()


def test_an_activation_in_place_is_recognised():
    for kind, place, later in (("vgg11", "conv2_1", "relu2_1"), ("vgg11_bn", "bn2_1", "relu2_1")):
        vgg, _, right = runs(kind)
        wrong = right | {place: right[later]}
        for a, b, run in ((wrong, right, "A"), (right, wrong, "B")):
            comparison = parity.compare(a, b, vgg)
            assert [cause.name for cause in comparison.causes] == [f"{run} is {place} overwritten by {later}, in place"]
            assert "overwritten by an operation in place" in parity.compare(a, b).causes[0].name


def relu_before_norm(order):
    """conv → ReLU → batch norm in block 3, the arrays under the names of their kind or of their place."""
    vgg, x, right = runs("vgg11_bn")
    own = {kind: vgg.parameters[f"bn3_1/{kind}"] for kind in ("weight", "bias", "mean", "var")}
    active = mistakes.relu(right["conv3_1"])
    normed = mistakes.norm(active, *own.values())
    names = list(right)
    after = {layer.name: layer for layer in vgg.architecture.layers}
    wrong = dict(right)
    wrong["bn3_1"], wrong["relu3_1"] = (normed, active) if order == "kind" else (active, normed)
    y = normed
    for name in names[names.index("relu3_1") + 1:]:
        own = {kind: vgg.parameters[f"{name}/{kind}"] for kind, _ in after[name].shapes}
        wrong[name] = y = np.ascontiguousarray(mistakes.right(after[name], y, own), np.float32)
    return vgg, wrong, right


@pytest.mark.parametrize("order", ["kind", "place"])
def test_relu_before_batch_norm_is_one_finding(order):
    vgg, wrong, right = relu_before_norm(order)
    comparison = parity.compare(wrong, right, vgg)
    assert [finding.layer for finding in comparison.findings] == ["bn3_1"]
    assert [cause.name for cause in comparison.causes] == ["A is bn3_1 after the ReLU instead of before it"]


def test_weights_of_a_neighbour_and_layers_that_were_swapped():
    vgg, x, right = runs("vgg11")
    own = vgg.parameters
    changes = {place: lambda y, p, other=other: mistakes.conv(y, own[f"{other}/weight"], own[f"{other}/bias"])
               for place, other in (("conv5_1", "conv5_2"), ("conv5_2", "conv5_1"))}
    comparison = parity.compare(right, mistakes.run(vgg, x, changes), vgg)
    assert [cause.name for cause in comparison.causes] == [
        "B is conv5_1 with the parameters of conv5_2", "B is conv5_2 with the parameters of conv5_1"]


def test_a_network_that_is_not_theirs_is_told():
    vgg, x, right = runs("vgg11")
    other = lively("vgg11", seed=1, **SIZES)
    agreed = parity.compare(right, right, other)
    assert not agreed.diverges and any("the network given may not be theirs" in note for note in agreed.notes)
    wider = lively("vgg11", **SIZES | {"width": 1 / 8})
    comparison = parity.compare(made("vgg11", ("conv2_1", "no bias")), right, wider)
    assert comparison.first.name == "conv2_1" and any("the network given may not be theirs" in note
                                                      for note in comparison.notes)


def test_runs_under_unknown_names_are_matched_with_the_networks_layers():
    vgg, _, right = runs("vgg11_bn")
    wrong = made("vgg11_bn", ("bn3_1", "no beta"))
    a, b = ({f"step {n}": array for n, array in enumerate(run.values())} for run in (wrong, right))
    comparison = parity.compare(a, b, vgg)
    assert comparison.first.name == "bn3_1" and comparison.causes[0].name == "A is bn3_1 without β"


@pytest.mark.parametrize("seed", range(100))
def test_runs_that_agree_have_no_cause(seed):
    """Random architectures, tiers, algorithms and threads, and the plain NumPy run."""
    rng = np.random.default_rng(seed)
    head = rng.choice(["avg2 flatten 12 relu drop 7", "max1 flatten 5", "avg1 flatten 9 bn relu 6", "avg3 flatten 8 relu 4"])
    name = str(rng.choice(["vgg11", "vgg11_bn", "vgg13_bn", "vgg16"]))
    vgg = lively(name, seed=seed, width=1 / 16, head=str(head), input_size=64, eps=float(rng.choice([1e-5, 1e-3])),
                 pooling=str(rng.choice(["max", "avg"])), bias=bool(rng.integers(2)))
    x = rng.standard_normal((rng.integers(1, 3), 3, *rng.integers(33, 70, 2)), np.float32)
    ways = [lambda: vgg.using(algorithm="winograd", threads=1).trace(x), lambda: vgg.using(algorithm="direct").trace(x),
            lambda: vgg.using(tier="jit").trace(x), lambda: vgg.using(tier="reference").trace(x), lambda: mistakes.run(vgg, x)]
    a, b = ({"input": x} | ways[way]() for way in rng.choice(len(ways), 2, replace=False))
    comparison = parity.compare(a, b, vgg if seed % 4 else None)
    assert not comparison.diverges and not comparison.causes, comparison.text()
