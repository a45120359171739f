"""Weights in the order in which the engine reads them, computed in float64 and rounded once.

A panel is COLUMNS neighbouring output channels; channels that do not exist, in or out, have weights of zero.
"""
import numpy as np

from npvgg.kernels.compiling import native
from npvgg.kernels.engine.machine import COLUMNS, LANES
from npvgg.kernels.engine.winograd import filter_matrix


def blocks(channels):
    """How many blocks of LANES hold so many channels."""
    return -(-channels // LANES)


def folded(bias, norm):
    """The batch norm behind a convolution as a factor for its weights and another bias: both (O,) float64.

        scale = γ / √(σ² + ε)          bias ← (bias − μ) · scale + β

    `norm` is (γ, β, μ, σ²) and ε, or None for a convolution without.  (Ioffe and Szegedy, arXiv 1502.03167, section 3.1.)
    """
    bias = bias.astype(np.float64)
    if norm is None:
        return np.ones(len(bias)), bias
    (gamma, beta, mean, variance), eps = (np.asarray(values, np.float64) for values in norm[0]), norm[1]
    scale = gamma / np.sqrt(variance + eps)
    return scale, (bias - mean) * scale + beta


def pack_tail(bias):
    """(O,) biases → (panels·VECTORS, 2, LANES) float32: biases, and masks whose bits are all set where the channel exists."""
    count = -(-len(bias) // COLUMNS) * COLUMNS
    biases = np.zeros(count, np.float32)
    biases[:len(bias)] = bias
    masks = np.where(np.arange(count) < len(bias), -1, 0).astype(np.int32).view(np.float32)
    return np.ascontiguousarray(np.stack([biases.reshape(-1, LANES), masks.reshape(-1, LANES)], axis=1))


def pack_normalisation(alpha, k):
    """The constants of a local response normalisation over five channels: α/5, k, and a vector of zeros."""
    return np.array([alpha / 5, k, *[0] * LANES], np.float32)


def pack_direct(weight):
    """(O, C, kh, kw) → (panels, kh, kw, C, COLUMNS) float32, C a whole number of blocks."""
    return pack_taps(weight, blocks(weight.shape[1]) * LANES)


def pack_first(weight):
    """(O, 3, 3, 3) → (panels, kh, kw, 3, COLUMNS) float32: under each row of the filter, pixel by pixel."""
    return pack_taps(weight, weight.shape[1])


def pack_taps(weight, depth):
    """(O, C, kh, kw) → (panels, kh, kw, depth, COLUMNS) float32."""
    outputs, channels, kh, kw = weight.shape
    packed = np.zeros((-(-outputs // COLUMNS) * COLUMNS, depth, kh, kw), np.float32)
    packed[:outputs, :channels] = weight
    return np.ascontiguousarray(packed.reshape(-1, COLUMNS, depth, kh, kw).transpose(0, 3, 4, 2, 1))


def pack_winograd(weight, scale, m, share):
    """G g Gᵀ of every filter: (O, C, 3, 3) and a factor for each output → ((m+2)², panels, C, COLUMNS) float32.

    `share(function, count)` calls function(k) for k < count, on as many threads as it likes.
    """
    outputs, channels = weight.shape[:2]
    packed = np.empty(((m + 2)**2, -(-outputs // COLUMNS), blocks(channels) * LANES, COLUMNS), np.float32)
    weight, scale, matrix = np.ascontiguousarray(weight), np.ascontiguousarray(scale, np.float64), filter_matrix(m)
    transform = native.entry("transform_filters")

    def panel(number):
        room = np.empty((9 + 3 * (m + 2)) * COLUMNS)
        transform(weight.ctypes.data, outputs, channels, scale.ctypes.data, matrix.ctypes.data, m + 2, number,
                  *packed.shape[1:3], packed.ctypes.data, room.ctypes.data)

    share(panel, packed.shape[1])
    return packed
