"""Weights in the order in which the engine reads them, computed in float64 and rounded once.

A panel is COLUMNS neighbouring output channels; channels that do not exist, in or out, have weights of zero.
"""
import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.compiling import native
from npvgg.kernels.engine.machine import CACHE_LINE, COLUMNS, LANES
from npvgg.kernels.engine.steps import PARTS
from npvgg.kernels.engine.winograd import filter_matrix, positions


def pack_tail(channels, bias=None, norm=None):
    """What follows the sums of so many channels → (blocks, PARTS, LANES) float32, whole panels of blocks.

    Biases, masks whose bits are all set where the channel exists, and mean, γ / √(σ² + ε) and β of the batch norm
    (γ, β, μ, σ²), ε.  Without them −0.0, 0, 1 and −0.0, which change no bit of any number.
    """
    mean, scale, shift = np.zeros(channels), np.ones(channels), np.full(channels, -0.0)
    if norm is not None:
        (gamma, shift, mean, variance), eps = (np.asarray(values, np.float64) for values in norm[0]), norm[1]
        with np.errstate(all="ignore"):                 # a variance of −1 or NaN is an answer of NaN
            scale = gamma / np.sqrt(variance + eps)
    count = ceil_div(channels, max(COLUMNS, CACHE_LINE)) * max(COLUMNS, CACHE_LINE)
    parts = np.zeros((PARTS, count), np.float32)
    parts[:, :channels] = np.full(channels, -0.0) if bias is None else bias, np.zeros(channels), mean, scale, shift
    parts[1, :channels] = np.full(channels, -1, np.int32).view(np.float32)
    return np.ascontiguousarray(parts.reshape(PARTS, -1, LANES).transpose(1, 0, 2))


def pack_normalisation(alpha, k):
    """The constants of a local response normalisation over five channels: α/5, k, and a vector of zeros."""
    return np.array([alpha / 5, k, *[0] * LANES], np.float32)


def pack_direct(weight):
    """(O, C, kh, kw) → (panels, kh, kw, C, COLUMNS) float32, C a whole number of blocks."""
    return np.ascontiguousarray(in_panels(weight, ceil_div(weight.shape[1], LANES) * LANES).transpose(0, 3, 4, 2, 1))


def pack_first(weight):
    """(O, C, kh, kw) → (panels, C, kh, kw, COLUMNS) float32."""
    return np.ascontiguousarray(in_panels(weight, weight.shape[1]).transpose(0, 2, 3, 4, 1))


def in_panels(weight, depth):
    """(O, C, kh, kw) → (panels, COLUMNS, depth, kh, kw) float32."""
    outputs, channels, kh, kw = weight.shape
    padded = np.zeros((ceil_div(outputs, COLUMNS) * COLUMNS, depth, kh, kw), np.float32)
    padded[:outputs, :channels] = weight
    return padded.reshape(-1, COLUMNS, depth, kh, kw)


def pack_winograd(weight, m, share):
    """G g Gᵀ of every filter: (O, C, 3, 3) → ((m+2)², panels, C, COLUMNS) float32.

    `share(function, count)` calls function(k) for k < count, on as many threads as it likes.
    """
    outputs, channels = weight.shape[:2]
    packed = np.empty((positions(m, m), ceil_div(outputs, COLUMNS), ceil_div(channels, LANES) * LANES, COLUMNS), np.float32)
    weight, matrix = np.require(weight, requirements=["C", "A"]), filter_matrix(m)
    transform = native.entry("npvgg.kernels.engine.float32.filters", "transform_filters", str(COLUMNS))

    def panel(number):
        room = np.empty((9 + 3 * (m + 2)) * COLUMNS)
        transform(weight.ctypes.data, outputs, channels, matrix.ctypes.data, m + 2, number,
                  *packed.shape[1:3], packed.ctypes.data, room.ctypes.data)

    share(panel, packed.shape[1])
    return packed


def pack_dense(weight):
    """(outputs, inputs) → as it lies, unless a row is not a whole number of cache lines."""
    rest = -weight.shape[1] % CACHE_LINE
    if rest or not (weight.flags.c_contiguous and weight.flags.aligned):
        weight = np.ascontiguousarray(np.pad(weight, ((0, 0), (0, rest))))
    return weight
