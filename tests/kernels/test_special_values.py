"""NaN, infinities, −0.0 and ties go where PyTorch lets them go."""
import warnings

import numpy as np
import pytest
from witnesses.operations import CASES, Case, pytorch, same_bits

from npvgg.kernels import tiers
from npvgg.kernels.engine import building, convolution_steps, layerwise
from npvgg.kernels.engine.winograd import tile_for
from npvgg.layer import Layer

TIERS = {tier: tiers.choose(tier) for tier in tiers.LADDER}
each_tier = pytest.mark.parametrize("tier", tiers.LADDER)
EXACT = {"relu", "maxpool2d", "adaptive_maxpool2d", "flatten", "dropout"}          # no arithmetic, so every bit can be compared
SPECIAL = {"nan": [np.nan], "infinity": [np.inf], "minus-infinity": [-np.inf], "both-infinities": [np.inf, -np.inf],
           "nan-and-infinity": [np.nan, np.inf], "minus-zero": [-0.0], "denormal": [1e-40, -1e-40]}


def plantable(case):
    """Which arrays may hold a special value.

    Not the weight of a padded convolution, for whether PyTorch multiplies an infinite weight by the zeros outside the
    image depends on the algorithm it picks.  Nor that of a batch norm: PyTorch computes x·scale + (bias − mean·scale),
    where infinities of opposite sign meet that do not meet in (x − mean)·scale + bias, and which is less exact.
    """
    if case.op in ("batchnorm2d", "batchnorm1d") or case.op == "conv2d" and case.options.get("padding", 1):
        return [position for position in range(len(case.shapes)) if position != 1]
    return range(len(case.shapes))


PLANTED = {f"{name}-array-{position}": (case, position) for name, case in CASES.items()
           if 0 not in case.shapes[0] and name != "conv2d-many-tiles" for position in plantable(case)}


@each_tier
@pytest.mark.parametrize("values", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("case, position", PLANTED.values(), ids=PLANTED)
def test_special_values_come_out_as_in_pytorch(case, position, values, tier):
    pytest.importorskip("torch")
    for seed in range(2):
        arrays = case.arrays(seed=seed)
        rng = np.random.default_rng(seed)
        for value in values:
            arrays[position].reshape(-1)[rng.integers(arrays[position].size, size=2)] = value
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = TIERS[tier][case.op](*arrays, **case.options)
        theirs = pytorch(case, arrays)
        if tier == "engine" and case.op == "conv2d" and algorithm_of(case) == "winograd":
            check_tiles(answer, theirs, position, case.options.get("padding", 1))
            answer = layerwise.one_layer(convolution(case), arrays[0], arrays[1:], "direct")
        for predicate in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(predicate(answer), predicate(theirs))
        if case.op in EXACT:
            assert same_bits(answer, theirs)


def convolution(case):
    options = {"padding": 1} | case.options
    return Layer("conv2d", "conv", tuple(zip(("weight", "bias"), case.shapes[1:])), tuple(options.items()))


def algorithm_of(case):
    layer = convolution(case)
    return convolution_steps.algorithm_for(case.shapes[0], layer, is_first=True) if building.is_obeyed(layer) else "direct"


def check_tiles(answer, theirs, position, padding):
    """What Winograd's algorithm promises: NaN or infinity wherever PyTorch has one, and nowhere but in the tiles that hold one.

    A tile of m×m outputs reads (m+2)×(m+2) inputs, so one bad input spoils every tile that reads it; a bad bias its channel.
    """
    ours, reference = ~np.isfinite(answer), ~np.isfinite(theirs)
    assert (ours | ~reference).all()
    if position == 0:
        height, width = theirs.shape[2:]
        tile = tile_for(height, width)
        for n, i, j in zip(*np.nonzero(ours.any(axis=1))):
            rows, columns = (slice(max(0, k // tile * tile - 1), min(extent, k // tile * tile + tile + 1))
                             for k, extent in ((i, height), (j, width)))
            assert reference[n, :, rows, columns].any()
    else:
        np.testing.assert_array_equal(ours, reference)


@each_tier
@pytest.mark.parametrize("options", [{}, {"ceil_mode": True}, {"size": 3, "stride": 1}],
                         ids=["2x2", "ceil", "overlapping"])
def test_ties_of_zeros_and_infinities_are_decided_as_in_pytorch(tier, options):
    pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    values = np.array([0.0, -0.0, -np.inf, np.nan, -1.0], np.float32)
    x = rng.choice(values, (2, 3, 9, 7), p=[0.35, 0.35, 0.2, 0.05, 0.05])
    answer = TIERS[tier]["maxpool2d"](x, **options)
    assert same_bits(answer, pytorch(Case("maxpool2d", (x.shape,), options), [x]))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("tier", tiers.LADDER)
def test_ties_in_the_bins_of_adaptive_pooling_are_decided_as_in_pytorch(tier, size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(size)
    x = rng.choice(np.array([0.0, -0.0, -np.inf, np.nan, -1.0], np.float32), (2, 8, 9, 11), p=[0.4, 0.4, 0.1, 0.05, 0.05])
    ours = tiers.choose(tier)["adaptive_maxpool2d"](x, size=size)
    theirs = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(x), size).numpy()
    assert np.array_equal(ours, theirs, equal_nan=True)
    assert np.array_equal(np.signbit(ours)[~np.isnan(ours)], np.signbit(theirs)[~np.isnan(ours)])



@each_tier
def test_relu_keeps_nan_and_the_sign_of_zero(tier):
    x = np.array([np.nan, -0.0, 0.0, -np.inf, np.inf, -1e-45, 1e-45], np.float32)
    expected = np.array([np.nan, -0.0, 0.0, 0.0, np.inf, 0.0, 1e-45], np.float32)
    assert same_bits(TIERS[tier]["relu"](x), expected)


@each_tier
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("row", [[np.inf, 1], [np.inf, -np.inf], [-np.inf, -np.inf], [-np.inf, 2], [np.nan, 1],
                                 [1, np.nan], [3e38, -3e38], [1e4, 1e4 + 1], [-1e30, 0]], ids=str)
def test_rows_that_overflow_a_careless_softmax(tier, op, row):
    pytest.importorskip("torch")
    x = np.array([row, [0.5, -0.5]], np.float32)
    np.testing.assert_allclose(TIERS[tier][op](x), pytorch(Case(op, (x.shape,)), [x]), rtol=1e-6)


@each_tier
def test_denormals_are_not_flushed(tier):
    x = np.full((1, 1, 2, 2), 1e-40, np.float32)
    one, zero = np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)
    assert same_bits(TIERS[tier]["conv2d"](x, one, zero, padding=0), x)
    assert same_bits(TIERS[tier]["adaptive_avgpool2d"](x, size=1), x[:, :, :1, :1])


@pytest.mark.parametrize("height, width", [(14, 14), (19, 21)], ids=["F(2×2)", "F(4×4)"])
def test_winograd_overflows_no_sooner_than_it_says(height, width):
    rng, channels = np.random.default_rng(0), 37
    x = (rng.choice([-1.0, 1.0], (1, channels, height, width)) * 1e35 / channels).astype(np.float32)
    weight = rng.choice([-1.0, 1.0], (5, channels, 3, 3)).astype(np.float32)
    layer = Layer("conv2d", "conv", (("weight", weight.shape),), (("padding", 1),))
    exact = TIERS["reference"]["conv2d"](x.astype(np.float64), weight.astype(np.float64))
    answer = layerwise.one_layer(layer, x, [weight], "winograd")
    assert np.isfinite(answer).all() and abs(answer - exact).max() <= 1e-5 * abs(exact).max()
    x[0, 0, 6, 6] = 3e38
    assert not np.isfinite(layerwise.one_layer(layer, x, [weight], "winograd")).all()
    assert np.isfinite(layerwise.one_layer(layer, x, [weight], "direct")).all()
