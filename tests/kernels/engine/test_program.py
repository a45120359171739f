"""Steps that only a plan has: max-pooling, by itself and in the last step of a convolution."""
from dataclasses import replace

import numpy as np
import pytest
from witnesses.operations import same_bits

from npvgg.kernels import tiers
from npvgg.kernels.engine import layerwise, program, winograd
from npvgg.kernels.engine.machine import CACHE_LINE, LANES

CHANNELS = LANES + 3


def answer(operations, x):
    """x (N, C, H, W) through the operations, the last of which leaves a feature map, as an array."""
    n, channels, height, width = x.shape
    operations = [*operations, program.Average(height // 2, width // 2)]
    steps = program.build(operations, n, height, width, 2, channels)
    return steps.run(fill=lambda view: layerwise.fill_map(view, x, border=1))


def picture(height, width):
    """Two images; in the second NaN at each of the four places of a window, and windows of zeros of both signs."""
    x = np.random.default_rng(height).standard_normal((2, CHANNELS, height, width), np.float32)
    for number, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        x[1, number, 2 + i, 4 + j] = np.nan
        x[1, number, 6:8, 2:4] = 0.0
        x[1, number, 6 + i, 2 + j] = -0.0
    return x


def test_the_largest_of_a_window_is_that_of_the_definition():
    x = picture(11, 14)
    expected = tiers.choose("reference")["maxpool2d"](x)
    found = answer([program.MaxPool()], x)
    assert np.array_equal(found, expected, equal_nan=True) and np.isnan(found).sum() == 4


@pytest.mark.parametrize("algorithm, large", list(zip(winograd.TILES, (winograd.LARGE, 1), strict=True)))
@pytest.mark.parametrize("relu", [True, False], ids=["relu", "linear"])
def test_pooling_in_a_convolutions_last_step_gives_the_bits_of_pooling_after_it(algorithm, large, relu, monkeypatch):
    monkeypatch.setattr(winograd, "LARGE", large)
    x = picture(27, 22)
    rng = np.random.default_rng(5)
    weight, bias = rng.standard_normal((21, CHANNELS, 3, 3), np.float32), rng.standard_normal(21, np.float32)
    convolution = layerwise.pack_convolution(weight, np.ones(21), bias, algorithm, relu=relu)
    after = answer([convolution, program.MaxPool()], x)
    within = answer([replace(convolution, pooled=True)], x)
    assert same_bits(np.nan_to_num(within, nan=7e7), np.nan_to_num(after, nan=7e7))
    assert np.isnan(within[1]).any() and not np.isnan(within).all()


@pytest.mark.parametrize("floats", [1, 16, 17, 32, 33, 512, 1000])
def test_distances_are_odd_numbers_of_cache_lines(floats):
    found = program.odd_lines(floats)
    assert found >= floats and found % (2 * CACHE_LINE) == CACHE_LINE and found - floats < 2 * CACHE_LINE
