"""The tile of a matrix product whose right operand is read where it lies, a vector beside the other.

    target[r, v] (+)= Σ_t  left[t·left_step + r·left_row] · right[t·right_step + v]          r < rows, v < vectors·LANES

Every gradient of a weight is such a sum of outer products: over Winograd tiles, over images.
"""
from npvgg.kernels.engine.float32.product import for_each_count
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES, VECTORS

OUTER_ROWS = min(LANES, 8)              # divides LANES; with VECTORS vectors its sums fit in the registers of every shape
assert LANES % OUTER_ROWS == 0


@kernel(LANES)
def outer_product(v, rows, vectors, count, left, left_step, left_row, right, right_step, right_vector, target, target_row,
                  fresh):
    """`rows` 1 or OUTER_ROWS, `vectors` 1 … VECTORS, `count` at least 1; addresses, and distances in floats.

    Vector s of the right operand lies right_vector·s from the first; that of the target LANES·s.  Unless `fresh`, what lies
    at the target is added.
    """
    left, right, target = v.floats(left), v.floats(right), v.floats(target)

    def of(rows, vectors):
        tile = [(r, s) for r in range(rows) for s in range(vectors)]

        def step(index, sums):
            here, there = v.at(left, v.product(index, left_step)), v.at(right, v.product(index, right_step))
            columns = [v.load(v.at(there, v.product(right_vector, s))) for s in range(vectors)]
            lanes = [v.broadcast(v.at(here, v.product(left_row, r))) for r in range(rows)]
            return [v.multiply_add(lanes[r], columns[s], total) for (r, s), total in zip(tile, sums, strict=True)]

        sums = v.repeat(count, [v.splat(0)] * len(tile), step)
        builder = v.builder
        store, add, end = (builder.append_basic_block(name) for name in ("store", "add", "end"))
        builder.cbranch(builder.icmp_signed("!=", fresh, v.number(0)), store, add)
        for block, adds in ((store, False), (add, True)):
            builder.position_at_end(block)
            for (r, s), total in zip(tile, sums, strict=True):
                place = v.at(target, v.builder.add(v.product(target_row, r), v.number(s * LANES)))
                v.store(v.add(v.load(place), total) if adds else total, place)
            builder.branch(end)
        builder.position_at_end(end)

    def of_rows(rows):
        for_each_count(v, vectors, range(1, VECTORS + 1), lambda vectors: of(rows, vectors))

    for_each_count(v, rows, (1, OUTER_ROWS), of_rows)
