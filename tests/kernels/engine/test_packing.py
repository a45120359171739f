"""Packed weights: every number in its place, rounded once, and what fills up the last panel."""
import numpy as np
import pytest

from npvgg.kernels.engine.float32 import packing
from npvgg.kernels.engine.machine import CACHE_LINE, COLUMNS, LANES
from npvgg.kernels.engine.steps import PARTS

EPS = 1e-5


def parts_of(channels, **options):
    """bias, mask, mean, scale, shift: each (blocks·LANES,)."""
    packed = packing.pack_tail(channels, **options)
    assert packed.dtype == np.float32 and packed.flags.c_contiguous and packed.shape[1:] == (PARTS, LANES)
    return packed.transpose(1, 0, 2).reshape(PARTS, -1)


@pytest.mark.parametrize("channels", [1, LANES - 1, LANES, LANES + 1, COLUMNS, COLUMNS + 1, 3 * COLUMNS])
def test_a_tail_fills_whole_panels_and_masks_what_does_not_exist(channels):
    """A product finishes a panel of COLUMNS channels at a time, and rows of features end on cache lines."""
    bias, mask, mean, scale, shift = parts_of(channels)
    assert bias.size >= channels and bias.size % COLUMNS == bias.size % CACHE_LINE == 0
    assert (mask.view(np.int32)[:channels] == -1).all() and not mask.view(np.int32)[channels:].any()
    assert (scale[:channels] == 1).all() and not scale[channels:].any()
    assert not bias.any() and not mean.any() and not shift.any()


def test_what_is_lacking_changes_no_bit_of_any_number():
    """(x + −0) − 0 and x · 1 + −0 are x, for zeros of both signs too."""
    bias, _, mean, _, shift = parts_of(3)
    assert np.signbit(bias[:3]).all() and np.signbit(shift[:3]).all() and not np.signbit(mean[:3]).any()


def test_a_batch_norm_is_folded_in_float64_and_rounded_once():
    rng = np.random.default_rng(0)
    gamma, beta, mean = rng.standard_normal((3, 21)).astype(np.float32)
    variance = np.geomspace(1e-9, 1e9, 21).astype(np.float32)            # ε alone, both, σ² alone
    bias = rng.standard_normal(21).astype(np.float32)
    found = parts_of(21, bias=bias, norm=((gamma, beta, mean, variance), EPS))
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + EPS)
    for part, expected in zip((found[0], found[2], found[3], found[4]), (bias, mean, scale.astype(np.float32), beta)):
        assert np.array_equal(part[:21], expected) and not part[21:].any()


@pytest.mark.parametrize("outputs, inputs", [(1, 1), (5, CACHE_LINE), (3, CACHE_LINE + 1)])
def test_a_row_of_a_dense_layer_is_whole_cache_lines(outputs, inputs):
    weight = np.random.default_rng(1).standard_normal((outputs, inputs)).astype(np.float32)
    packed = packing.pack_dense(weight)
    assert packed.shape[1] % CACHE_LINE == 0 and np.array_equal(packed[:, :inputs], weight) and not packed[:, inputs:].any()
    assert (packed is weight) == (inputs % CACHE_LINE == 0)              # 411 MB are not copied without need
