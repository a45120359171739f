"""Winograd's transforms of one tile of LANES channels: Bᵀ d B on the way in, Aᵀ m A on the way out (winograd.py)."""
from npvgg.kernels.engine.feature_map import finished
from npvgg.kernels.engine.vector_shape import LANES
from npvgg.kernels.engine.vectors import kernel
from npvgg.kernels.engine.winograd import PAIRS, SPAN, TILE, vanishing


def transformed_once(v, d):
    """Bᵀ d for m+2 vectors.

    Plain form:  [v.combination(row, d) for row in input_matrix(m)]
    The rows of ±p are E ± p·O, with E the sum over the even inputs and O that over the odd ones.
    """
    m = len(d) - 2
    squares = [p * p for p in PAIRS[m]]
    everywhere = [float(c) for c in vanishing(squares)[::-1]]                # from the highest on, whose coefficient is 1
    rows = [v.combination(everywhere, d[m::-2])]
    for p in PAIRS[m]:
        others = [float(c) for c in vanishing([s for s in squares if s != p * p])[::-1]]
        even, odd = v.combination(others, d[m:1:-2]), v.combination(others, d[m - 1:0:-2])
        rows += [v.combination([1, float(sign * p)], [even, odd]) for sign in (1, -1)]
    return [*rows, v.combination(everywhere, d[m + 1::-2][:len(everywhere)])]


def transformed_back(v, products):
    """Aᵀ products for m+2 vectors: m vectors.

    Plain form:  [v.combination(row, products) for row in output_matrix(m)]
    Even powers of ±p multiply the sum of the pair, odd ones its difference.
    """
    m = len(products) - 2
    sums = [v.add(products[2 * i + 1], products[2 * i + 2]) for i in range(len(PAIRS[m]))]
    differences = [v.builder.fsub(products[2 * i + 1], products[2 * i + 2]) for i in range(len(PAIRS[m]))]
    rows = []
    for k in range(m):
        powers = [float(p**k) for p in PAIRS[m]]
        row = v.combination(powers, differences if k % 2 else sums)
        if k == 0:
            row = v.add(products[0], row)
        rows.append(v.add(row, products[-1]) if k == m - 1 else row)
    return rows


@kernel(LANES)
def transform_input(v, tile, row_step, target, position_step):
    """Bᵀ d B of one tile of LANES channels; entry (i, j) goes to target[(6i + j)·position_step].

    `tile` is the address of its first pixel, a row of pixels being `row_step` floats.
    """
    tile, target = v.floats(tile), v.floats(target)
    rows = []
    for i in range(SPAN):
        line = v.at(tile, v.product(row_step, i))
        rows.append(transformed_once(v, [v.load(line, j * LANES) for j in range(SPAN)]))
    for j in range(SPAN):
        for i, value in enumerate(transformed_once(v, [row[j] for row in rows])):
            v.store(value, v.at(target, v.product(position_step, SPAN * i + j)))


def emit_output(v, source, position_step, tail, floor):
    """Aᵀ m A + bias of one tile of LANES channels, not below `floor`, channels that do not exist zero: 4×4 vectors."""
    bias, mask = v.load(tail), v.load(tail, LANES)
    columns = []
    for j in range(SPAN):
        column = [v.load(v.at(source, v.product(position_step, SPAN * i + j))) for i in range(SPAN)]
        columns.append(transformed_back(v, column))
    for i in range(TILE):
        yield [finished(v, value, bias, mask, floor) for value in transformed_back(v, [column[i] for column in columns])]


@kernel(LANES)
def transform_output(v, source, position_step, tail, floor, target, row_step):
    """The tile of outputs whose products are source[(6i + j)·position_step], to the 4×4 pixels at `target`.

    `tail` is the address of LANES biases and LANES masks, `floor` that of the least value let through (0 for ReLU).
    """
    source, tail, target = v.floats(source), v.floats(tail), v.floats(target)
    for i, row in enumerate(emit_output(v, source, position_step, tail, v.broadcast(v.floats(floor)))):
        for j, value in enumerate(row):
            v.store(value, v.at(target, v.product(row_step, i)), j * LANES)


@kernel(LANES)
def transform_output_pooled(v, source, position_step, tail, floor, target, row_step):
    """`transform_output` followed by 2×2 max-pooling: to the 2×2 pixels at `target`."""
    source, tail, target = v.floats(source), v.floats(tail), v.floats(target)
    rows = list(emit_output(v, source, position_step, tail, v.broadcast(v.floats(floor))))
    for i in range(0, TILE, 2):
        for j in range(0, TILE, 2):
            value = rows[i][j]
            for other in (rows[i][j + 1], rows[i + 1][j], rows[i + 1][j + 1]):
                value = v.larger(value, other)
            v.store(value, v.at(target, v.product(row_step, i // 2)), j // 2 * LANES)
