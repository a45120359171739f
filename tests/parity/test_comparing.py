"""A fault planted in one layer is found at that layer."""
import json

import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg import parity
from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.parity import traces, verdicts

SIZES = {"width": 1 / 16, "hidden": (24, 24), "num_classes": 10, "pooled_size": 2, "input_size": 64}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", **SIZES)


@pytest.fixture(scope="module")
def x(vgg):
    return vgg.prepare([photograph(n) for n in range(3)])


@pytest.fixture(scope="module")
def right(vgg, x):
    return vgg.trace(x)


def with_parameter(vgg, path, change):
    return VGG(vgg.architecture, vgg.parameters | {path: np.ascontiguousarray(change(vgg.parameters[path]))}, vgg.preset)


def test_a_run_agrees_with_itself(right):
    comparison = parity.compare(right, right)
    assert not comparison.diverges and comparison.first is None and not comparison.findings
    assert {row.verdict for row in comparison.rows} == {verdicts.EQUAL}
    assert comparison.text().startswith(f"agree: {len(right)} layers within 0.0001")


def test_tiers_and_dtypes_agree_within_rounding(vgg, x, right):
    for other in (vgg.using(tier="reference"), vgg.using(dtype=np.float64)):
        comparison = parity.compare(other.trace(x), right)
        assert not comparison.diverges, comparison.text()
        assert "ok" in {row.verdict for row in comparison.rows}
        assert "arg-max of fc8 differs in 0 of 3 pictures" in comparison.text()


PARAMETER_FAULTS = {
    "conv1_1/weight": (lambda w: w[:, ::-1], "with the channels of its filters in reverse order"),
    "conv2_1/weight": (lambda w: w[:, :, ::-1, ::-1], "with its filters turned by 180°"),
    "conv3_1/weight": (lambda w: w.swapaxes(2, 3), "with height and width of its filters exchanged"),
    "conv3_2/bias": (np.zeros_like, "without its bias"),
    "conv4_2/weight": (lambda w: w.transpose(2, 3, 1, 0).reshape(w.shape), "(height, width, inputs, outputs)"),
    "bn5_1/var": (np.sqrt, "with a standard deviation in the place of the variance"),
    "bn2_1/bias": (np.negative, None),
    "fc6/weight": (lambda w: w.reshape(-1, 32, 2, 2).transpose(0, 2, 3, 1).reshape(w.shape), "flattened as (H, W, C)"),
    "fc7/weight": (np.transpose, "with its weights read as (inputs, outputs)"),
    "fc8/bias": (np.zeros_like, "without its bias"),
}


@pytest.mark.parametrize("path", PARAMETER_FAULTS)
def test_a_wrong_parameter_is_found_at_its_layer(vgg, x, right, path):
    change, hint = PARAMETER_FAULTS[path]
    comparison = parity.compare(with_parameter(vgg, path, change).trace(x), right, network=vgg)
    assert comparison.first.name == path.split("/")[0]
    assert comparison.run == "A"
    assert comparison.text().startswith(f"DIVERGE first at {comparison.first.name}: A's own error is ")
    assert [row.name for row in comparison.rows if row.is_wrong] == [comparison.first.name]
    if hint:
        assert hint in comparison.causes[0].name
    else:
        facts = comparison.findings[0].facts
        assert not comparison.causes and any("each channel of A's bn2_1 is that of what npvgg computes plus" in fact
                                             for fact in facts), facts


def test_one_flipped_bit_of_one_weight_is_found(vgg, x, right):
    def flip(weight):
        flipped = weight.copy()
        flipped.view(np.uint32)[3, 1, 2, 0] ^= 1 << 26                 # of the exponent: 2^8 times larger or smaller
        return flipped

    comparison = parity.compare(with_parameter(vgg, "conv4_1/weight", flip).trace(x), right)
    assert comparison.first.name == "conv4_1"
    assert comparison.first.difference.unequal < right["conv4_1"].size / 16             # one filter of 32


def test_a_layer_of_another_shape_diverges_and_a_missing_one_is_named(right):
    ours = {name: array for name, array in right.items() if name != "relu1_1"} | {"prob": right["fc8"]}
    ours["pool2"] = ours["pool2"][:, :, :-1]
    comparison = parity.compare(ours, right)
    assert comparison.first.name == "pool2" and comparison.first.difference is None
    assert comparison.only_in_a == ("prob",) and comparison.only_in_b == ("relu1_1",)
    text = comparison.text()
    assert text.startswith("DIVERGE first at pool2: A has shape 3×8×15×16, B 3×8×16×16")
    assert "not compared, only in A: prob" in text and "not compared, only in B: relu1_1" in text


@pytest.mark.parametrize("planted", [np.nan, np.inf])
def test_a_value_that_is_not_finite_diverges(right, planted):
    wrong = right["conv5_1"].copy()
    wrong[1, 2, 0, 1] = planted
    comparison = parity.compare(right | {"conv5_1": wrong}, right, tolerance=1e30)
    assert comparison.first.name == "conv5_1"
    assert comparison.text().startswith("DIVERGE first at conv5_1: NaN or infinity stands in one of the two")
    assert any("holds NaN or infinity at 1 place, first at [1, 2, 0, 1]" in fact for fact in comparison.findings[0].facts)
    row = json.loads(json.dumps(comparison.as_dict(), allow_nan=False))["layers"][list(right).index("conv5_1")]
    assert row["largest_gap"] is None and row["unequal"] == 1 and row["verdict"] == "DIVERGES"


def test_the_tolerance_can_be_replaced(vgg, x, right):
    other = vgg.using(dtype=np.float64).trace(x)
    assert parity.compare(right, other, tolerance=1e-9).first.name == "conv1_1"
    loose = parity.compare(with_parameter(vgg, "fc8/bias", lambda b: b + 1e-3).trace(x), right, tolerance=1)
    assert not loose.diverges and "within 1;" in loose.text()


def test_float64_traces_are_held_to_float64(vgg, x):
    vgg = vgg.using(dtype=np.float64)
    wrong = with_parameter(vgg, "conv2_1/bias", lambda b: b + 1e-8)
    assert parity.compare(wrong.trace(x), vgg.trace(x)).first.name == "conv2_1"


def test_the_table_has_one_line_a_layer_in_the_order_of_the_data(right):
    lines = parity.compare(right, right).text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("layer"))
    assert [line.split()[0] for line in lines[start + 2:]] == list(right)
    assert lines[start].split("  ")[-1].strip() == "verdict"


def test_trace_files_are_compared_and_described(vgg, x, right, tmp_path):
    wrong = with_parameter(vgg, "bn3_1/mean", lambda m: m[::-1]).trace(x)
    paths = [traces.write(tmp_path / f"{name}.h5", arrays, architecture_json=vgg.architecture.to_json(), model_name="tiny",
                          made_by=name) for name, arrays in (("ours", wrong), ("theirs", right))]
    comparison = parity.compare(*map(traces.read, paths))
    assert comparison.first.name == "bn3_1" and "ours.h5; tiny; ours" in comparison.text()
    assert comparison.as_dict()["b"].endswith("theirs.h5; tiny; theirs")


def test_as_dict_is_json_and_holds_every_layer(right):
    found = json.loads(json.dumps(parity.compare(right, right).as_dict()))
    assert found["diverges"] is False and found["first"] is None
    assert [row["name"] for row in found["layers"]] == list(right)
    assert found["layers"][0]["largest_gap"] == 0 and found["layers"][-1]["argmax_flips"] == 0


def test_to_json_is_the_verdict_the_run_that_is_wrong_and_the_causes(vgg, x, right):
    wrong = with_parameter(vgg, "fc8/bias", np.zeros_like).trace(x)
    for a, b, run in ((wrong, right, "A"), (right, wrong, "B")):
        found = json.loads(parity.compare(a, b, vgg).to_json())
        assert (found["verdict"], found["first"], found["run"]) == ("diverge", "fc8", run)
        cause, = found["causes"]
        assert cause["name"] == f"{run} is fc8 without its bias" and (cause["layer"], cause["layers"]) == ("fc8", ["fc8"])
        assert "what is left is" in cause["evidence"] and cause["residual"] <= 1 and cause["explained"] > 0.9999
        assert found["layers"][-1][f"own_{run.lower()}"] > 1
    agreed = json.loads(parity.compare(right, right).to_json())
    assert (agreed["verdict"], agreed["first"], agreed["run"], agreed["causes"]) == ("agree", None, None, [])


def test_what_no_mistake_explains_has_no_cause_but_facts(vgg, right):
    noise = right["conv3_1"] + np.random.default_rng(0).standard_normal(right["conv3_1"].shape)
    for a, b, run in ((right | {"conv3_1": noise}, right, "A"), (right, right | {"conv3_1": noise}, "B")):
        comparison = parity.compare(a, b, vgg)
        assert comparison.first.name == "conv3_1" and comparison.run == run and not comparison.causes
        assert [finding.layer for finding in comparison.findings] == ["conv3_1"]           # bn3_1 goes on from the right values
        assert any("rms of the gap" in fact for fact in comparison.findings[0].facts)


def test_traces_without_a_common_layer_are_refused():
    with pytest.raises(UsageError, match="no layer in common: A holds a, B holds b"):
        parity.compare({"a": np.zeros((1, 2))}, {"b": np.zeros((1, 2))})


@pytest.mark.parametrize("tolerance", [-1, np.nan, np.inf])
def test_an_impossible_tolerance_is_refused(right, tolerance):
    with pytest.raises(UsageError, match="tolerance is"):
        parity.compare(right, right, tolerance=tolerance)
