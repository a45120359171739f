"""What must hold whatever the numbers are.  In float64, where only the law can be wrong."""
import numpy as np
import pytest
from witnesses.operations import distinct

from npvgg.kernels import tiers

each_tier = pytest.mark.parametrize("kernels", [tiers.choose(tier) for tier in tiers.LADDER], ids=tiers.LADDER)
close = {"rtol": 1e-11, "atol": 1e-12}


def random(*shape, seed=0):
    return distinct(shape, np.random.default_rng([seed, *shape]))


@each_tier
def test_convolution_is_linear_in_the_picture_and_in_the_filters(kernels):
    x, other = random(2, 3, 7, 5), random(2, 3, 7, 5, seed=1)
    weight, more = random(4, 3, 3, 3), random(4, 3, 3, 3, seed=1)
    zero = np.zeros(4)

    def conv(x, weight):
        return kernels["conv2d"](x, weight, zero)

    np.testing.assert_allclose(conv(2 * x - 3 * other, weight), 2 * conv(x, weight) - 3 * conv(other, weight), **close)
    np.testing.assert_allclose(conv(x, 2 * weight - 3 * more), 2 * conv(x, weight) - 3 * conv(x, more), **close)


@each_tier
def test_convolution_moves_with_the_picture(kernels):
    x, weight, bias = np.zeros((1, 3, 12, 15)), random(4, 3, 3, 3), random(4)
    x[:, :, 3:7, 2:8] = random(1, 3, 4, 6)
    moved = np.roll(x, (2, 5), axis=(2, 3))
    np.testing.assert_allclose(kernels["conv2d"](moved, weight, bias),
                               np.roll(kernels["conv2d"](x, weight, bias), (2, 5), axis=(2, 3)), **close)


@each_tier
@pytest.mark.parametrize("kh, kw, padding", [(3, 3, 1), (3, 3, 0), (1, 1, 0), (2, 4, 1)])
def test_the_adjoint_of_a_convolution_is_one_with_flipped_filters(kernels, kh, kw, padding):
    """⟨conv(x), g⟩ = ⟨x, conv'(g)⟩, where conv' swaps in and out channels and flips; a transposed index breaks it."""
    x, weight = random(2, 3, 7, 9), random(4, 3, kh, kw)
    y = kernels["conv2d"](x, weight, np.zeros(4), padding=padding)
    g = random(*y.shape, seed=2)
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    margins = (kh - 1 - padding, kh - 1 - padding), (kw - 1 - padding, kw - 1 - padding)
    back = kernels["conv2d"](np.pad(g, ((0, 0), (0, 0), *margins)), flipped, np.zeros(3), padding=0)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(y, g), np.vdot(x, back), **close)


@each_tier
def test_a_filter_of_one_one_is_the_identity(kernels):
    x, weight = random(2, 3, 5, 8), np.zeros((3, 3, 3, 3))
    weight[np.arange(3), np.arange(3), 1, 1] = 1
    assert np.array_equal(kernels["conv2d"](x, weight, np.zeros(3)), x)


@each_tier
def test_dense_is_a_convolution_whose_window_is_the_picture(kernels):
    x, weight, bias = random(3, 2, 4, 5), random(6, 2, 4, 5), random(6)
    by_window = kernels["conv2d"](x, weight, bias, padding=0)[:, :, 0, 0]
    np.testing.assert_allclose(kernels["dense"](kernels["flatten"](x), weight.reshape(6, -1), bias), by_window, **close)


@each_tier
def test_pooling_and_relu_commute(kernels):
    x = random(2, 3, 7, 9)
    assert np.array_equal(kernels["relu"](kernels["maxpool2d"](x)), kernels["maxpool2d"](kernels["relu"](x)))


@each_tier
def test_pool_of_odd_width_drops_the_last_column(kernels):
    x = random(1, 2, 6, 7)
    assert np.array_equal(kernels["maxpool2d"](x), kernels["maxpool2d"](x[..., :6]))
    assert np.array_equal(kernels["maxpool2d"](x, ceil_mode=True)[..., 3], x[..., 6].reshape(1, 2, 3, 2).max(-1))


@each_tier
def test_batch_norm_by_the_pictures_own_statistics_standardises_it(kernels):
    x, weight, bias = random(4, 3, 5, 6), np.array([2.0, -1.0, 0.5]), np.array([0.0, 3.0, -2.0])
    y = kernels["batchnorm2d"](x, weight, bias, x.mean((0, 2, 3)), x.var((0, 2, 3)), eps=0)
    np.testing.assert_allclose(y.mean((0, 2, 3)), bias, **close)
    np.testing.assert_allclose(y.std((0, 2, 3)), abs(weight), **close)


@each_tier
def test_batch_norm_is_a_1x1_convolution(kernels):
    x, weight, bias, mean, var = random(2, 3, 4, 5), *(random(3, seed=seed) for seed in range(4))
    var = var**2
    scale = weight / np.sqrt(var + 1e-5)
    by_filters = kernels["conv2d"](x, np.diag(scale)[:, :, None, None], bias - mean * scale, padding=0)
    np.testing.assert_allclose(kernels["batchnorm2d"](x, weight, bias, mean, var), by_filters, **close)


@each_tier
def test_response_norm_of_one_channel_sees_only_itself(kernels):
    x = random(2, 4, 3, 5)
    y = kernels["local_response_norm"](x, size=1, alpha=0.3, beta=0.75, k=1.5)
    np.testing.assert_allclose(y, x / (1.5 + 0.3 * x**2) ** 0.75, **close)


@each_tier
def test_average_pool_keeps_the_mean_where_the_bins_divide_the_map(kernels):
    x = random(2, 3, 14, 21)
    np.testing.assert_allclose(kernels["adaptive_avgpool2d"](x).mean((2, 3)), x.mean((2, 3)), **close)


@each_tier
def test_average_pool_repeats_a_map_that_is_smaller(kernels):
    x = random(2, 3, 1, 1)
    assert np.array_equal(kernels["adaptive_avgpool2d"](x, size=3), np.broadcast_to(x, (2, 3, 3, 3)))


@each_tier
def test_softmax_forgets_a_constant_and_sums_to_one(kernels):
    x = random(3, 50)
    np.testing.assert_allclose(kernels["softmax"](x + 700), kernels["softmax"](x), **close)
    np.testing.assert_allclose(kernels["softmax"](x).sum(-1), 1, **close)
    np.testing.assert_allclose(np.exp(kernels["log_softmax"](x)), kernels["softmax"](x), **close)
    np.testing.assert_allclose(kernels["log_softmax"](x + 700), kernels["log_softmax"](x), rtol=1e-9)


@each_tier
def test_flatten_reads_channels_then_rows_then_columns(kernels):
    x = random(2, 3, 4, 5)
    assert kernels["flatten"](x)[1, (2 * 4 + 3) * 5 + 4] == x[1, 2, 3, 4]


@each_tier
def test_dropout_does_nothing(kernels):
    x = random(2, 9)
    assert np.array_equal(kernels["dropout"](x, p=0.9), x)
