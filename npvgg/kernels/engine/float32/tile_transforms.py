"""Winograd's transforms of one tile of LANES channels: Bᵀ d B on the way in, Aᵀ M A on the way out (winograd.py)."""
from npvgg.kernels.engine.float32.epilogue import Tail
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import CACHE_LINE, LANES
from npvgg.kernels.engine.winograd import PAIRS, vanishing


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
    differences = [v.subtract(products[2 * i + 1], products[2 * i + 2]) for i in range(len(PAIRS[m]))]
    rows = []
    for k in range(m):
        powers = [float(p**k) for p in PAIRS[m]]
        row = v.combination(powers, differences if k % 2 else sums)
        if k == 0:
            row = v.add(products[0], row)
        rows.append(v.add(row, products[-1]) if k == m - 1 else row)
    return rows


def input_transform(height, width):
    """The kernel  transform(tile, row_step, target, position_step, ahead):  Bᵀ d B of one tile of LANES channels.

    It serves tiles of `height` × `width` pixels of the output.  `tile` is the address of its first pixel, a row of pixels being
    `row_step` floats; entry (i, j) goes to target[((width+2)·i + j)·position_step].  `ahead` is the address of a tile that will
    be read later and is asked for.
    """
    span = width + 2

    @kernel(LANES)
    def transform(v, tile, row_step, target, position_step, ahead):
        tile, target, ahead = v.floats(tile), v.floats(target), v.floats(ahead)
        rows = []
        for i in range(height + 2):
            line, later = (v.at(start, v.product(row_step, i)) for start in (tile, ahead))
            for place in range(0, width * LANES, CACHE_LINE):   # the last two pixels are the first of the next tile
                v.prefetch(later, place, level=2)
            rows.append(transformed_once(v, [v.load(line, j * LANES) for j in range(span)]))
        for j in range(span):
            for i, value in enumerate(transformed_once(v, [row[j] for row in rows])):
                v.store(value, v.at(target, v.product(position_step, span * i + j)))
    return transform


def output_transform(height, width, pooled):
    """The kernel  transform(source, position_step, tail, floor, target, row_step):  Aᵀ M A and what follows, of LANES channels.

    M[i, j] is source[((width+2)·i + j)·position_step]; `tail` and `floor` are the addresses of what follows (epilogue.py).
    height × width pixels go to `target`, or half as many each way after 2×2 max-pooling.
    """
    span = width + 2

    @kernel(LANES)
    def transform(v, source, position_step, tail, floor, target, row_step):
        end, source, target = Tail(v, tail, floor), v.floats(source), v.floats(target)
        columns = []
        for j in range(span):
            column = [v.load(v.at(source, v.product(position_step, span * i + j))) for i in range(height + 2)]
            columns.append(transformed_back(v, column))
        rows = ([end.after(value) for value in transformed_back(v, [column[i] for column in columns])] for i in range(height))
        if pooled:
            rows = ([v.largest(*upper[j:j + 2], *lower[j:j + 2]) for j in range(0, width, 2)]
                    for upper, lower in zip(rows, rows))
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                v.store(value, v.at(target, v.product(row_step, i)), j * LANES)
    return transform
