"""Convolutions as tasks: by Winograd's algorithm and directly, both on the same tile of a matrix product.

    winograd          one task takes a few tiles through transform, products and transform back: while the transformed filters
                      stay in a cache
    transform, multiply, transform_back       the same as three steps over all tiles, so that each transformed filter is read
                      once: where there are more filters than the caches hold

Both add the same numbers in the same order, so the answer has the same bits.
"""
from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.epilogue import finish_compensated_pixels
from npvgg.kernels.engine.float32.feature_map import clear_border, copy_vector
from npvgg.kernels.engine.float32.places import at, x_at, y_at
from npvgg.kernels.engine.float32.product import FINISHED_ROWS, LEAST_FINISHED_ROWS, LEAST_ROWS, finished_product, tile_product
from npvgg.kernels.engine.float32.tile_transforms import input_transform, output_transform
from npvgg.kernels.engine.machine import COLUMNS, FLOAT, LANES, ROWS, VECTORS
from npvgg.kernels.engine.steps import CONVOLUTION_SCRATCH, PARTS, SEGMENT
from npvgg.kernels.engine.winograd import PAIRS

FIRST_KERNEL = 3
TILES = (2, 2), (2, 4), (4, 4)

transform_input_2x2, transform_input_2x4, transform_input_4x4 = (input_transform(*tile) for tile in TILES)
transform_output_2x2, transform_output_2x4, transform_output_4x4 = (output_transform(*tile, pooled=False) for tile in TILES)
transform_output_pooled_2x2, transform_output_pooled_4x4 = (output_transform(m, m, pooled=True) for m in PAIRS)
product_of_picture = finished_product(row_step=1, depth=FIRST_KERNEL)


def products(product):
    """A product of tiles → the function that adds such products over all channels, for any number of pixels or tiles."""
    @part
    def add_products(step, count, a, a_step, b, c, c_step, fresh, following):
        """c (+)= a · b for `count` pixels or tiles and one panel of COLUMNS channels, over all channels of the input.

        Sums have three levels: `summed` blocks of channels in registers, `grouped` blocks of these, and c.  Every level begins
        at zero, so the error of n products grows with the roots of the numbers of terms on the levels and not with that of n.
        a, b and c are addresses; `following` is that of the b that will be used next.
        """
        # While the pieces use one group of b, the next is asked for, evenly: where b comes from memory and serves several
        # pieces, the first would wait for it and the others leave the memory idle.
        pieces = ceil_div(count, ROWS)
        for first in range(0, step.inputs, step.grouped):
            blocks = min(step.grouped, step.inputs - first)
            here, size = at(b, first * LANES * COLUMNS), blocks * LANES * COLUMNS
            terms = min(blocks * LANES, step.channels - first * LANES)
            there = at(here, size) if first + blocks < step.inputs else following
            done = 0
            for piece in range(pieces):
                rows = count // pieces + (piece < count % pieces)
                product(max(rows, LEAST_ROWS), at(a, first * a_step + done * LANES), a_step, here, at(c, done * LANES), c_step,
                        terms, step.summed, fresh and first == 0, at(there, piece * size // pieces), ceil_div(COLUMNS, pieces))
                done += rows
    return add_products


add_products = products(tile_product(row_step=LANES, depth=LANES))
add_compensated_products = products(tile_product(row_step=LANES, depth=LANES, is_compensated=True))


# ------------------------------------------------------------------------------------------------- Winograd


@part
def positions_of(step):
    """Products of a tile."""
    return (step.tile_height + 2) * (step.tile_width + 2)


@part
def transform(step, first, last, block, v, origin):
    """Tiles first … last−1 of one block of channels → v, the address where tile `origin` of the block has its place."""
    for tile in range(first, last):
        image, place = tile // step.tiles, tile % step.tiles
        i, j = step.tile_height * (place // step.tiles_across), step.tile_width * (place % step.tiles_across)
        x = x_at(step, image, block, i - step.padding, j - step.padding)
        target = at(v, (tile - origin) * LANES)
        # The next block's tile, too far away for the hardware prefetcher: conv1_2 takes a tenth less time.
        ahead = x + FLOAT * step.x_plane
        if step.tile_height == 4:
            transform_input_4x4(x, step.x_row, target, step.v_position, ahead)
        elif step.tile_width == 4:
            transform_input_2x4(x, step.x_row, target, step.v_position, ahead)
        else:
            transform_input_2x2(x, step.x_row, target, step.v_position, ahead)


@part
def multiply(step, v, m, count, position, panel, following):
    """One of the products for `count` tiles; `following` is the number of the next one.  v and m are addresses."""
    number, size = position * ceil_div(step.outputs, VECTORS) + panel, step.inputs * LANES * COLUMNS
    add_products(step, count, at(v, position * step.v_position), step.slots * LANES, at(step.weights, number * size),
                 at(m, position * step.m_position), step.slots * LANES, 1, at(step.weights, following * size))


@part
def transform_back(step, first, last, block, m, origin, scratch):
    """Products of tiles first … last−1 → pixels of one block of y, with all that follows.

    m is the address where tile `origin` of the block has its place, scratch that of room for a tile.
    """
    height, width = step.tile_height >> step.pooled, step.tile_width >> step.pooled
    tail = at(step.tail, PARTS * block * LANES)
    for tile in range(first, last):
        image, place = tile // step.tiles, tile % step.tiles
        i, j = height * (place // step.tiles_across), width * (place % step.tiles_across)
        y = y_at(step, image, block, i, j)
        whole = i + height <= step.y_height and j + width <= step.y_width
        target, row_step = (y, step.y_row) if whole else (scratch, width * LANES)
        source = at(m, (tile - origin) * LANES)
        if step.tile_height == 4:
            if step.pooled:
                transform_output_pooled_4x4(source, step.m_position, tail, step.floor, target, row_step)
            else:
                transform_output_4x4(source, step.m_position, tail, step.floor, target, row_step)
        elif step.tile_width == 4:                                    # in training alone, which pools later
            transform_output_2x4(source, step.m_position, tail, step.floor, target, row_step)
        elif step.pooled:
            transform_output_pooled_2x2(source, step.m_position, tail, step.floor, target, row_step)
        else:
            transform_output_2x2(source, step.m_position, tail, step.floor, target, row_step)
        if not whole:
            for row in range(min(height, step.y_height - i)):
                for column in range(min(width, step.y_width - j)):
                    copy_vector(at(scratch, (row * width + column) * LANES), y_at(step, image, block, i + row, j + column))


@part
def winograd_task(step, task, scratch):
    """All three steps for `chunk` tiles, or the border of one plane of y.  v and m are the thread's own."""
    total = step.images * step.tiles
    groups = ceil_div(total, step.chunk)
    if task >= groups:
        clear_border(step, task - groups)
        return
    first, last = task * step.chunk, min((task + 1) * step.chunk, total)
    v = at(scratch, CONVOLUTION_SCRATCH)
    positions = positions_of(step)
    m = at(v, positions * step.v_position)
    for block in range(step.inputs):
        transform(step, first, last, block, at(v, block * step.slots * LANES), first)
    # Panel by panel, so that its products are transformed back before they leave the caches near the core.
    panels = ceil_div(step.outputs, VECTORS)
    for panel in range(panels):
        for position in range(positions):
            following = (position + 1) * panels + panel if position + 1 < positions else panel + 1
            multiply(step, v, m, last - first, position, panel, following)
        for vector in range(min(VECTORS, step.outputs - panel * VECTORS)):
            transform_back(step, first, last, panel * VECTORS + vector, at(m, vector * step.slots * LANES), first, scratch)


@part
def transform_task(step, task, scratch):
    """`chunk` tiles of one block of channels of x → their place in v."""
    total = step.images * step.tiles
    groups = ceil_div(total, step.chunk)
    first, block = task % groups * step.chunk, task // groups
    transform(step, first, min(first + step.chunk, total), block, at(step.v, block * step.slots * LANES), 0)


@part
def multiply_task(step, task, scratch):
    """`chunk` products of a position and a panel, each over all tiles: v → m."""
    # Position by position, so that the transformed tiles of one serve all of its panels.
    panels = ceil_div(step.outputs, VECTORS)
    for number in range(task * step.chunk, min((task + 1) * step.chunk, positions_of(step) * panels)):
        position, panel = number // panels, number % panels
        multiply(step, step.v, at(step.m, panel * VECTORS * step.slots * LANES), step.images * step.tiles, position, panel,
                 number + 1)


@part
def transform_back_task(step, task, scratch):
    """`chunk` tiles of one block of channels of m → pixels of y, or the border of one plane of y."""
    total = step.images * step.tiles
    groups = ceil_div(total, step.chunk)
    if task >= groups * step.outputs:
        clear_border(step, task - groups * step.outputs)
        return
    first, block = task % groups * step.chunk, task // groups
    transform_back(step, first, min(first + step.chunk, total), block, at(step.m, block * step.slots * LANES), 0, scratch)


# ------------------------------------------------------------------------------------------------- direct


@part
def direct_task(step, task, scratch):
    """One row of one image, all channels, or the border of one plane of y.  The sums of its places are compensated.

    y[o, i, j] = bias[o] + Σ_u,v Σ_c  weight[o, c, u, v] · x[c, i + u − p, j + v − p]
    """
    if task >= step.images * step.y_height:
        clear_border(step, task - step.images * step.y_height)
        return
    image, i = task // step.y_height, task % step.y_height
    taps, size, plane = step.kh * step.kw, step.inputs * LANES * COLUMNS, (SEGMENT + ROWS) * LANES
    for panel in range(ceil_div(step.outputs, VECTORS)):
        weights = at(step.weights, panel * taps * size)
        for j in range(0, step.y_width, SEGMENT):
            count = min(SEGMENT, step.y_width - j)
            for tap in range(taps):
                x = x_at(step, image, 0, i + tap // step.kw - step.padding, j + tap % step.kw - step.padding)
                here = at(weights, tap * size)
                add_compensated_products(step, count, x, step.x_plane, here, scratch, plane, tap == 0, at(here, size))
            for vector in range(min(VECTORS, step.outputs - panel * VECTORS)):
                block = panel * VECTORS + vector
                finish_compensated_pixels(count, at(scratch, vector * plane), at(scratch, (VECTORS + vector) * plane),
                                          at(step.tail, PARTS * block * LANES), step.floor, y_at(step, image, block, i, j))


@part
def first_convolution_task(step, task, scratch):
    """`chunk` rows of the pictures, stored as (N, C, H+2, W+2), or the border of one plane of y.

    The nine products of each channel are one sum.  The total of the three errs a third less than one sum of 27: neighbouring
    pixels are much alike, so sums over a channel return to small numbers where a filter looks for edges.
    """
    rows = step.images * step.y_height
    groups = ceil_div(rows, step.chunk)
    if task >= groups:
        clear_border(step, task - groups)
        return
    for row in range(task * step.chunk, min((task + 1) * step.chunk, rows)):
        first_convolution_row(step, row // step.y_height, row % step.y_height, scratch)


@part
def first_convolution_row(step, image, i, scratch):
    """Row i of one image: (C, H+2, W+2) → the same row of all channels of y, with bias, batch norm and ReLU."""
    x = at(step.x, image * step.x_image + i * step.x_row)
    pieces = ceil_div(step.y_width, FINISHED_ROWS)
    for block in range(0, step.outputs, VECTORS):
        b = at(step.weights, block * LANES * step.channels * FIRST_KERNEL * FIRST_KERNEL)
        tail = at(step.tail, PARTS * block * LANES)
        done = 0
        for piece in range(pieces):
            count = step.y_width // pieces + (piece < step.y_width % pieces)
            y, target = y_at(step, image, block, i, done), at(scratch, ROWS * LANES)
            # A row narrower than the least product goes through the scratch, which also takes the second vector of a panel
            # that has one block of channels only.
            whole = count >= LEAST_FINISHED_ROWS
            first = y if whole else target
            second = at(first, step.y_plane) if whole and block + 1 < step.outputs else scratch
            product_of_picture(max(count, LEAST_FINISHED_ROWS), at(x, done), step.x_row, step.x_plane, b, first,
                               (second - first) // FLOAT, step.channels * FIRST_KERNEL * FIRST_KERNEL, FIRST_KERNEL, tail,
                               step.floor)
            if not whole:
                for pixel in range(count):
                    copy_vector(at(first, pixel * LANES), y_at(step, image, block, i, pixel))
                    if block + 1 < step.outputs:
                        copy_vector(at(second, pixel * LANES), y_at(step, image, block + 1, i, pixel))
            done += count
