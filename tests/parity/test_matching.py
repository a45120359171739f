"""Layers are found under any program's names, in order without names, in either layout; what is not certain is refused."""
import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg import layer_names, parity
from npvgg.errors import UsageError

SIZES = {"width": 1 / 16, "hidden": (24, 20), "num_classes": 10, "pooled_size": 2, "input_size": 64}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", **SIZES)


@pytest.fixture(scope="module")
def right(vgg):
    return vgg.trace(vgg.prepare([photograph(n) for n in range(2)]))


def foreign(vgg, right, whose, beginning=""):
    """A run under the names of another program: those layers that it has a name for."""
    names = {layer: name for name, layer in layer_names.schemes(vgg.architecture)[whose].items()}
    return {beginning + names[layer]: array for layer, array in right.items() if layer in names}


def last(run):
    """A run as a program with the channels last keeps it."""
    turned = {name: np.moveaxis(array, 1, 3).copy() if array.ndim == 4 else array for name, array in run.items()}
    if "flatten" in turned:
        turned["flatten"] = turned["avgpool"].reshape(len(turned["avgpool"]), -1)
    return turned


SCHEMES = ["torchvision's", "timm's", "mmpretrain's", "Keras'", "Caffe's"]


@pytest.mark.parametrize("beginning", ["", "module.", "model.backbone."])
@pytest.mark.parametrize("whose", SCHEMES)
def test_names_of_other_programs_are_the_papers(vgg, right, whose, beginning):
    run = foreign(vgg, right, whose, beginning)
    comparison = parity.compare(run, right, vgg)
    assert not comparison.diverges and not comparison.only_in_a
    assert len(comparison.rows) == len(run) and {row.verdict for row in comparison.rows} == {"equal"}
    assert [row.name for row in comparison.rows] == [name for name in right if name in {row.name for row in comparison.rows}]
    assert comparison.notes == (f"A's names are {whose}" + (f", behind {beginning}" if beginning else ""),)
    assert f"A's names are {whose}" in comparison.text() and comparison.as_dict()["notes"] == list(comparison.notes)
    assert parity.compare(right, run, vgg).notes[0].startswith("B's names are ")


@pytest.mark.parametrize("whose", SCHEMES)
def test_a_fault_is_found_under_its_papers_name(vgg, right, whose):
    wrong = right | {"relu3_2": right["relu3_2"][:, ::-1]}
    assert parity.compare(foreign(vgg, wrong, whose), right, vgg).first.name == "relu3_2"


def test_a_layer_that_nobody_knows_is_named_and_not_judged(vgg, right):
    comparison = parity.compare(foreign(vgg, right, "torchvision's") | {"aux.head": right["fc8"]}, right, vgg)
    assert comparison.only_in_a == ("aux.head",) and not comparison.diverges


def test_a_layer_under_two_names_is_refused(vgg, right):
    with pytest.raises(UsageError, match="A holds conv1_1 twice, once as conv1_1"):
        parity.compare(foreign(vgg, right, "torchvision's") | {"conv1_1": right["conv1_1"]}, right, vgg)


def test_names_that_only_the_two_runs_share(right):
    run = {f"node_{place}": array for place, array in enumerate(right.values())}
    comparison = parity.compare(run, dict(run))
    assert not comparison.diverges and len(comparison.rows) == len(run) and not comparison.notes


def test_names_that_both_runs_have_come_before_order(right):
    a = {"conv1_1": right["conv1_1"], "bn1_1": right["bn1_1"], "x": right["fc6"], "y": right["fc7"]}
    b = {"y": right["fc7"], "x": right["fc6"], "z": right["fc8"], "conv1_1": right["conv1_1"]}
    comparison = parity.compare(a, b)
    assert [row.name for row in comparison.rows] == ["conv1_1", "x", "y"] and not comparison.diverges


def test_the_network_says_the_order_of_the_layers(vgg, right):
    wrong = {name: array + (name in ("relu2_1", "bn4_1")) for name, array in sorted(right.items())}
    comparison = parity.compare(wrong, right, vgg)
    assert [row.name for row in comparison.rows] == list(right) and comparison.first.name == "relu2_1"


# ------------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize("with_network", [True, False])
def test_channels_last_are_recognised(vgg, right, with_network):
    network = vgg if with_network else None
    for a, b, which in ((last(right), right, "A"), (right, last(right), "B")):
        comparison = parity.compare(a, b, network)
        assert {row.verdict for row in comparison.rows} == {"equal"}, comparison.text()
        assert comparison.notes == (
            f"{which}'s maps have their channels last (N, H, W, C) and are compared as (N, C, H, W)",
            f"so is {which}'s flatten, which is flattened as (H, W, C)")
    assert {row.verdict for row in parity.compare(last(right), last(right), network).rows} == {"equal"}


def test_two_runs_with_the_channels_last_are_turned_for_the_network(vgg, right):
    wrong = last(right) | {"conv2_1": last(right)["conv2_1"] + np.arange(8, dtype=np.float32)}
    comparison = parity.compare(wrong, last(right), vgg)
    assert comparison.first.name == "conv2_1" and comparison.first.shapes[0] == right["conv2_1"].shape
    assert len(comparison.notes) == 4


def test_an_input_alone_may_have_its_channels_last(vgg, right):
    for network in (vgg, None):
        comparison = parity.compare(right | {"input": np.moveaxis(right["input"], 1, 3)}, right, network)
        assert not comparison.diverges and comparison.notes == (
            "A's input has its channels last (N, H, W, C) and is compared as (N, C, H, W)",)


def test_a_run_in_two_layouts_is_not_turned(vgg, right):
    mixed = right | {name: np.moveaxis(right[name], 1, 3) for name in ("conv2_1", "conv3_1")}
    comparison = parity.compare(mixed, right, vgg)
    assert comparison.first.name == "conv2_1" and not comparison.notes


def test_a_flatten_in_another_order_is_not_excused(vgg, right):
    run = last(right)
    run["flatten"] = run["flatten"][:, ::-1]
    assert parity.compare(run, right, vgg).first.name == "flatten"


def test_one_by_one_maps_are_vectors(vgg, right):
    run = {name: array.reshape(*array.shape, 1, 1) if name in ("fc6", "relu6") else array for name, array in right.items()}
    comparison = parity.compare(run, right, vgg)
    assert not comparison.diverges and comparison.notes == ("1×1 maps are compared with vectors: fc6, relu6",)


# ------------------------------------------------------------------------------------------------- order


def in_a_list(run):
    return list(run.values())


def under_odd_names(run):
    return {f"layer{place}": array for place, array in enumerate(run.values())}


@pytest.mark.parametrize("turn", [dict, last])
@pytest.mark.parametrize("form", [in_a_list, under_odd_names])
def test_arrays_without_names_are_matched_in_order(vgg, right, form, turn):
    comparison = parity.compare(form(turn(right)), right, vgg)
    assert not comparison.diverges and [row.name for row in comparison.rows] == list(right)
    assert comparison.notes[0].startswith(f"A has no names that npvgg knows: {len(right)} layers matched by order and shape")
    assert not parity.compare(right, form(turn(right))).diverges
    assert not parity.compare(form(turn(right)), form(right), vgg).diverges
    wrong = right | {"bn4_1": right["bn4_1"] + 1}
    assert parity.compare(form(turn(wrong)), right, vgg).first.name == "bn4_1"


@pytest.mark.parametrize("missing", [
    ("drop6", "drop7"), ("flatten",), ("avgpool",), ("input",), ("drop6", "drop7", "flatten", "avgpool", "input"), ("pool3",),
    tuple(f"relu{n}" for n in ("1_1", "2_1", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2")),
], ids=" ".join)
def test_a_run_without_names_may_lack_layers(vgg, right, missing):
    run = [array for name, array in right.items() if name not in missing]
    comparison = parity.compare(run, right, vgg)
    assert not comparison.diverges
    if missing != ("avgpool",):                       # of two equal arrays either is the one that is missing
        assert set(missing) <= set(comparison.only_in_b)


def test_signs_do_not_tell_a_convolution_from_batch_norm(vgg, right):
    with pytest.raises(UsageError, match="of shape 2×4×64×64 A has 1 layer .* and which are which is not certain"):
        parity.compare([array for name, array in right.items() if name not in ("conv1_1", "relu1_1")], right, vgg)


def test_signs_tell_convolutions_from_activations():
    vgg = lively("vgg11", **SIZES)
    right = vgg.trace(vgg.prepare([photograph(1)]))
    run = [array for name, array in right.items() if name.startswith(("conv", "fc"))]
    comparison = parity.compare(run, right)
    assert not comparison.diverges and {row.name for row in comparison.rows} == {
        name for name in right if name.startswith(("conv", "fc"))}


@pytest.mark.parametrize("a, b, words", [
    ({"a": np.zeros((1, 2))}, {"b": np.zeros((1, 2))}, "no layer in common: A holds a, B holds b; give the network"),
    ([np.zeros((1, 2))], [np.zeros((1, 3))], "cannot be matched in order: A's shapes are 1×2, B's 1×3"),
    ([np.zeros((1, 2)), np.ones((1, 3)), np.ones((1, 2))], [np.ones((1, 2))], "cannot be matched in order"),
    ([np.ones((1, n)) for n in (2, 3, 2)], [np.ones((1, n)) for n in (2, 4, 2)], "cannot be matched in order"),
    ([np.zeros((1, 2)), np.ones((1, 3))], [np.ones((1, 3)), np.ones((1, 2))], "cannot be matched in order"),
    ([np.zeros((1, 2)), np.ones((1, 2))], [np.ones((1, 2))], "which are which is not certain"),
], ids=range(6))
def test_what_allows_two_answers_is_refused(a, b, words):
    with pytest.raises(UsageError, match=words) as caught:
        parity.compare(a, b)
    assert "\n" not in str(caught.value)


def test_hdf5_of_another_program_has_no_order(right, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for place, array in enumerate(right.values()):
            file[f"step{place}"] = array
    with pytest.raises(UsageError, match="no layer in common"):
        parity.compare(tmp_path / "a.h5", right)
