"""Rounding explains right runs of every tier and algorithm, and not much more."""
import numpy as np
import pytest
from witnesses import operations
from witnesses.networks import lively, photograph

from npvgg.kernels import tiers
from npvgg.parity import exact
from npvgg.parity.own_error import own_errors
from npvgg.parity.stages import units_of

SIZES = {"width": 1 / 8, "hidden": (40, 24), "num_classes": 10, "pooled_size": 2, "input_size": 64}
HALF = 0.7                                # of what is allowed: the factors are more than 1.4 times the largest errors


@pytest.mark.parametrize("name", ["vgg11_bn", "a_lrn", "c"])
@pytest.mark.parametrize("way", ["winograd", "direct", "jit", "reference"])
def test_right_runs_stay_well_within_what_rounding_explains(name, way):
    vgg = lively(name, **SIZES)
    x = vgg.prepare(photograph(0))
    other = vgg.using(algorithm=way) if way in tiers.ALGORITHMS else vgg.using(tier=way)
    run = {"input": x} | other.trace(x)
    errors, refusal = own_errors(run, vgg.architecture, vgg.parameters, units_of(run))
    assert not refusal and errors.keys() == run.keys() - {"input"}
    assert max(error.excess for error in errors.values()) < HALF


def test_a_bound_is_not_loose():
    """A weight of bfloat16 in one layer, or a bias that is off by a hundredth, is far outside."""
    vgg = lively("vgg11", **SIZES)
    x = vgg.prepare(photograph(0))
    name = "conv5_2"
    for kind, change in (("weight", lambda w: (w.view(np.uint32) & 0xFFFF0000).view(np.float32)), ("bias", lambda b: b * 1.01)):
        path = f"{name}/{kind}"
        run = {"input": x} | vgg.with_parameters({path: change(np.array(vgg.parameters[path]))}).trace(x)
        errors, _ = own_errors(run, vgg.architecture, vgg.parameters, units_of(run))
        assert [layer for layer, error in errors.items() if error.is_wrong] == [name]
        assert errors[name].excess > 20


@pytest.mark.parametrize("name", operations.CASES)
def test_every_operation_is_that_of_the_reference(name):
    case = operations.CASES[name]
    x, *arrays = case.arrays(np.float64)
    if x.size:
        expected = tiers.choose("reference")[case.op](x, *arrays, **case.options)
        assert exact.excess(expected, exact.OPERATIONS[case.op](exact.Rounded.of(x), *arrays, 2.0**-53, **case.options)) <= 1


def test_what_a_layer_adds_to_the_error_of_its_input_is_counted():
    """Of a stage of several layers, whose arrays between nobody holds."""
    vgg = lively("vgg11_bn", **SIZES)
    x = vgg.prepare(photograph(0))
    right = {"input": x} | vgg.trace(x)
    for name in ("pool2", "relu3_2", "fc6", "fc8"):
        run = {"input": x, name: right[name]}
        errors, _ = own_errors(run, vgg.architecture, vgg.parameters, units_of(run))
        assert [*errors] == [name] and 0 < errors[name].excess < HALF


def test_the_unit_is_that_of_the_arithmetic():
    single = np.float32([1 / 3, 2])
    assert units_of({"a": single, "b": single.astype(float), "c": np.array([1 / 3]), "d": single.astype(np.float16)}) == {
        "a": 2.0**-24, "b": 2.0**-24, "c": 2.0**-53, "d": 2.0**-11}
    assert units_of({"a": single}, "bfloat16") == {"a": 2.0**-8}
