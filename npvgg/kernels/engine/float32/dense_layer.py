"""The fully connected layer on weights as they lie in the file: (outputs, inputs), one row an output.

One image makes it a matter of memory: fc6 reads 411 MB for 103 million products.  So the rows are read once, four at a time,
from one end to the other, and serve every image of the batch meanwhile.  Each sum runs over `inputs` in the order below,
whatever the number of images, so the bits do not depend on the batch.
"""
from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.feature_map import clear_vector, floats_from
from npvgg.kernels.engine.float32.places import at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import CACHE_LINE, LANES

OUTPUTS = 4             # rows of weights side by side
IMAGES = 3              # images side by side: 12 sums and 3 inputs in 16 registers
CHUNK = 512             # floats of a row that are summed before they join the total: 64 products a lane with AVX2


@part
def dense_task(step, task, totals):
    """`chunk` outputs of every image: y[n, o] = max(bias[o] + Σ_k weights[o, k] · x[n, k], floor).

    `inputs` is a whole number of cache lines; `totals` is the address of room for images·chunk vectors.  The last task writes
    the zeros behind the outputs too.
    """
    first, last = task * step.chunk, min((task + 1) * step.chunk, step.outputs)
    for place in range(step.images * step.chunk):
        clear_vector(at(totals, place * LANES))
    groups = ceil_div(step.images, IMAGES)
    # A second group of images finds the rows in the first-level cache, and so the memory idle: it asks for what comes next.
    ahead = CHUNK if groups > 1 else 0
    o = first
    while o < last:
        rows = OUTPUTS if o + OUTPUTS <= last else 1
        for k in range(0, step.inputs, CHUNK):
            weights = at(step.weights, o * step.inputs + k)
            n = 0
            for group in range(groups):
                images = step.images // groups + (group < step.images % groups)
                dots(rows, images, weights, step.inputs, at(step.x, n * step.x_image + k), step.x_image,
                     at(totals, (n * step.chunk + o - first) * LANES), step.chunk * LANES,
                     min(CHUNK, step.inputs - k) // CACHE_LINE, at(weights, ahead + group * CHUNK // groups),
                     ceil_div(CACHE_LINE, groups))
                n += images
        o += rows
    for n in range(step.images):
        for o in range(first, last):
            finish_dot(at(totals, (n * step.chunk + o - first) * LANES), at(step.tail, o), step.floor,
                       at(step.y, n * step.y_image + o))
    if last == step.outputs:
        y = floats_from(step.y)
        for n in range(step.images):
            for o in range(step.outputs, step.y_end):
                y[n * step.y_image + o] = 0


@kernel(LANES)
def finish_dot(v, totals, bias, floor, target):
    """max(bias + Σ lanes, floor), the lanes added two by two."""
    builder = v.builder
    vector = v.load(v.floats(totals))
    values = [builder.extract_element(vector, v.number(lane)) for lane in range(v.lanes)]
    while len(values) > 1:
        half = len(values) // 2
        values = [builder.fadd(a, b) for a, b in zip(values[:half], values[half:])]
    total = builder.fadd(values[0], builder.load(v.floats(bias)))
    least = builder.load(v.floats(floor))
    builder.store(builder.select(builder.fcmp_ordered("<", total, least), least, total), v.floats(target))


def emit_dots(v, outputs, images, weights, weight_step, x, x_step, totals, totals_step, lines, ahead, ahead_step):
    """totals[n, o] += Σ_k weights[o, k] ⊙ x[n, k] for the vectors of so many cache lines.

    Meanwhile the lines at `ahead` are asked for, `ahead_step` floats of every row a turn.
    """
    pairs = [(n, o) for o in range(outputs) for n in range(images)]

    def line(index, sums):
        place = v.product(index, CACHE_LINE)
        for o in range(outputs):
            v.prefetch(ahead, v.builder.add(v.product(index, ahead_step), v.product(weight_step, o)))
        for k in range(0, CACHE_LINE, v.lanes):
            inputs = [v.load(v.at(x, v.builder.add(place, v.product(x_step, n))), k) for n in range(images)]
            rows = [v.load(v.at(weights, v.builder.add(place, v.product(weight_step, o))), k) for o in range(outputs)]
            sums = [v.multiply_add(rows[o], inputs[n], total) for (n, o), total in zip(pairs, sums, strict=True)]
        return sums

    for (n, o), total in zip(pairs, v.repeat(lines, [v.splat(0)] * len(pairs), line), strict=True):
        place = v.at(totals, v.builder.add(v.product(totals_step, n), v.number(o * v.lanes)))
        v.store(v.add(v.load(place), total), place)


@kernel(LANES)
def dots(v, outputs, images, weights, weight_step, x, x_step, totals, totals_step, lines, ahead, ahead_step):
    """`emit_dots` for outputs = OUTPUTS or 1 and 1 … IMAGES images."""
    builder = v.builder
    weights, x, totals, ahead = v.floats(weights), v.floats(x), v.floats(totals), v.floats(ahead)
    done = builder.append_basic_block("done")
    switch = builder.switch(builder.add(v.product(outputs, IMAGES + 1), images), done)
    for rows in (OUTPUTS, 1):
        for count in range(1, IMAGES + 1):
            builder.position_at_end(builder.append_basic_block("dots"))
            switch.add_case(v.number(rows * (IMAGES + 1) + count), builder.block)
            emit_dots(v, rows, count, weights, weight_step, x, x_step, totals, totals_step, lines, ahead, ahead_step)
            builder.branch(done)
    builder.position_at_end(done)
