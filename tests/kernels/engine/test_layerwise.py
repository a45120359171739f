"""The engine's convolutions and dense layers against the definition in float64, on shapes that leave every edge ragged."""
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from witnesses.operations import same_bits

from npvgg.kernels import tiers
from npvgg.kernels.engine import layerwise, program, winograd
from npvgg.kernels.engine.float32.product import COLUMNS, LANES

EXACT = tiers.choose("reference")
EPS = np.finfo(np.float32).eps


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def check(answer, op, arrays, roundings, **options):
    """Off by no more than so many roundings of the largest sum of absolute products."""
    wide = [array.astype(np.float64) for array in arrays]
    exact, magnitude = EXACT[op](*wide, **options), EXACT[op](*(abs(array) for array in wide), **options)
    assert answer.shape == exact.shape and answer.dtype == np.float32
    assert abs(answer - exact).max(initial=0) <= roundings * EPS * magnitude.max(initial=0)


sizes = st.integers(1, 20)
seeds = st.integers(0, 99)


# The transforms add up inputs and products with weights above 1 (F(4×4) of up to 2.6 and 3.4, F(6×6) of up to 5.25 and 32), in
# both directions: for one channel, where nothing averages it out, 10 and 57 roundings were seen.
@pytest.mark.parametrize("large, roundings", [(winograd.LARGE, 16), (1, 128)], ids=winograd.TILES)
@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 3), c=st.integers(1, 2 * LANES + 1), o=st.integers(1, 2 * COLUMNS + 1), height=sizes, width=sizes,
       seed=seeds)
def test_padded_3x3_convolutions_of_any_shape(large, roundings, n, c, o, height, width, seed):
    arrays = random(n, c, height, width, seed=seed), random(o, c, 3, 3, seed=seed), random(o, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "LARGE", large)
        check(layerwise.conv2d(*arrays), "conv2d", arrays, roundings)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 2), c=st.integers(1, 2 * LANES + 1), o=st.integers(1, COLUMNS + 1), height=sizes, width=sizes,
       kh=st.integers(1, 5), kw=st.integers(1, 5), padding=st.integers(0, 3), seed=seeds)
def test_convolutions_with_any_filter_and_padding(n, c, o, height, width, kh, kw, padding, seed):
    assume(height + 2 * padding >= kh and width + 2 * padding >= kw)
    assume((kh, kw, padding) != (3, 3, 1))              # Winograd's, above
    arrays = random(n, c, height, width, seed=seed), random(o, c, kh, kw, seed=seed), random(o, seed=seed)
    check(layerwise.conv2d(*arrays, padding=padding), "conv2d", arrays, 4, padding=padding)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 7), inputs=st.integers(1, 3000), outputs=st.integers(1, 41), seed=seeds)
def test_dense_layers_of_any_shape(n, inputs, outputs, seed):
    arrays = random(n, inputs, seed=seed), random(outputs, inputs, seed=seed), random(outputs, seed=seed)
    check(layerwise.dense(*arrays), "dense", arrays, 2)


SHAPES = {"F(4×4)": ((3, 21, 13, 18), (35, 21, 3, 3)), "F(6×6)": ((3, 21, 71, 64), (35, 21, 3, 3)),
          "direct": ((3, 21, 13, 18), (35, 21, 1, 1)),
          "first": ((3, 3, 13, 18), (35, 3, 3, 3))}
each_algorithm = pytest.mark.parametrize("algorithm", SHAPES)


@each_algorithm
def test_what_the_names_stand_for(algorithm):
    x, weight = SHAPES[algorithm]
    assert program.algorithm_for(x, weight, weight[2] // 2) == algorithm


@pytest.mark.parametrize("width", range(1, program.ROWS + 2))
def test_a_picture_may_be_narrower_than_a_tile_of_sums(width):
    arrays = random(2, 3, 7, width), random(COLUMNS + 3, 3, 3, 3), random(COLUMNS + 3)
    check(layerwise.conv2d(*arrays), "conv2d", arrays, 4, padding=1)


@each_algorithm
def test_the_company_an_image_keeps_changes_no_bit(algorithm):
    x_shape, weight_shape = SHAPES[algorithm]
    x, weight, bias = random(*x_shape), random(*weight_shape), random(weight_shape[0])
    together = layerwise.conv2d(x, weight, bias, padding=weight_shape[2] // 2)
    for n in range(len(x)):
        assert same_bits(layerwise.conv2d(x[n:n + 1], weight, bias, padding=weight_shape[2] // 2), together[n:n + 1])


@pytest.mark.parametrize("large", [winograd.LARGE, 1], ids=winograd.TILES)
def test_three_steps_over_all_tiles_give_the_bits_of_one_step_over_few(large, monkeypatch):
    monkeypatch.setattr(winograd, "LARGE", large)
    x, weight, bias = random(3, 70, 17, 22), random(90, 70, 3, 3), random(90)
    one = layerwise.conv2d(x, weight, bias)
    for bytes_kept, task_bytes in ((0, 0), (1 << 30, 0), (1 << 30, 1 << 30)):
        monkeypatch.setattr(program, "RESIDENT", bytes_kept)
        monkeypatch.setattr(program, "TASK_BYTES", task_bytes)
        assert same_bits(layerwise.conv2d(x, weight, bias), one)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_dense_layer_gives_an_image_the_bits_it_gets_alone(n):
    x, weight, bias = random(n, 2500), random(37, 2500), random(37)
    together = layerwise.dense(x, weight, bias)
    for k in range(n):
        assert same_bits(layerwise.dense(x[k:k + 1], weight, bias), together[k:k + 1])


@each_algorithm
def test_nan_reaches_every_pixel_whose_window_holds_it(algorithm):
    """Winograd's tiles spread it a little further, no algorithm keeps it from where it belongs."""
    x_shape, weight_shape = SHAPES[algorithm]
    x, weight, bias = random(*x_shape), random(*weight_shape), random(weight_shape[0])
    x[1, 2, 6, 9] = np.nan
    answer = layerwise.conv2d(x, weight, bias, padding=weight_shape[2] // 2)
    belongs = np.isnan(EXACT["conv2d"](x, weight, bias, padding=weight_shape[2] // 2))
    assert np.isnan(answer[belongs]).all() and belongs.any()
    assert not np.isnan(answer[[0, 2]]).any()
    if algorithm not in winograd.TILES:
        assert np.array_equal(np.isnan(answer), belongs)
