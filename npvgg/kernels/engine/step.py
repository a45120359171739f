"""One step of a program: what the threads do between two meetings, as a row of whole numbers.

Feature maps are stored as (N, C/L, rows, columns, L): one vector is L channels of one pixel.  Around the H×W pixels lies a
border of zeros, one pixel wide at the top and left, at least one at the bottom and right.  Channels above C in the last block
are zero.

Places in the arena are counted in floats from its start; `weights`, `tail` and `floor` are addresses.
"""
import numpy as np

from npvgg.kernels.engine.machine import CACHE_LINE, LANES, ROWS, VECTORS
from npvgg.kernels.engine.winograd import TILES

(PAD_INPUT, FIRST_CONVOLUTION, DIRECT, WINOGRAD, TRANSFORM, MULTIPLY, TRANSFORM_BACK, MAXPOOL, NORMALISE, AVERAGE,
 DENSE, RELU) = range(12)

FIELDS = (
    "operation",
    "tasks",                # how many pieces the step is divided into; each is done by one thread
    "images",
    "inputs", "outputs",    # blocks of channels; of a dense layer and of PAD_INPUT, numbers
    "height", "width",      # of the convolution's output, before pooling
    "kh", "kw",             # size of the filter
    "summed",               # blocks of channels whose products are summed before they join the total
    "skipped",              # rows and columns of the stored input before the first that the filter sees
    "x", "x_image", "x_plane", "x_row",     # where the input lies, and the distances between images, blocks and rows
    "y", "y_image", "y_plane", "y_row",
    "y_height", "y_width",  # pixels of the output without its border
    "weights",              # packed, see packing.py; the constants of a local response normalisation
    "tail",                 # for each block of channels: L biases, L masks (all bits set where the channel exists)
    "floor",                # the least value let through: 0 for ReLU, −∞ for none
    "pooled",               # 1: followed by 2×2 max-pooling
    "tile",                 # m of Winograd's F(m×m, 3×3)
    "tiles_across", "tiles",                # tiles in a row and in an image
    "chunk",                # tiles, rows or outputs a task
    "slots",                # tiles that one position of v and m has room for
    "v", "v_position",      # transformed input, ((m+2)², C/L, slots, L), and the distance between positions
    "m", "m_position",      # products, ((m+2)², O/L or those of one panel, slots, L)
    "scratch", "scratch_size",              # each thread's own room
)
STEP = np.dtype([(field, np.int64) for field in FIELDS])

# What a thread needs for itself, in floats.
SEGMENT = 4 * ROWS              # pixels of a row that a direct convolution finishes at a time
SEGMENT_SUMS = VECTORS * (SEGMENT + ROWS) * LANES
CONVOLUTION_SCRATCH = SEGMENT_SUMS + max(TILES.values())**2 * LANES       # and a tile that hangs over the edge
PICTURE_CHANNELS = 3
LINE = CACHE_LINE // 2          # int64 in a cache line: counters that different threads change lie that far apart
