"""A convolution on parameters that change with every step: itself, and the gradients of its input and of its weight."""
from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.convolution_steps import SUMMED, add_winograd, odd_lines
from npvgg.kernels.engine.layout import Picture, as_input, as_output
from npvgg.kernels.engine.machine import COLUMNS, FLOAT, LANES, VECTORS
from npvgg.kernels.engine.steps import CONVOLUTION_SCRATCH
from npvgg.kernels.engine.training.builder import as_gradient
from npvgg.kernels.engine.winograd import positions, tile_for

TAPS = 9
TILE_PARTS = 8                  # into how many parts the tiles are divided, each with sums of its own
PART_SUMS = 1 << 20             # bytes of such sums: with more, each position is a task of its own over all tiles
TILES_BYTES = 1 << 19           # of the tiles of x and g that are transformed before they are multiplied
NARROW, NARROW_SUMMED = 64, 32  # channels: so few are summed twice as long in registers, 4 % sooner and a fifth less exact
OUTPUT_BLOCKS = 4               # of a convolution whose products share the transformed inputs in the first-level cache


def convolve(builder, x, y, layer, tail, has_relu, is_rotated=False):
    """The steps of one convolution on parameters that change: x → y; `is_rotated` for the gradient of its input."""
    outputs, channels = dict(layer.shapes)["weight"][:2]
    weight = {"weight": (f"{layer.name}/weight", 0), "filters": outputs, "channels": channels}
    panels = ceil_div(y.blocks, VECTORS)
    common = {**as_output(y), "padding": 1, "images": builder.images, "channels": x.channels, "pooled": False,
              "floor": builder.floor(has_relu), "tail": (tail, 0)}
    builder.thread_room(CONVOLUTION_SCRATCH)
    borders = builder.images * y.blocks
    if isinstance(x, Picture):
        packed = builder.region(panels * channels * TAPS * COLUMNS)
        builder.step("pack_first", panels, y=(packed, 0), **weight)
        chunk = ceil_div(builder.images * y.height, builder.TASKS)
        builder.step("first_convolution", ceil_div(builder.images * y.height, chunk) + borders, **common, weights=(packed, 0),
                     chunk=chunk, x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row)
        return
    # F(2×4) in the place of F(4×4), by which gradients would err up to three times as much as PyTorch's: with sums of 128
    # channels the largest error is 4.5e-7 of the largest value instead of 8.8e-7, for a third more products.
    height, width = 2, tile_for(y.height, y.width)
    floats = positions(height, width) * panels * COLUMNS * x.blocks * LANES
    packed = "filters"                                  # needed at once, and then no more
    builder.regions[packed] = max(builder.regions.get(packed, 0), floats)
    builder.thread_room(TAPS * COLUMNS)
    builder.step("pack_winograd", panels * x.blocks, y=(packed, 0), tile_height=height, tile_width=width, inputs=x.blocks,
                 outputs=y.blocks, rotated=is_rotated, **weight)
    across = ceil_div(y.width, width)
    common |= as_input(x) | {"tile_height": height, "tile_width": width, "tiles_across": across,
                             "tiles": ceil_div(y.height, height) * across, "weights": (packed, 0)}
    add_winograd(builder, x, y, common, FLOAT * floats, borders, NARROW_SUMMED if x.channels <= NARROW else SUMMED)


def weight_gradient(builder, x, dy, layer):
    """The steps that write the gradient of a convolution's weight."""
    outputs, channels = dict(layer.shapes)["weight"][:2]
    target = {"weight_gradient": (f"∂{layer.name}/weight", 0), "channels": channels, "filters": outputs}
    if isinstance(x, Picture):
        first_weight_gradient(builder, x, dy, target)
        return
    tile = tile_for(dy.height, dy.width)
    across, places = ceil_div(dy.width, tile), positions(tile, tile)
    tiles = ceil_div(dy.height, tile) * across
    total, size = builder.images * tiles, places * dy.blocks * x.blocks * LANES**2
    is_parted = FLOAT * places * outputs * channels <= PART_SUMS
    parts = min(TILE_PARTS, total) if is_parted else 1
    builder.regions["sums"] = max(builder.regions.get("sums", 0), parts * size)
    common = {**as_input(x), **as_gradient(dy), "outputs": dy.blocks, "padding": 1, "tile_height": tile, "tile_width": tile,
              "tiles_across": across, "tiles": tiles, "parts": parts, "sums": ("sums", 0)}
    chunk = max(8, TILES_BYTES // (FLOAT * places * (outputs + channels))) if is_parted else total
    slots = chunk + 1
    v_position, m_position = odd_lines(x.blocks * slots * LANES), odd_lines(dy.blocks * slots * LANES)
    common |= {"slots": slots, "v_position": v_position, "m_position": m_position}
    if is_parted:
        builder.thread_room(places * (v_position + m_position))
        builder.step("weight_gradient", parts, **common, chunk=chunk)
    else:
        for region, position in (("v", v_position), ("m", m_position)):
            builder.regions[region] = max(builder.regions.get(region, 0), places * position)
        common |= {"v": ("v", 0), "m": ("m", 0)}
        part = ceil_div(total, max(1, builder.TASKS // x.blocks))
        builder.step("transform", x.blocks * ceil_div(total, part), **common, chunk=part)
        part = ceil_div(total, max(1, builder.TASKS // dy.blocks))
        builder.step("transform_gradient", dy.blocks * ceil_div(total, part), **common, chunk=part)
        builder.step("multiply_gradient", places * ceil_div(dy.blocks, OUTPUT_BLOCKS), **common, chunk=OUTPUT_BLOCKS)
    builder.thread_room(TAPS * LANES)
    builder.step("filter_gradient", outputs, inputs=x.blocks, outputs=dy.blocks, tile_height=tile, tile_width=tile, parts=parts,
                 sums=("sums", 0), **target)


def first_weight_gradient(builder, x, dy, target):
    """The same for the convolution of the picture."""
    channels = target["channels"]
    sums = builder.region(builder.images * dy.blocks * channels * TAPS * LANES)
    builder.step("first_weight_gradient", builder.images, **as_gradient(dy), outputs=dy.blocks, channels=channels,
                 x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row, y_height=dy.height, y_width=dy.width,
                 sums=(sums, 0))
    builder.step("merge_first_weight", channels, outputs=dy.blocks, images=builder.images, sums=(sums, 0), **target)
