"""The steps of a program: what the threads do between two meetings, each a row of whole numbers.

Feature maps are stored as (N, C/L, rows, columns, L): one vector is L channels of one pixel.  Around the H×W pixels lies a
border of zeros, one pixel wide at the top and left, at least one at the bottom and right.  Channels above C in the last block
are zero.  Rows of features are maps of one pixel without a border.

In a program places are counted in floats from the start of its arena; for a run they become addresses.
"""
import numpy as np

from npvgg.kernels.engine.machine import CACHE_LINE, LANES, ROWS, VECTORS
from npvgg.kernels.engine.winograd import LARGEST_TILE

# kind: what a step of it does.  float32/run.py has the function that does one task of each.
KINDS = {
    "pad_picture": "the pictures (N, C, H, W) with a border, for the first convolution",
    "enter": "(N, C, H, W) or (N, features) → blocks of channels",
    "mirror": "a border that mirrors the map becomes part of it",
    "first_convolution": "a 3×3 convolution of few channels, on padded pictures",
    "direct": "a convolution as sums over the places of its filter",
    "winograd": "a 3×3 convolution tile by tile: transform, multiply, transform back",
    "transform": "the first third of it, over all tiles",
    "multiply": "the second",
    "transform_back": "the third",
    "finish": "what follows a sum, on its own: bias, batch norm, ReLU",
    "maxpool": "the largest of 2×2 windows side by side",
    "avgpool": "their mean",
    "normalise": "local response normalisation over five channels with β = ¾",
    "adaptive_average": "the means of k×k bins",
    "adaptive_maximum": "the largest values of k×k bins",
    "dense": "a fully connected layer",
    "leave": "blocks of channels → (N, C, H, W) or (N, features)",
}
# The kinds that only training has.  float32/gradients/run.py has their functions.
TRAINING_KINDS = {
    "pack_tail": "a bias → what follows a sum",
    "pack_first": "the first convolution's weight → panels",
    "pack_winograd": "another 3×3 convolution's weight → transformed filters, forward or turned for the way back",
    "statistics": "the mean of each plane, and its squares",
    "merge_statistics": "those of all images → batch norm's constants",
    "finish_pooled": "batch norm, ReLU and 2×2 max pooling",
    "mask": "rows of features times a mask",
    "norm_sums": "what the gradient through batch norm sums over each plane",
    "merge_norm_sums": "those of all images → the gradients of γ and β",
    "norm_gradient": "the gradient through batch norm, ReLU and max pooling",
    "relu_gradient": "the gradient through ReLU and max pooling, and its sum over each plane",
    "join": "a gradient that the caller gives is added to the one that arrives",
    "merge_bias": "those of all images → a bias's gradient",
    "weight_gradient": "parts of the tiles → sums of outer products",
    "transform_gradient": "a gradient's tiles, transformed",
    "multiply_gradient": "outer products over all tiles",
    "filter_gradient": "sums of outer products → a weight's gradient",
    "first_weight_gradient": "each image's share of the first convolution's weight",
    "merge_first_weight": "their sum",
    "dense_weight_gradient": "a dense layer's weight and bias",
    "dense_input_gradient": "its input",
    "adaptive_average_gradient": "the gradient through the means of k×k bins",
}
NUMBER = {kind: number for number, kind in enumerate([*KINDS, *TRAINING_KINDS])}

FIELDS = (
    "kind",
    "tasks",                # how many pieces the step is divided into; each is done by one thread
    "images",
    "inputs", "outputs",    # blocks of channels; of a dense layer, numbers
    "channels",             # that exist: of the input of a convolution, and where a step enters or leaves
    "height", "width",      # of the input; of a convolution's output before pooling
    "kh", "kw", "padding",  # of a filter
    "summed", "grouped",    # blocks of channels whose products are summed in registers, and whose sums are gathered then
    "x", "x_image", "x_plane", "x_row",     # the first pixel of the input, and the distances between images, blocks and rows
    "y", "y_image", "y_plane", "y_row",
    "y_height", "y_width",  # pixels of the output without its border
    "y_border",             # 1: the output has a border
    "y_end",                # of rows of features: floats an image, the last of which are zeros
    "weights",              # packed, see packing.py; the constants of a local response normalisation
    "tail",                 # for each block of channels what follows the sum: see packing.pack_tail
    "floor",                # the least value let through: 0 for ReLU, −∞ for none
    "pooled",               # 1: followed by 2×2 max-pooling
    "tile_height", "tile_width",            # pixels of a Winograd tile, F(height×width, 3×3)
    "tiles_across", "tiles",                # tiles in a row and in an image
    "chunk",                # tiles, rows or outputs a task
    "slots",                # tiles that one position of v and m has room for
    "v", "v_position",      # transformed input, (positions, C/L, slots, L), and the distance between positions
    "m", "m_position",      # products, (positions, O/L or those of one panel, slots, L)
    "scratch", "scratch_size",              # each thread's own room
    # In training alone:
    "g", "g_image", "g_plane", "g_row",     # the gradient that is read
    "weight", "bias", "has_bias",           # parameters as they lie
    "weight_gradient", "bias_gradient",     # where their gradients go
    "filters",              # outputs of a convolution that exist; `channels` of its inputs exist
    "rotated",              # 1: filters turned by 180°, inputs and outputs exchanged
    "sums", "parts",        # partial sums, and into how many parts the tiles are divided
    "mean", "variance",     # of the batch
    "fixed",                # 1: mean and variance are given, and depend on nothing
    "constants",            # ε of batch norm, a float64
    "coefficients",         # of the gradient through batch norm
)
STEP = np.dtype([(field, np.int64) for field in FIELDS])

# What a thread needs for itself, in floats: the sums of part of a row and what they lost, or a tile that hangs over the edge.
SEGMENT = 4 * ROWS              # pixels of a row that a direct convolution finishes at a time
CONVOLUTION_SCRATCH = max(2 * VECTORS * (SEGMENT + ROWS), LARGEST_TILE**2) * LANES
PICTURE_CHANNELS = 4            # at most, that the first convolution sums on its own
PARTS = 5                       # vectors a block of channels has in a tail: bias, mask, mean, scale, shift
LINE = CACHE_LINE // 2          # int64 in a cache line: counters that different threads change lie that far apart
