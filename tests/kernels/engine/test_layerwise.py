"""The engine's convolutions and dense layers against the definition in float64, on shapes that leave every edge ragged."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from witnesses.operations import same_bits

from npvgg.kernels import tiers
from npvgg.kernels.engine import building
from npvgg.kernels.engine.machine import COLUMNS, LANES, ROWS
from npvgg.layer import Layer

EXACT, ENGINE = tiers.choose("reference"), tiers.choose("engine")
conv2d, dense = ENGINE["conv2d"], ENGINE["dense"]
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


# The transforms add up inputs and products with weights above 1 (of up to 2.6 and 3.4), in both directions: for one channel,
# where nothing averages it out, 10 roundings were seen.
@settings(max_examples=100, deadline=None)
@given(n=st.integers(0, 3), c=st.integers(1, 2 * LANES + 1), o=st.integers(1, 2 * COLUMNS + 1), height=sizes, width=sizes,
       seed=seeds)
def test_padded_3x3_convolutions_of_any_shape(n, c, o, height, width, seed):
    arrays = random(n, c, height, width, seed=seed), random(o, c, 3, 3, seed=seed), random(o, seed=seed)
    check(conv2d(*arrays), "conv2d", arrays, 16)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 2), c=st.integers(1, 2 * LANES + 1), o=st.integers(1, COLUMNS + 1), height=sizes, width=sizes,
       kh=st.integers(1, 5), kw=st.integers(1, 5), padding=st.integers(0, 3), seed=seeds)
def test_convolutions_with_any_filter_and_padding(n, c, o, height, width, kh, kw, padding, seed):
    assume(height + 2 * padding >= kh and width + 2 * padding >= kw)
    assume((kh, kw, padding) != (3, 3, 1))              # Winograd's, above
    arrays = random(n, c, height, width, seed=seed), random(o, c, kh, kw, seed=seed), random(o, seed=seed)
    check(conv2d(*arrays, padding=padding), "conv2d", arrays, 4, padding=padding)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 7), inputs=st.integers(1, 3000), outputs=st.integers(1, 41), seed=seeds)
def test_dense_layers_of_any_shape(n, inputs, outputs, seed):
    arrays = random(n, inputs, seed=seed), random(outputs, inputs, seed=seed), random(outputs, seed=seed)
    check(dense(*arrays), "dense", arrays, 2)


SHAPES = {"winograd": ((3, 21, 13, 18), (35, 21, 3, 3)), "direct": ((3, 21, 13, 18), (35, 21, 1, 1)),
          "first": ((3, 3, 13, 18), (35, 3, 3, 3))}
each_algorithm = pytest.mark.parametrize("algorithm", SHAPES)


@each_algorithm
def test_what_the_names_stand_for(algorithm):
    x, weight = SHAPES[algorithm]
    assert building.algorithm_for(x, layer(weight)) == algorithm


def layer(weight):
    return Layer("conv2d", "conv", (("weight", weight), ("bias", weight[:1])), (("padding", weight[2] // 2),))


@pytest.mark.parametrize("height, width", [(1, 1), (2, 40), (3, 3), (4, 4), (5, 1), (64, 64), (200, 7)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4, 64])
def test_which_algorithm_runs_depends_on_shapes_alone(channels, height, width):
    expected = "first" if channels == 3 else "winograd" if min(height, width) >= 4 else "direct"
    for n in (1, 9):
        assert building.algorithm_for((n, channels, height, width), layer((35, channels, 3, 3))) == expected


@pytest.mark.parametrize("width", range(1, ROWS + 2))
def test_a_picture_may_be_narrower_than_a_tile_of_sums(width):
    for outputs in (LANES - 1, COLUMNS + 3):
        arrays = random(2, 3, 7, width), random(outputs, 3, 3, 3), random(outputs)
        check(conv2d(*arrays), "conv2d", arrays, 4, padding=1)


@each_algorithm
def test_other_images_of_the_batch_change_no_bit(algorithm):
    x_shape, weight_shape = SHAPES[algorithm]
    x, weight, bias = random(*x_shape), random(*weight_shape), random(weight_shape[0])
    together = conv2d(x, weight, bias, padding=weight_shape[2] // 2)
    for n in range(len(x)):
        assert same_bits(conv2d(x[n:n + 1], weight, bias, padding=weight_shape[2] // 2), together[n:n + 1])


def test_three_steps_over_all_tiles_give_the_bits_of_one_step_over_few(monkeypatch):
    x, weight, bias = random(3, 70, 17, 22), random(90, 70, 3, 3), random(90)
    one, here = conv2d(x, weight, bias), building.machine()
    for second_level, last_level in ((0, 0), (0, 1 << 30), (1 << 30, 1 << 30)):
        monkeypatch.setattr(building, "machine", lambda: replace(here, second_level=second_level, last_level=last_level))  # noqa: B023
        assert same_bits(conv2d(x, weight, bias), one)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_dense_layer_gives_an_image_the_bits_it_gets_alone(n):
    x, weight, bias = random(n, 2500), random(37, 2500), random(37)
    together = dense(x, weight, bias)
    for k in range(n):
        assert same_bits(dense(x[k:k + 1], weight, bias), together[k:k + 1])


@each_algorithm
def test_nan_reaches_every_pixel_whose_window_holds_it(algorithm):
    """Winograd's tiles spread it a little further, no algorithm keeps it from where it belongs."""
    x_shape, weight_shape = SHAPES[algorithm]
    x, weight, bias = random(*x_shape), random(*weight_shape), random(weight_shape[0])
    x[1, 2, 6, 9] = np.nan
    answer = conv2d(x, weight, bias, padding=weight_shape[2] // 2)
    belongs = np.isnan(EXACT["conv2d"](x, weight, bias, padding=weight_shape[2] // 2))
    assert np.isnan(answer[belongs]).all() and belongs.any()
    assert not np.isnan(answer[[0, 2]]).any()
    if algorithm != "winograd":
        assert np.array_equal(np.isnan(answer), belongs)
