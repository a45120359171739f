"""Convolutions as tasks: by Winograd's algorithm and directly, both on the same tile of a matrix product.

    winograd          one task takes a few tiles through transform, products and transform back: while the transformed filters
                      stay in a cache
    transform, multiply, transform_back       the same as three steps over all tiles, so that each transformed filter is read
                      once: where there are more filters than the caches hold

Both add the same numbers in the same order, so the answer has the same bits.
"""
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.feature_map import clear_border, copy_vector, finish
from npvgg.kernels.engine.float32.product import LEAST_ROWS, finished_product, tile_product
from npvgg.kernels.engine.float32.tile_transforms import input_transform, output_transform
from npvgg.kernels.engine.machine import COLUMNS, LANES, ROWS, VECTORS
from npvgg.kernels.engine.step import CONVOLUTION_SCRATCH, PICTURE_CHANNELS, SEGMENT

FIRST_KERNEL = 3

transform_input_4, transform_input_6 = input_transform(4), input_transform(6)
transform_output_4, transform_output_6 = output_transform(4, pooled=False), output_transform(6, pooled=False)
transform_output_pooled_4, transform_output_pooled_6 = output_transform(4, pooled=True), output_transform(6, pooled=True)
product_of_pixels = tile_product(row_step=LANES, depth=LANES)
# The picture is stored by pixels, so the three pixels under one row of a filter are nine numbers side by side.
product_of_picture = finished_product(row_step=PICTURE_CHANNELS, depth=FIRST_KERNEL * PICTURE_CHANNELS)


@part
def add_products(step, count, a, a_step, b, c, c_step, fresh, following):
    """c (+)= a · b for `count` pixels or tiles and one panel of COLUMNS channels, over all channels of the input.

    a, b and c are addresses; `following` is that of the b that will be used next.
    """
    # While the pieces use one chunk of b, the next is asked for, evenly.  At 14×14 pixels b comes from memory and serves three
    # pieces, of which the first waited for it and the others left the memory idle: 2.45 ms a layer before, 2.03 ms now.
    pieces = -(-count // ROWS)
    for first in range(0, step.inputs, step.summed):
        blocks = min(step.summed, step.inputs - first)
        here = b + 4 * first * LANES * COLUMNS
        size = blocks * LANES * COLUMNS
        there = here + 4 * size if first + blocks < step.inputs else following
        done = 0
        for piece in range(pieces):
            rows = count // pieces + (piece < count % pieces)
            product_of_pixels(max(rows, LEAST_ROWS), a + 4 * (first * a_step + done * LANES), a_step, here,
                              c + 4 * done * LANES, c_step, blocks, fresh and first == 0,
                              there + 4 * (piece * size // pieces), -(-COLUMNS // pieces))
            done += rows


@part
def transform(step, arena, first, last, block, after, v, origin):
    """Tiles first … last−1 of channel blocks block … after−1 → v, where tile `origin` has slot 0.  v is an address."""
    for channels in range(block, after):
        for tile in range(first, last):
            image, place = tile // step.tiles, tile % step.tiles
            i, j = place // step.tiles_across, place % step.tiles_across
            x = arena + 4 * (step.x + image * step.x_image + channels * step.x_plane + step.tile * (i * step.x_row + j * LANES))
            target = v + 4 * (channels * step.slots + tile - origin) * LANES
            # The next block's tile, which is too far away for the processor to guess: conv1_2 takes a tenth less time.
            ahead = x + 4 * step.x_plane
            if step.tile == 6:
                transform_input_6(x, step.x_row, target, step.v_position, ahead)
            else:
                transform_input_4(x, step.x_row, target, step.v_position, ahead)


@part
def multiply(step, v, m, count, position, panel, following):
    """One of the products for `count` tiles; `following` is the number of the next one.  v and m are addresses."""
    number, size = position * -(-step.outputs // VECTORS) + panel, 4 * step.inputs * LANES * COLUMNS
    add_products(step, count, v + 4 * position * step.v_position, step.slots * LANES, step.weights + number * size,
                 m + 4 * position * step.m_position, step.slots * LANES, 1, step.weights + following * size)


@part
def transform_back(step, arena, first, last, block, after, m, origin, scratch):
    """Products of tiles first … last−1 → pixels of y, with bias, ReLU and max-pooling.

    m is the address where channel block `block` of tile `origin` has its place, scratch that of room for a tile.
    """
    side = step.tile // 2 if step.pooled else step.tile
    for channels in range(block, after):
        tail = step.tail + 4 * channels * 2 * LANES
        for tile in range(first, last):
            image, place = tile // step.tiles, tile % step.tiles
            i, j = side * (place // step.tiles_across), side * (place % step.tiles_across)
            source = m + 4 * ((channels - block) * step.slots + tile - origin) * LANES
            y = arena + 4 * (step.y + image * step.y_image + channels * step.y_plane + (i + 1) * step.y_row + (j + 1) * LANES)
            whole = i + side <= step.y_height and j + side <= step.y_width
            target, row_step = (y, step.y_row) if whole else (scratch, side * LANES)
            if step.tile == 6:
                if step.pooled:
                    transform_output_pooled_6(source, step.m_position, tail, step.floor, target, row_step)
                else:
                    transform_output_6(source, step.m_position, tail, step.floor, target, row_step)
            elif step.pooled:
                transform_output_pooled_4(source, step.m_position, tail, step.floor, target, row_step)
            else:
                transform_output_4(source, step.m_position, tail, step.floor, target, row_step)
            if not whole:
                for row in range(min(side, step.y_height - i)):
                    for column in range(min(side, step.y_width - j)):
                        copy_vector(scratch + 4 * (row * side + column) * LANES, y + 4 * (row * step.y_row + column * LANES))


@part
def winograd_task(step, arena, task, scratch):
    """All three steps for `chunk` tiles, or the border of one plane of y.  v and m are the thread's own."""
    total = step.images * step.tiles
    groups = -(-total // step.chunk)
    if task >= groups:
        clear_border(step, arena, task - groups)
        return
    first, last = task * step.chunk, min((task + 1) * step.chunk, total)
    v = scratch + 4 * CONVOLUTION_SCRATCH
    positions, panels = (step.tile + 2)**2, -(-step.outputs // VECTORS)
    m = v + 4 * positions * step.v_position
    transform(step, arena, first, last, 0, step.inputs, v, first)
    # Panel by panel, so that its products are transformed back before they leave the caches near the core.
    for panel in range(panels):
        for position in range(positions):
            following = (position + 1) * panels + panel if position + 1 < positions else panel + 1
            multiply(step, v, m, last - first, position, panel, following)
        block = panel * VECTORS
        transform_back(step, arena, first, last, block, min(block + VECTORS, step.outputs), m, first, scratch)


@part
def transform_task(step, arena, task):
    groups = step.tasks // step.inputs
    total = step.images * step.tiles
    first = task % groups * step.chunk
    block = task // groups
    transform(step, arena, first, min(first + step.chunk, total), block, block + 1, arena + 4 * step.v, 0)


@part
def multiply_task(step, arena, task):
    # Position by position, so that the transformed tiles of one serve all of its panels.
    panels = -(-step.outputs // VECTORS)
    for number in range(task * step.chunk, min((task + 1) * step.chunk, (step.tile + 2)**2 * panels)):
        position, panel = number // panels, number % panels
        multiply(step, arena + 4 * step.v, arena + 4 * (step.m + panel * VECTORS * step.slots * LANES),
                 step.images * step.tiles, position, panel, number + 1)


@part
def transform_back_task(step, arena, task, scratch):
    total = step.images * step.tiles
    groups = -(-total // step.chunk)
    if task >= groups * step.outputs:
        clear_border(step, arena, task - groups * step.outputs)
        return
    first = task % groups * step.chunk
    block = task // groups
    transform_back(step, arena, first, min(first + step.chunk, total), block, block + 1,
                   arena + 4 * (step.m + block * step.slots * LANES), 0, scratch)


@part
def direct_task(step, arena, task, scratch):
    """One row of one image, all channels, or the border of one plane of y.

    y[o, i, j] = bias[o] + Σ_u,v Σ_c  weight[o, c, u, v] · x[c, skipped + i + u, skipped + j + v]
    """
    if task >= step.images * step.height:
        clear_border(step, arena, task - step.images * step.height)
        return
    image, i = task // step.height, task % step.height
    x = arena + 4 * (step.x + image * step.x_image + (i + step.skipped) * step.x_row + step.skipped * LANES)
    taps = step.kh * step.kw
    for panel in range(-(-step.outputs // VECTORS)):
        for j in range(0, step.width, SEGMENT):
            count = min(SEGMENT, step.width - j)
            for tap in range(taps):
                u, v = tap // step.kw, tap % step.kw
                weights = step.weights + 4 * (panel * taps + tap) * step.inputs * LANES * COLUMNS
                add_products(step, count, x + 4 * (u * step.x_row + (j + v) * LANES), step.x_plane, weights, scratch,
                             (SEGMENT + ROWS) * LANES, tap == 0, weights + 4 * step.inputs * LANES * COLUMNS)
            finish_segment(step, arena, image, i, j, count, panel, scratch)


@part
def first_convolution_task(step, arena, task, scratch):
    """`chunk` rows of the picture, stored as (N, H+2, W+2, 3) and at least LEAST_ROWS wide, or the border of one plane of y.

    The sums are those of `direct_task`.
    """
    rows = step.images * step.height
    groups = -(-rows // step.chunk)
    if task >= groups:
        clear_border(step, arena, task - groups)
        return
    for row in range(task * step.chunk, min((task + 1) * step.chunk, rows)):
        first_convolution_row(step, arena, row // step.height, row % step.height, scratch)


@part
def first_convolution_row(step, arena, image, i, scratch):
    x = arena + 4 * (step.x + image * step.x_image + i * step.x_row)
    pieces = -(-step.width // ROWS)
    for channels in range(0, step.outputs, VECTORS):
        b = step.weights + 4 * channels * LANES * FIRST_KERNEL * FIRST_KERNEL * PICTURE_CHANNELS
        tail = step.tail + 4 * channels * 2 * LANES
        y = arena + 4 * (step.y + image * step.y_image + channels * step.y_plane + (i + 1) * step.y_row + LANES)
        done = 0
        for piece in range(pieces):
            count = step.width // pieces + (piece < step.width % pieces)
            target = y + 4 * done * LANES
            # Where the panel has no second block of channels, what it makes of it goes nowhere.
            y_step = step.y_plane if channels + 1 < step.outputs else (scratch - target) // 4
            product_of_picture(count, x + 4 * done * PICTURE_CHANNELS, step.x_row, b, target, y_step, FIRST_KERNEL,
                               tail, step.floor)
            done += count


@part
def finish_segment(step, arena, image, i, j, count, panel, sums):
    """Sums of `count` pixels from (i, j) on → y, with bias and ReLU."""
    for vector in range(VECTORS):
        channels = panel * VECTORS + vector
        if channels < step.outputs:
            tail = step.tail + 4 * channels * 2 * LANES
            y = arena + 4 * (step.y + image * step.y_image + channels * step.y_plane + (i + 1) * step.y_row + (j + 1) * LANES)
            finish(count, sums + 4 * vector * (SEGMENT + ROWS) * LANES, tail, step.floor, y)
