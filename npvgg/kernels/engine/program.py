"""Operations on pictures of one size → the steps that compute them, and the memory they work in.

    program = build([Convolution(…), …, Dense(…)], images=8, height=224, width=224, threads=2)
    program.run(pictures)                       (8, 3, 224, 224) → (8, 1000)

The arena is one piece of memory.  Feature maps live in two halves of it, each step reading one and writing the other.
"""
import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from npvgg.kernels.compiling import native
from npvgg.kernels.engine import step, team, winograd
from npvgg.kernels.engine.float32.packing import blocks
from npvgg.kernels.engine.machine import CACHE_LINE, LANES, ROWS, VECTORS
from npvgg.kernels.engine.winograd import TILES

# Transformed filters of at most so many bytes stay in a cache while every thread reads them again and again.
RESIDENT = 12 << 20
# Room for the transformed tiles of a task and the products of a panel: part of a second-level cache of 1 MiB, through which
# the filters pass.
TASK_BYTES = 448 << 10
LEAST_TILES = -(-24 // ROWS) * ROWS     # in whole tiles of sums; with fewer the filters pass through too often
TASKS = 64                      # pieces that a step is divided into where nothing else decides: enough to share out evenly
# Channels whose products are summed before they join the total.  The error of C products grows with √64 + √(C/64) instead of
# √C, which for 512 channels means 2.5 times less.  F(6×6) makes so much of it that there it is worth a hundredth of the time
# to sum 32: rms 2.2e-6 instead of 2.8e-6 for 64 channels.
SUMMED = {"direct": 64, "F(4×4)": 64, "F(6×6)": 32}
LEAST_SIDE = 4                  # pixels: below, most of a Winograd tile would hang over the edge
DENSE_CHUNK = 16                # outputs of a dense layer a task

RELU_FLOOR, NO_FLOOR = np.zeros(1, np.float32), np.full(1, -np.inf, np.float32)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A 3×3 or 1×1 convolution with all that is fused into its last step."""

    weights: np.ndarray         # as packing.py leaves them for `algorithm`
    tail: np.ndarray
    channels: int               # that it makes
    algorithm: str              # one of winograd.TILES, "direct" or, on the picture itself, "first"
    relu: bool = True
    pooled: bool = False        # only Winograd's last step can
    kernel: tuple = (3, 3)
    size: tuple | None = None   # (H′, W′) where the stored input is padded already; None: as the input, padded by its border


@dataclass(frozen=True)
class MaxPool:
    """2×2 windows side by side."""


@dataclass(frozen=True, eq=False)
class Normalise:
    """Local response normalisation over five channels with β = ¾, which is the one VGG knows."""

    constants: np.ndarray       # α/5, k, and a vector of zeros


@dataclass(frozen=True)
class Average:
    """Adaptive average pooling to height × width, flattened."""

    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Dense:
    """A fully connected layer; `weights` is (outputs, inputs), inputs a whole number of vectors."""

    weights: np.ndarray
    bias: np.ndarray
    relu: bool = False


@dataclass(frozen=True)
class Relu:
    """On rows of numbers; elsewhere it rides on what comes before."""


@dataclass(frozen=True)
class Keep:
    """What has been computed so far is part of the answer, under this name; rows as arrays of `shape` an image."""

    name: str
    shape: tuple = ()


@dataclass(frozen=True)
class Map:
    """Where a feature map lies: distances in floats."""

    region: str
    images: int
    channels: int
    height: int
    width: int

    @cached_property
    def row(self):
        return self.room(self.width) * LANES

    @cached_property
    def plane(self):
        return self.room(self.height) * self.row

    def room(self, side):
        """Pixels that whole tiles of a convolution will read for `side` of them."""
        tile = TILES[winograd.variant_for(self.height, self.width)]
        return -(-side // tile) * tile + 2

    @cached_property
    def image(self):
        return self.blocks * self.plane

    @property
    def blocks(self):
        return blocks(self.channels)

    @property
    def floats(self):
        # A product may read up to ROWS pixels more than there are.
        return self.images * self.image + ROWS * LANES

    def as_input(self):
        return {"x": self.region, "x_image": self.image, "x_plane": self.plane, "x_row": self.row, "inputs": self.blocks}

    def as_output(self):
        return {"y": self.region, "y_image": self.image, "y_plane": self.plane, "y_row": self.row, "outputs": self.blocks,
                "y_height": self.height, "y_width": self.width, "images": self.images}


@dataclass(frozen=True)
class Picture:
    """The pictures as the first convolution reads them: (N, H+2, W+2, 3)."""

    region: str
    images: int
    height: int
    width: int

    @property
    def row(self):
        return 3 * (self.width + 2)

    @property
    def image(self):
        return (self.height + 2) * self.row

    @property
    def floats(self):
        return self.images * self.image + 3 * ROWS


@dataclass(frozen=True)
class Rows:
    """One row of numbers an image, filled up to whole vectors with zeros."""

    region: str
    images: int
    count: int
    shape: tuple = ()           # of an image's numbers, where they are the answer

    @property
    def image(self):
        return -(-self.count // CACHE_LINE) * CACHE_LINE

    @property
    def floats(self):
        return self.images * self.image


@dataclass
class Builder:
    """Steps under construction, with names of regions where the program will have places."""

    threads: int
    steps: list = field(default_factory=list)
    regions: dict = field(default_factory=dict)         # name: floats
    scratch: int = 0
    halves: int = 0
    owners: list = field(default_factory=list)          # which operation each step belongs to
    kept: dict = field(default_factory=dict)            # name: Rows

    def need(self, layout):
        self.regions[layout.region] = max(self.regions.get(layout.region, 0), layout.floats)
        return layout

    def half(self):
        """The half of the arena that is not being read."""
        self.halves += 1
        return f"half {self.halves % 2}"

    def step(self, operation, tasks, **fields):
        self.steps.append({"operation": operation, "tasks": tasks, **fields})

    def thread_room(self, floats):
        self.scratch = max(self.scratch, -(-floats // CACHE_LINE) * CACHE_LINE)


def build(operations, images, height, width, threads, channels=3):
    """Operations on (images, channels, height, width) → Program."""
    builder = Builder(threads)
    if isinstance(operations[0], Dense):
        source = builder.need(Rows("input", images, height * width * channels))
    elif isinstance(operations[0], Convolution) and operations[0].algorithm == "first":
        source = builder.need(Picture(builder.half(), images, height, width))
        builder.step(step.PAD_INPUT, images * (height + 2), y=source.region, y_image=source.image, y_row=source.row,
                     height=height, width=width)
    else:
        source = builder.need(Map("input", images, channels, height, width))
    first = source
    for number, operation in enumerate(operations):
        source = ADD[type(operation)](builder, operation, source)
        builder.owners += [number] * (len(builder.steps) - len(builder.owners))
    return Program(builder, operations, first, source)


def add_convolution(builder, operation, x):
    height, width = operation.size or (x.height, x.width)
    factor = 2 if operation.pooled else 1
    y = builder.need(Map(builder.half(), x.images, operation.channels, height // factor, width // factor))
    common = {**y.as_output(), "height": height, "width": width, "pooled": operation.pooled,
              "weights": operation.weights.ctypes.data, "tail": operation.tail.ctypes.data,
              "floor": floor(operation.relu)}
    builder.thread_room(step.CONVOLUTION_SCRATCH)
    borders = y.images * y.blocks
    if operation.algorithm == "first":
        # Rows side by side: where two threads write neighbouring rows, the lines that the processor asks for ahead of one are
        # taken from the other, and with one row a task this step took 1.9 ms instead of 1.2.
        rows = -(-x.images * height // TASKS)
        builder.step(step.FIRST_CONVOLUTION, -(-x.images * height // rows) + borders, **common,
                     x=x.region, x_image=x.image, x_row=x.row, chunk=rows)
    elif operation.algorithm == "direct":
        kh, kw = operation.kernel
        builder.step(step.DIRECT, x.images * height + borders, **common, **x.as_input(), kh=kh, kw=kw,
                     summed=summed(operation), skipped=0 if operation.size else 1 - kh // 2)
    else:
        add_winograd(builder, operation, x, y, {**common, **x.as_input()}, borders)
    return y


def add_winograd(builder, operation, x, y, common, borders):
    """One step where the transformed filters stay in a cache, three where they do not."""
    tile = TILES[operation.algorithm]
    assert operation.algorithm == winograd.variant_for(x.height, x.width)         # for which the map has room
    positions = (tile + 2)**2
    across = -(-x.width // tile)
    tiles = -(-x.height // tile) * across
    total = tiles * x.images
    inputs, outputs = x.blocks * LANES, -(-y.blocks // VECTORS) * VECTORS * LANES
    resident = operation.weights.nbytes <= RESIDENT
    if resident:
        outputs = VECTORS * LANES                                     # of one panel at a time
        most = max(LEAST_TILES, TASK_BYTES // (4 * positions * (inputs + outputs)))
        rounds = -(-total // (most * builder.threads))                # with nine tasks for two threads one would wait
        chunk = -(-total // (rounds * builder.threads))
    else:
        chunk = total
    slots = chunk + ROWS
    v_position, m_position = odd_lines(inputs * slots), odd_lines(outputs * slots)
    common |= {"summed": summed(operation), "tile": tile, "tiles_across": across, "tiles": tiles, "slots": slots,
               "v_position": v_position, "m_position": m_position}
    if resident:
        builder.thread_room(step.CONVOLUTION_SCRATCH + positions * (v_position + m_position))
        builder.step(step.WINOGRAD, -(-total // chunk) + borders, **common, chunk=chunk)
        return
    for region, position in (("v", v_position), ("m", m_position)):
        builder.regions[region] = max(builder.regions.get(region, 0), positions * position)
    common |= {"v": "v", "m": "m"}
    part = -(-total // max(1, TASKS // x.blocks))
    builder.step(step.TRANSFORM, x.blocks * -(-total // part), **common, chunk=part)
    products = positions * outputs // (VECTORS * LANES)
    share = max(1, products // (4 * TASKS))
    builder.step(step.MULTIPLY, -(-products // share), **common, chunk=share)
    part = -(-total // max(1, TASKS // y.blocks))
    builder.step(step.TRANSFORM_BACK, y.blocks * -(-total // part) + borders, **common, chunk=part)


def summed(operation):
    """Blocks of channels whose products are summed before they join the total."""
    return max(1, SUMMED[operation.algorithm] // LANES)


def odd_lines(floats):
    """At least so many floats, an odd number of cache lines.

    A tile's positions lie that far apart and are used together; distances that share a large power of two put all of them
    into a few sets of the cache (conv1_2 with 2048 bytes instead of 1984: 1.2 ms more for the transform back alone).
    """
    return CACHE_LINE * (-(-floats // CACHE_LINE) | 1)


def add_maxpool(builder, _, x):
    y = builder.need(Map(builder.half(), x.images, x.channels, x.height // 2, x.width // 2))
    builder.step(step.MAXPOOL, y.images * y.blocks, **x.as_input(), **y.as_output())
    return y


def add_normalise(builder, operation, x):
    y = builder.need(Map(builder.half(), x.images, x.channels, x.height, x.width))
    builder.step(step.NORMALISE, x.images * x.height, **x.as_input(), **y.as_output(), height=x.height, width=x.width,
                 weights=operation.constants.ctypes.data)
    return y


def add_average(builder, operation, x):
    shape = (x.channels, operation.height, operation.width)
    y = builder.need(Rows(f"row {len(builder.steps)}", x.images, math.prod(shape), shape))
    builder.step(step.AVERAGE, x.images * x.channels, **x.as_input(), y=y.region, y_image=y.image, images=x.images,
                 height=x.height, width=x.width, y_height=operation.height, y_width=operation.width, outputs=x.channels)
    return y


def add_dense(builder, operation, x):
    outputs, inputs = operation.weights.shape
    y = builder.need(Rows(f"row {len(builder.steps)}", x.images, outputs, (outputs,)))
    builder.thread_room(x.images * DENSE_CHUNK * LANES)
    builder.step(step.DENSE, -(-outputs // DENSE_CHUNK), images=x.images, inputs=inputs, outputs=outputs, chunk=DENSE_CHUNK,
                 x=x.region, x_image=x.image, y=y.region, y_image=y.image, weights=operation.weights.ctypes.data,
                 tail=operation.bias.ctypes.data, floor=floor(operation.relu))
    return y


def add_relu(builder, _, x):
    y = builder.need(Rows(f"row {len(builder.steps)}", x.images, x.count, x.shape))
    builder.step(step.RELU, x.images, x=x.region, x_image=x.image, y=y.region, y_image=y.image, outputs=x.count)
    return y


def add_keep(builder, operation, x):
    """A feature map is copied out of its blocks, each pixel being a bin of its own; rows have a place of their own already."""
    rows = add_average(builder, Average(x.height, x.width), x) if isinstance(x, Map) else x
    builder.kept[operation.name] = replace(rows, shape=operation.shape or rows.shape)
    return x


ADD = {Convolution: add_convolution, MaxPool: add_maxpool, Normalise: add_normalise, Average: add_average, Dense: add_dense,
       Relu: add_relu, Keep: add_keep}


def algorithm_for(x_shape, weight_shape, padding, algorithm="auto"):
    """Which algorithm convolves (…, C, H, W) with (O, C, kh, kw): by shape alone, never by batch or threads.

    "winograd" and "direct" ask for one of them where there is a choice.
    """
    channels, height, width = x_shape[-3:]
    is_padded_3x3 = tuple(weight_shape[2:]) == (3, 3) and padding == 1
    if is_padded_3x3 and channels == step.PICTURE_CHANNELS and width >= ROWS:
        return "first"
    if not is_padded_3x3 or algorithm == "direct":
        return "direct"
    if algorithm == "auto" and min(height, width) < LEAST_SIDE:
        return "direct"
    return winograd.variant_for(height, width)


def floor(relu):
    return (RELU_FLOOR if relu else NO_FLOOR).ctypes.data


class Program:
    """Steps with places, and free arenas; calls from several Python threads take one arena each."""

    def __init__(self, builder, operations, first, last):
        self.operations = operations            # keeps the packed weights alive
        self.first, self.last, self.kept = first, last, builder.kept
        self.threads, self.owners = builder.threads, builder.owners
        places, end = {}, 0
        for name, floats in builder.regions.items():
            places[name], end = end, end + -(-floats // CACHE_LINE) * CACHE_LINE
        self.places = places
        self.steps = np.zeros(len(builder.steps), step.STEP)
        for row, fields in zip(self.steps, builder.steps, strict=True):
            for name, value in fields.items():
                row[name] = places[value] if isinstance(value, str) else value
            row["scratch"], row["scratch_size"] = end, builder.scratch
        self.floats = end + builder.scratch * builder.threads
        self.free = []

    def run(self, pictures=None, fill=None):
        """Pictures (N, 3, H, W) float32 → the answer of the last operation (N, …); with Keep among them {name: array}.

        Where the program does not begin with pictures, fill(view) writes its input into the arena.  Answers are fresh arrays.
        """
        arena = self.free.pop() if self.free else aligned_zeros(self.floats)
        if fill:
            fill(self.input_of(arena))
        taken = counters(len(self.steps))
        pictures = np.empty((0, 0, 0, 0), np.float32) if pictures is None else pictures
        pictures = np.require(pictures, requirements=["C", "A"])
        team.together(lambda thread: self.walk(0, len(self.steps), taken, arena, pictures, thread), self.threads)
        answer = ({name: self.copied(arena, rows) for name, rows in self.kept.items()} if self.kept
                  else self.copied(arena, self.last))
        self.free.append(arena)
        return answer

    def walk(self, first, count, taken, arena, pictures, thread):
        """Some of the steps, as one of the threads."""
        native.entry("walk")(self.steps[first:].ctypes.data, count, taken.ctypes.data, arena.ctypes.data, pictures.ctypes.data,
                             thread)

    def copied(self, arena, rows):
        start = self.places[rows.region]
        values = arena[start:start + rows.floats].reshape(rows.images, rows.image)[:, :rows.count]
        return values.reshape(rows.images, *rows.shape).copy()

    def input_of(self, arena):
        """The input's place: (N, C/L, rows, columns, L) with its border, or (N, numbers)."""
        first = self.first
        start = self.places[first.region]
        if isinstance(first, Rows):
            return arena[start:start + first.floats].reshape(first.images, first.image)[:, :first.count]
        view = arena[start:start + first.images * first.image]
        return view.reshape(first.images, first.blocks, first.plane // first.row, first.row // LANES, LANES)


def counters(steps):
    """What the threads count in while they walk through so many steps: tasks taken and done, each on its own cache line."""
    return aligned_zeros(2 * 2 * step.LINE * steps).view(np.int64)


def aligned_zeros(count):
    """(count,) float32 zeros that begin on a cache line; pages not written to take no memory."""
    memory = np.zeros(count + CACHE_LINE, np.float32)
    skip = -memory.ctypes.data % (4 * CACHE_LINE) // 4
    return memory[skip:skip + count]
