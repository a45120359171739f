"""The engine's convolutions and dense layers against the definition in float64, on shapes that leave every edge ragged."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from witnesses.operations import same_bits

from npvgg.kernels import tiers
from npvgg.kernels.engine import convolution_steps
from npvgg.kernels.engine.convolution_steps import GROUPED, SUMMED, algorithm_for
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
       padding=st.integers(0, 1), seed=seeds)
def test_3x3_convolutions_of_any_shape(n, c, o, height, width, padding, seed):
    assume(min(height, width) + 2 * padding >= 3)
    arrays = random(n, c, height, width, seed=seed), random(o, c, 3, 3, seed=seed), random(o, seed=seed)
    check(conv2d(*arrays, padding=padding), "conv2d", arrays, 16, padding=padding)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 2), c=st.integers(1, 2 * LANES + 1), o=st.integers(1, COLUMNS + 1), height=sizes, width=sizes,
       kh=st.integers(1, 5), kw=st.integers(1, 5), padding=st.integers(0, 3), seed=seeds)
def test_convolutions_with_any_filter_and_padding(n, c, o, height, width, kh, kw, padding, seed):
    assume(height + 2 * padding >= kh and width + 2 * padding >= kw)
    assume((kh, kw) != (3, 3))                          # Winograd's, above
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
    assert algorithm_for(x, layer(weight), is_first=True) == algorithm


def layer(weight):
    return Layer("conv2d", "conv", (("weight", weight), ("bias", weight[:1])), (("padding", weight[2] // 2),))


@pytest.mark.parametrize("height, width", [(1, 1), (2, 40), (3, 3), (4, 4), (5, 1), (64, 64), (200, 7)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4, 64])
def test_which_algorithm_runs_depends_on_shapes_alone(channels, height, width):
    expected = "winograd" if min(height, width) >= 4 else "direct"
    for n in (1, 9):
        x = n, channels, height, width
        assert algorithm_for(x, layer((35, channels, 3, 3))) == expected
        assert algorithm_for(x, layer((35, channels, 3, 3)), is_first=True) == ("first" if channels <= 4 else expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("width", range(1, ROWS + 2))
def test_a_picture_may_be_narrower_than_a_tile_of_sums(width, channels):
    for outputs in (LANES - 1, COLUMNS + 3):
        arrays = random(2, channels, 7, width), random(outputs, channels, 3, 3), random(outputs)
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
    one, here = conv2d(x, weight, bias), convolution_steps.machine()
    for second_level, last_level in ((0, 0), (0, 1 << 30), (1 << 30, 1 << 30)):
        other = replace(here, second_level=second_level, last_level=last_level)
        monkeypatch.setattr(convolution_steps, "machine", lambda: other)  # noqa: B023
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


# ------------------------------------------------------------------------------------------------- how sums are divided


def beside_one(shape, axis, small):
    """Ones in the first place along the axis, and `small` everywhere behind."""
    array = np.full(shape, small, np.float32)
    array[(slice(None),) * axis + (0,)] = 1
    return array


# Beside a 1, what is below 2⁻²⁵ is lost; so a sum shows how many of its terms came together before they joined the 1.
@pytest.mark.parametrize("op, channels, small, kept", [
    ("direct", 512, 2.0**-26, 512 - SUMMED), ("direct", 2048, 2.0**-33, 2048 - GROUPED["direct"]),
    ("winograd", 512, 2.0**-25.5, 512 - SUMMED), ("winograd", 4096, 2.0**-29.5, 4096 - GROUPED["winograd"]),
    ("first", 3, 2.0**-23, 2),
], ids=["direct chains", "direct totals", "winograd chains", "winograd groups", "channels of a picture"])
def test_small_terms_are_summed_before_they_meet_large_ones(op, channels, small, kept):
    assert min(GROUPED.values()) > SUMMED and max(GROUPED.values()) < 512
    side = 1 if op == "direct" else 3
    x, weight = beside_one((1, channels, 8, 9), 1, small), np.ones((2, channels, side, side), np.float32)
    found = conv2d(x, weight, np.zeros(2, np.float32), padding=side // 2)[0, :, 3:5, 3:5] / side**2 - 1
    assert algorithm_for(x.shape, layer(weight.shape), is_first=True) == op
    assert found == pytest.approx(kept * small, rel=0.4)          # the transforms round too; one long sum would give 0


def test_small_terms_of_a_dense_layer_are_summed_before_they_meet_large_ones():
    """512 ones, so that every lane has some, and 15 times as many numbers that one alone would be lost beside them."""
    x = np.full((4, 16 * 512), 2.0**-21, np.float32)
    x[:, :512] = 1
    answer = dense(x, np.ones((5, x.shape[1]), np.float32), np.zeros(5, np.float32))
    assert answer / 512 - 1 == pytest.approx(15 * 2.0**-21, rel=0.25)


@pytest.mark.parametrize("x_shape, side", [((2, 150, 9, 11), 3), ((1, 300, 3, 7), 3), ((2, 600, 5, 6), 1)], ids=str)
def test_more_channels_than_are_gathered_at_a_time(x_shape, side):
    arrays = random(*x_shape), random(COLUMNS + 5, x_shape[1], side, side), random(COLUMNS + 5)
    check(conv2d(*arrays, padding=side // 2), "conv2d", arrays, 2, padding=side // 2)


# ------------------------------------------------------------------------------------------------- other layers


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_maps_are_pooled_to_any_side(kind, size):
    x = random(2, LANES + 3, 9, 15)
    op = f"adaptive_{kind}pool2d"
    answer, exact = ENGINE[op](x, size=size), EXACT[op](x.astype(np.float64), size=size)
    assert answer.shape == exact.shape == (2, LANES + 3, size, size)
    assert abs(answer - exact).max() <= (4 * EPS * abs(x).max() if kind == "avg" else 0)


@pytest.mark.parametrize("channels", [1, LANES - 1, LANES, LANES + 1, 2 * LANES, 3 * LANES])
def test_normalisation_sees_the_neighbours_of_its_own_picture_alone(channels):
    """Blocks of channels that are full, and pictures in front and behind whose numbers are large."""
    x = random(3, channels, 3, 5)
    x[::2] *= 1e4
    options = {"size": 5, "alpha": 2.0, "beta": 0.75, "k": 1.0}
    answer, exact = (tier["local_response_norm"](x, **options) for tier in (ENGINE, EXACT))
    for found, right in zip(answer, exact):
        assert abs(found - right).max() <= 8 * EPS * abs(right).max()


@pytest.mark.parametrize("op, count", [("maxpool2d", 4), ("adaptive_maxpool2d", 6), ("avgpool2d", 4),
                                       ("adaptive_avgpool2d", 6)])
def test_nan_anywhere_in_a_window_or_bin_is_the_answer(op, count):
    """Windows of 2×2, bins of 2×3."""
    columns, options = count // 2, {"size": 2} if op.startswith("adaptive") else {}
    for place in range(count):
        x = random(2, 3, 4, 2 * columns)
        x[1, 2, place // columns, columns + place % columns] = np.nan
        nan = np.isnan(ENGINE[op](x, **options))
        assert nan[1, 2, 0, 1] and nan.sum() == 1


@pytest.mark.parametrize("op", ["maxpool2d", "adaptive_maxpool2d"])
def test_of_zeros_of_both_signs_the_first_wins(op):
    options = {"size": 1} if op.startswith("adaptive") else {}
    for place in range(4):
        x = np.zeros((1, 2, 2, 2), np.float32)
        x[0, 0, place // 2, place % 2] = -0.0
        answer = ENGINE[op](x, **options)
        assert np.signbit(answer[0, 0, 0, 0]) == (place == 0) and not np.signbit(answer[0, 1, 0, 0])
        assert op == "adaptive_maxpool2d" or same_bits(answer, EXACT[op](x, **options))


def test_relu_leaves_every_bit_that_it_lets_through():
    x = np.array([[-0.0, 0.0, 1e-45, -1e-45, np.nan, np.inf, -np.inf, 3.0, -3.0]], np.float32)
    expected = np.array([[-0.0, 0.0, 1e-45, 0.0, np.nan, np.inf, 0.0, 3.0, 0.0]], np.float32)
    assert same_bits(ENGINE["relu"](x), expected) and same_bits(ENGINE["relu"](x[:, :, None, None]), expected[:, :, None, None])


@pytest.mark.parametrize("algorithm", ["first", "direct"])
def test_what_a_convolution_lacks_changes_no_bit(algorithm):
    """Without bias a sum of −0.0 stays −0.0 as far as the algorithm gives one, and equals the sum with a bias of −0.0."""
    x_shape, weight_shape = SHAPES[algorithm]
    x, weight = random(*x_shape), random(*weight_shape)
    x[1] = 0
    weight[::2] = -abs(weight[::2])
    options = {"padding": weight_shape[2] // 2}
    lacking, given = (conv2d(x, weight, *bias, **options) for bias in ((), (np.full(len(weight), -0.0, np.float32),)))
    assert same_bits(lacking, given)
