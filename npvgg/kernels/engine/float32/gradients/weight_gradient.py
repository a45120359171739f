"""The gradient of a convolution's weight.

    dw[o, c, u, v] = Σ_n,i,j  g[n, o, i, j] · x[n, c, i + u − 1, j + v − 1]

By Winograd's algorithm, with the same matrices as the forward pass, for it is bilinear (Lavin and Gray, arXiv 1509.09308,
section 4; winograd.py):

    y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A         so         dw = Gᵀ [ Σ_tiles (A g Aᵀ) ⊙ (Bᵀ x B) ] G

The bracket is (m+2)² matrix products over the tiles, in place of 9m² products a tile.  The tiles are taken by parts, each with
sums of its own that are added in order, or for each position all in one: the shapes alone decide, so the bits do not depend on
the threads.
"""
from numba import carray

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.convolution import FIRST_KERNEL, positions_of, transform
from npvgg.kernels.engine.float32.feature_map import clear_vector, floats_from
from npvgg.kernels.engine.float32.gradients.batch_norm import g_at
from npvgg.kernels.engine.float32.gradients.outer_product import OUTER_ROWS, outer_product
from npvgg.kernels.engine.float32.memory import NO_END, floats_at
from npvgg.kernels.engine.float32.places import at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES, VECTORS
from npvgg.kernels.engine.winograd import PAIRS, filter_matrix

TAPS = FIRST_KERNEL**2
TILES = 128             # whose products are added in registers, while they and their neighbours lie in the first-level cache


def transformed(v, g):
    """A g for m vectors: m+2 vectors.

    Plain form:  [v.combination(column, g) for column in zip(*output_matrix(m))]
    The rows of ±p are E ± O, with E the sum over the even powers of p and O that over the odd ones.
    """
    m, rows = len(g), [g[0]]
    for p in PAIRS[m]:
        powers = [float(p**k) for k in range(m)]
        even, odd = v.combination(powers[::2], g[::2]), v.combination(powers[1::2], g[1::2])
        rows += [v.add(even, odd), v.subtract(even, odd)]
    return [*rows, g[-1]]


def gradient_transform(m):
    """The kernel  transform(tile, row_step, target, position_step):  A g Aᵀ of one tile of m×m vectors."""
    span = m + 2

    @kernel(LANES)
    def transform(v, tile, row_step, target, position_step):
        tile, target = v.floats(tile), v.floats(target)
        rows = [transformed(v, [v.load(v.at(tile, v.product(row_step, i)), j * LANES) for j in range(m)]) for i in range(m)]
        for j in range(span):
            for i, value in enumerate(transformed(v, [row[j] for row in rows])):
                v.store(value, v.at(target, v.product(position_step, span * i + j)))
    return transform


transform_gradient_2, transform_gradient_4 = gradient_transform(2), gradient_transform(4)


@part
def transform_gradient(step, first, last, block, target, origin):
    """Tiles first … last−1 of one block of g → the address where tile `origin` of the block has its place."""
    for tile in range(first, last):
        image, place = tile // step.tiles, tile % step.tiles
        i, j = step.tile_height * (place // step.tiles_across), step.tile_width * (place % step.tiles_across)
        g = g_at(step, image, block, i, j)
        if step.tile_height == 4:
            transform_gradient_4(g, step.g_row, at(target, (tile - origin) * LANES), step.m_position)
        else:
            transform_gradient_2(g, step.g_row, at(target, (tile - origin) * LANES), step.m_position)


@part
def add_outer_products(step, count, u, v, sums, blocks, fresh):
    """One position: sums (+)= Σ over `count` tiles of u ⊗ v, for `blocks` blocks of outputs and all inputs; addresses."""
    width = step.inputs * LANES
    for column in range(0, step.inputs, VECTORS):
        vectors, right = min(VECTORS, step.inputs - column), at(v, column * step.slots * LANES)
        for block in range(blocks):
            left, target = at(u, block * step.slots * LANES), at(sums, block * LANES * width + column * LANES)
            for row in range(0, LANES, OUTER_ROWS):
                outer_product(OUTER_ROWS, vectors, count, at(left, row), LANES, 1, right, LANES, step.slots * LANES,
                              at(target, row * width), width, fresh)


@part
def weight_gradient_task(step, task, scratch):
    """A part of the tiles, `chunk` at a time: transformed, and multiplied → `sums` of its own."""
    total, positions = step.images * step.tiles, positions_of(step)
    size = step.outputs * LANES * step.inputs * LANES
    sums = at(step.sums, task * positions * size)
    start, end = task * total // step.parts, (task + 1) * total // step.parts
    u = at(scratch, positions * step.v_position)
    for first in range(start, end, step.chunk):
        last = min(first + step.chunk, end)
        for block in range(step.inputs):
            transform(step, first, last, block, at(scratch, block * step.slots * LANES), first)
        for block in range(step.outputs):
            transform_gradient(step, first, last, block, at(u, block * step.slots * LANES), first)
        for position in range(positions):
            add_outer_products(step, last - first, at(u, position * step.m_position), at(scratch, position * step.v_position),
                               at(sums, position * size), step.outputs, first == start)


@part
def transform_gradient_task(step, task, scratch):
    """`chunk` tiles of one block of channels of g → their place in m."""
    total = step.images * step.tiles
    groups = ceil_div(total, step.chunk)
    first, block = task % groups * step.chunk, task // groups
    transform_gradient(step, first, min(first + step.chunk, total), block, at(step.m, block * step.slots * LANES), 0)


@part
def multiply_gradient_task(step, task, scratch):
    """One position and `chunk` blocks of outputs, over all tiles: v and m → `sums`."""
    groups, row = ceil_div(step.outputs, step.chunk), LANES * step.inputs * LANES
    position, block = task // groups, task % groups * step.chunk
    total = step.images * step.tiles
    u = at(step.m, position * step.m_position + block * step.slots * LANES)
    v, sums = at(step.v, position * step.v_position), at(step.sums, (position * step.outputs + block) * row)
    for tile in range(0, total, TILES):
        add_outer_products(step, min(TILES, total - tile), at(u, tile * LANES), at(v, tile * LANES), sums,
                           min(step.chunk, step.outputs - block), tile == 0)


def gradient_of_filter(m):
    """The kernel  transform(source, position_step, parts, part_step, target):  Gᵀ M G for LANES channels → 9 vectors.

    M is the sum of `parts`, at least one.
    """
    span, matrix = m + 2, filter_matrix(m)

    @kernel(LANES)
    def transform(v, source, position_step, parts, part_step, target):
        source, target = v.floats(source), v.floats(target)

        def back(vectors):
            return [v.combination([float(matrix[i, k]) for i in range(span)], vectors) for k in range(3)]

        columns = []
        for j in range(span):
            column = []
            for i in range(span):
                place = v.at(source, v.product(position_step, span * i + j))

                def add(index, sums, place=place):
                    return [v.add(sums[0], v.load(v.at(place, v.product(part_step, index))))]

                column += v.repeat(parts, [v.splat(0)], add)
            columns.append(back(column))
        for u in range(3):
            for w, value in enumerate(back([column[u] for column in columns])):
                v.store(value, target, (3 * u + w) * LANES)
    return transform


gradient_of_filter_2, gradient_of_filter_4 = gradient_of_filter(2), gradient_of_filter(4)


@part
def filter_gradient_task(step, task, scratch):
    """The filters of one output: the sums of all parts → dw (O, C, 3, 3)."""
    size, width = step.outputs * LANES * step.inputs * LANES, step.inputs * LANES
    gradient, filters = floats_from(step.weight_gradient), floats_from(scratch)
    positions = positions_of(step)
    for block in range(step.inputs):
        source = at(step.sums, task * width + block * LANES)
        if step.tile_height == 4:
            gradient_of_filter_4(source, size, step.parts, positions * size, scratch)
        else:
            gradient_of_filter_2(source, size, step.parts, positions * size, scratch)
        for lane in range(min(LANES, step.channels - block * LANES)):
            place = (task * step.channels + block * LANES + lane) * TAPS
            for tap in range(TAPS):
                gradient[place + tap] = filters[tap * LANES + lane]


# ------------------------------------------------------------------------------------------------- of the first convolution


@kernel(LANES)
def add_taps(v, count, x, x_row, g, target):
    """target (9 vectors) += Σ over `count` pixels of x[u, j + w] · g[j]: one channel of the picture, one block of outputs."""
    x, g, target = v.floats(x), v.floats(g), v.floats(target)
    lines = [v.at(x, v.product(x_row, u)) for u in range(FIRST_KERNEL)]

    def pixel(index, sums):
        gradient = v.load(v.at(g, v.product(index, LANES)))
        seen = [v.broadcast(v.at(line, index), w) for line in lines for w in range(FIRST_KERNEL)]
        return [v.multiply_add(value, gradient, total) for value, total in zip(seen, sums, strict=True)]

    for tap, total in enumerate(v.repeat(count, [v.splat(0)] * TAPS, pixel)):
        v.store(v.add(v.load(target, tap * LANES), total), target, tap * LANES)


@part
def first_weight_gradient_task(step, task, scratch):
    """One image: the picture in planes and g → `sums` (outputs, channels, 9) vectors."""
    for block in range(step.outputs):
        for channel in range(step.channels):
            target = at(step.sums, ((task * step.outputs + block) * step.channels + channel) * TAPS * LANES)
            for tap in range(TAPS):
                clear_vector(at(target, tap * LANES))
            for i in range(step.y_height):
                add_taps(step.y_width, at(step.x, task * step.x_image + channel * step.x_plane + i * step.x_row), step.x_row,
                         g_at(step, task, block, i, 0), target)


@part
def merge_first_weight_task(step, task, scratch):
    """`sums` of all images for one channel → dw (O, C, 3, 3)."""
    sums, gradient = carray(floats_at(step.sums), NO_END), floats_from(step.weight_gradient)
    image = step.outputs * step.channels * TAPS * LANES
    for output in range(step.filters):
        block, lane = output // LANES, output % LANES
        for tap in range(TAPS):
            place, total = ((block * step.channels + task) * TAPS + tap) * LANES + lane, 0.0
            for number in range(step.images):
                total += sums[number * image + place]
            gradient[(output * step.channels + task) * TAPS + tap] = total
