"""Weights in the order in which the engine reads them, computed in float64 and rounded once.

A panel is COLUMNS neighbouring output channels; channels that do not exist, in or out, have weights of zero.
"""
import numpy as np

from npvgg.kernels.engine.product import COLUMNS, LANES
from npvgg.kernels.engine.winograd import POSITIONS, SPAN, TILE, filter_matrix
from npvgg.kernels.flags import serial


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
    """(O,) biases → (blocks, 2, LANES) float32: biases, and masks whose bits are all set where the channel exists."""
    count = blocks(len(bias)) * LANES
    biases = np.zeros(count, np.float32)
    biases[:len(bias)] = bias
    masks = np.where(np.arange(count) < len(bias), -1, 0).astype(np.int32).view(np.float32)
    return np.ascontiguousarray(np.stack([biases.reshape(-1, LANES), masks.reshape(-1, LANES)], axis=1))


def pack_normalisation(alpha, k):
    """The constants of a local response normalisation over five channels: α/5, k, and a vector of zeros."""
    return np.array([alpha / 5, k, *[0] * LANES], np.float32)


def pack_direct(weight):
    """(O, C, kh, kw) → (panels, kh, kw, C, COLUMNS) float32, C a whole number of blocks."""
    outputs, channels, kh, kw = weight.shape
    packed = np.zeros((-(-outputs // COLUMNS) * COLUMNS, blocks(channels) * LANES, kh, kw), np.float32)
    packed[:outputs, :channels] = weight
    return np.ascontiguousarray(packed.reshape(-1, COLUMNS, *packed.shape[1:]).transpose(0, 3, 4, 2, 1))


def pack_first(weight):
    """(O, 3, 3, 3) → (panels, kh, kw, 3, COLUMNS) float32: under each row of the filter, pixel by pixel."""
    outputs, channels, kh, kw = weight.shape
    packed = np.zeros((-(-outputs // COLUMNS) * COLUMNS, channels, kh, kw), np.float32)
    packed[:outputs] = weight
    return np.ascontiguousarray(packed.reshape(-1, COLUMNS, channels, kh, kw).transpose(0, 3, 4, 2, 1))


def pack_winograd(weight, scale, share):
    """G g Gᵀ of every filter: (O, C, 3, 3) and a factor for each output → (36, panels, C, COLUMNS) float32.

    `share(function, count)` calls function(k) for k < count, on as many threads as it likes.
    """
    outputs, channels = weight.shape[:2]
    panels = -(-outputs // COLUMNS)
    packed = np.empty((POSITIONS, panels, blocks(channels) * LANES, COLUMNS), np.float32)
    weight = np.require(weight, requirements=["C", "A"]).view()
    weight.flags.writeable = False              # the one form pack_panel is compiled for, whatever the array comes from
    matrix = filter_matrix(TILE)
    share(lambda panel: pack_panel(weight, scale, matrix, panel, packed), panels)
    return packed


@serial
def pack_panel(weight, scale, matrix, panel, packed):
    """One panel of `pack_winograd`, COLUMNS filters at a time, first along the columns of g, then along the rows."""
    outputs, channels = weight.shape[:2]
    filters = np.zeros((3, 3, COLUMNS))
    half = np.zeros((SPAN, 3, COLUMNS))
    whole = np.zeros(COLUMNS)
    count = min(COLUMNS, outputs - panel * COLUMNS)
    for channel in range(packed.shape[2]):
        if channel >= channels:
            packed[:, panel, channel] = 0
            continue
        for o in range(count):
            for u in range(3):
                for v in range(3):
                    filters[u, v, o] = weight[panel * COLUMNS + o, channel, u, v] * scale[panel * COLUMNS + o]
        for i in range(SPAN):
            for v in range(3):
                for o in range(COLUMNS):
                    half[i, v, o] = matrix[i, 0] * filters[0, v, o] + matrix[i, 1] * filters[1, v, o] \
                        + matrix[i, 2] * filters[2, v, o]
        for i in range(SPAN):
            for j in range(SPAN):
                for o in range(COLUMNS):
                    whole[o] = matrix[j, 0] * half[i, 0, o] + matrix[j, 1] * half[i, 1, o] + matrix[j, 2] * half[i, 2, o]
                for o in range(COLUMNS):
                    packed[SPAN * i + j, panel, channel, o] = whole[o]
