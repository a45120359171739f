"""Convolutions → steps: by which algorithm, and how the work is divided."""
from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine import steps
from npvgg.kernels.engine.layout import Picture, as_input, as_output
from npvgg.kernels.engine.machine import CACHE_LINE, FLOAT, LANES, ROWS, VECTORS, machine
from npvgg.kernels.engine.winograd import positions, tile_for

LEAST_TILES = ceil_div(24, ROWS) * ROWS     # in whole tiles of sums; with fewer the filters pass through too often
# Channels whose products are summed in registers, and those whose sums are gathered before they join the total.  The error of
# n products grows with the root of s + g + n/(s·g) for s summed and g·s gathered, instead of the root of n, and with that of
# s + g where the total is compensated, as it is directly.  On VGG-16's published filters a layer's largest gap, the worst of
# eight photographs, is at most 1.9 times PyTorch's by Winograd's algorithm and 0.6 times directly
# (python -m benchmarks.exactness).
SUMMED, GROUPED = 16, {"direct": 128, "winograd": 64}
LEAST_SIDE = 4                  # pixels: below, most of a Winograd tile would hang over the edge


def algorithm_for(x_shape, layer, algorithm="auto", is_first=False):
    """Which algorithm convolves x (…, C, H, W): by the shapes of layer and picture alone, never by batch, threads or processor.

    "first" sums the few channels of a picture, where the layer is the first of the network; "winograd" and "direct" ask for
    one of them where there is a choice.
    """
    channels, height, width = x_shape[-3:]
    kernel, padding = dict(layer.shapes)["weight"][2:], dict(layer.options)["padding"]
    if kernel == (3, 3) and padding == 1 and is_first and channels <= steps.PICTURE_CHANNELS:
        return "first"
    least = min(height, width) + 2 * padding - 2                      # pixels of the output along its shorter side
    if kernel != (3, 3) or algorithm == "direct" or algorithm == "auto" and least < LEAST_SIDE:
        return "direct"
    return "winograd"


def add_convolution(builder, x, layer, fused):
    """(N, C, H, W) → (N, O, H′, W′), with batch norm, ReLU and max pooling where they are fused."""
    outputs, _, kh, kw = dict(layer.shapes)["weight"]
    padding = dict(layer.options)["padding"]
    algorithm = algorithm_for((x.channels, x.height, x.width), layer, builder.algorithm, isinstance(x, Picture))
    height, width = x.height + 2 * padding - kh + 1, x.width + 2 * padding - kw + 1
    pooled = "maxpool2d" in fused and algorithm == "winograd"
    y = builder.map(outputs, height // 2 if pooled else height, width // 2 if pooled else width)
    tile = tile_for(height, width) if algorithm == "winograd" else None
    weights = builder.packed.convolution(layer, algorithm, tile)
    common = {**as_output(y), "padding": padding, "images": builder.images, "channels": x.channels, "pooled": pooled,
              "weights": builder.address(weights), "floor": builder.floor("relu" in fused),
              "tail": builder.address(builder.packed.tail(layer, fused.get("batchnorm2d")))}
    builder.thread_room(steps.CONVOLUTION_SCRATCH)
    borders = builder.images * y.blocks
    if algorithm == "first":
        # Rows side by side: where two threads write neighbouring rows, the lines that the processor asks for ahead of one are
        # taken from the other, and with one row a task this step takes 1.9 ms instead of 1.2.
        chunk = ceil_div(builder.images * height, builder.TASKS)
        builder.step("first_convolution", ceil_div(builder.images * height, chunk) + borders, **common, chunk=chunk,
                     x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row)
    elif algorithm == "direct":
        builder.step("direct", builder.images * height + borders, **common | as_input(x), kh=kh, kw=kw,
                     summed=blocks_of(SUMMED), grouped=blocks_of(GROUPED["direct"]))
    else:
        across = ceil_div(width, tile)
        common |= as_input(x) | {"tile_height": tile, "tile_width": tile, "tiles_across": across,
                                 "tiles": ceil_div(height, tile) * across}
        add_winograd(builder, x, y, common, weights.nbytes, borders)
    return builder.pool("maxpool", y) if "maxpool2d" in fused and not pooled else y


def add_winograd(builder, x, y, common, weight_bytes, borders, summed=SUMMED):
    """One step where the transformed filters stay in a cache, three where they do not."""
    total, places = common["tiles"] * builder.images, positions(common["tile_height"], common["tile_width"])
    inputs, outputs = x.blocks * LANES, ceil_div(y.blocks, VECTORS) * VECTORS * LANES
    resident = weight_bytes <= machine().resident
    if resident:
        outputs = VECTORS * LANES                                     # of one panel at a time
        most = max(LEAST_TILES, machine().task // (FLOAT * places * (inputs + outputs)))
        rounds = ceil_div(total, most * builder.threads)              # with nine tasks for two threads one would wait
        chunk = ceil_div(total, rounds * builder.threads)
    else:
        chunk = total
    slots = chunk + ROWS
    v_position, m_position = odd_lines(inputs * slots), odd_lines(outputs * slots)
    common |= {"summed": blocks_of(summed), "grouped": blocks_of(GROUPED["winograd"]), "slots": slots,
               "v_position": v_position, "m_position": m_position}
    if resident:
        builder.thread_room(steps.CONVOLUTION_SCRATCH + places * (v_position + m_position))
        builder.step("winograd", ceil_div(total, chunk) + borders, **common, chunk=chunk)
        return
    for region, position in (("v", v_position), ("m", m_position)):
        builder.regions[region] = max(builder.regions.get(region, 0), places * position)
    common |= {"v": ("v", 0), "m": ("m", 0)}
    part = ceil_div(total, max(1, builder.TASKS // x.blocks))
    builder.step("transform", x.blocks * ceil_div(total, part), **common, chunk=part)
    products = places * outputs // (VECTORS * LANES)
    share = max(1, products // (4 * builder.TASKS))
    builder.step("multiply", ceil_div(products, share), **common, chunk=share)
    part = ceil_div(total, max(1, builder.TASKS // y.blocks))
    builder.step("transform_back", y.blocks * ceil_div(total, part) + borders, **common, chunk=part)


def blocks_of(channels):
    """So many channels, which are at least as many as lanes, in blocks."""
    return channels // LANES


def odd_lines(floats):
    """At least so many floats, an odd number of cache lines.

    A tile's positions lie that far apart and are used together; distances that share a large power of two put all of them
    into a few sets of the cache (conv1_2 with 2048 bytes instead of 1984: 1.2 ms more for the transform back alone).
    """
    return CACHE_LINE * (ceil_div(floats, CACHE_LINE) | 1)
