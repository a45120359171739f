"""The tile of a matrix product that all convolutions are made of.

    c[r, v] (+)= Σ_b Σ_k  a[b·a_step + r·row_step + k] · B[(b·depth + k)·columns + v]        r < rows, v < columns

The left operand is read where it lies: its rows are neighbouring pixels (or Winograd tiles), `row_step` floats apart, and one
block b is the `depth` numbers of such a pixel.  The right operand is packed, so that one step k reads `columns` = 2 vectors
side by side.  The sums of a chain, `summed` blocks, stay in registers; then they join those of the chains before it.

Plain form, for `terms` products a sum:

    for first in range(0, terms, summed * depth):
        chain[:] = 0
        for t in range(first, min(first + summed * depth, terms)):
            b, k = t // depth, t % depth
            for r in range(rows):
                for v in range(columns):
                    chain[r, v] += a[b * a_step + r * row_step + k] * packed[t, v]
        sums += chain

Where a block is not full, what lies behind the last term is zero, and a few of these zeros may be added.

A compensated product keeps what the additions to c lose in a second c, so that their number costs no digits:

    total = c + sums
    part = total − c
    lost += (c − (total − part)) + (sums − part)          exactly c + sums − total       [Knuth, TAOCP 2, 4.2.2, theorem B]
    c = total
"""
from npvgg.kernels.engine.float32.epilogue import Tail
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import COLUMNS, LANES, ROWS, SHAPE, VECTORS

LEAST_ROWS = min(SHAPE.row_counts)
# Of a finished product the sums of the chains before it stay in registers beside the chain's own, so it has half as many rows.
FINISHED_ROWS = max(ROWS // 2, 4)
FINISHED_COUNTS = range(FINISHED_ROWS // 2, FINISHED_ROWS + 1)
LEAST_FINISHED_ROWS = FINISHED_COUNTS[0]


def tile_product(row_step, depth, is_compensated=False):
    """The kernel for one layout of the left operand:

        product(rows, a, a_step, b, c, c_step, terms, summed, fresh, ahead, ahead_step)

    a, b, c and ahead are addresses; meanwhile the memory from `ahead` on is asked for, `ahead_step` floats a step k.
    `rows` is one of SHAPE.row_counts.  Vector v of row r is stored at c[v·c_step + r·LANES]; unless `fresh`, what lies there
    is added, and where the product `is_compensated` what that loses lies at c[(VECTORS + v)·c_step + r·LANES].

    However many rows a tile has, each sum runs over b and k in the same order, so the bits do not depend on how the rows are
    divided into tiles.
    """
    @kernel(LANES)
    def product(v, rows, a, a_step, b, c, c_step, terms, summed, fresh, ahead, ahead_step):
        def emit(count):
            asked = v.floats(ahead), ahead_step
            sums = emit_chains(v, count, row_step, depth, v.floats(a), a_step, v.product(summed, a_step), v.floats(b), terms,
                               summed, asked)
            emit_stores(v, sums, v.floats(c), c_step, fresh, is_compensated)

        for_each_count(v, rows, SHAPE.row_counts, emit)
    return product


def finished_product(row_step, depth):
    """The same for products whose sums are complete, which come out as pixels of the output:

        product(rows, a, a_step, a_chain, b, c, c_step, terms, summed, tail, floor)

    The chains of the left operand lie `a_chain` floats apart; `tail` and `floor` are the addresses of what follows
    (epilogue.py).
    """
    @kernel(LANES)
    def product(v, rows, a, a_step, a_chain, b, c, c_step, terms, summed, tail, floor):
        def emit(count):
            sums = emit_chains(v, count, row_step, depth, v.floats(a), a_step, a_chain, v.floats(b), terms, summed)
            for s in range(VECTORS):
                end = Tail(v, tail, floor, s)
                for r in range(count):
                    v.store(end.after(sums[r, s]), place_of(v, v.floats(c), c_step, r, s))

        for_each_count(v, rows, FINISHED_COUNTS, emit)
    return product


def for_each_count(v, rows, counts, emit):
    """emit(count) in a branch of its own for each number of rows, the last of `counts` by default."""
    builder = v.builder
    done = builder.append_basic_block("done")
    full = builder.append_basic_block("rows")
    switch = builder.switch(rows, full)
    for count in counts:
        if count == counts[-1]:
            builder.position_at_end(full)
        else:
            builder.position_at_end(builder.append_basic_block("rows"))
            switch.add_case(v.number(count), builder.block)
        emit(count)
        builder.branch(done)
    builder.position_at_end(done)


def emit_chains(v, rows, row_step, depth, a, a_step, a_chain, b, terms, summed, ahead=None):
    """{(row, vector): sum of the chains}; LLVM keeps these sums in memory while the registers hold a chain's.

    `ahead` is a pointer to what will be read later, and how many floats of it go by a step k.
    """
    builder = v.builder

    def chain(number, sums):
        first = builder.mul(number, whole)
        left = builder.sub(terms, first)
        count = builder.select(builder.icmp_signed("<", left, whole), left, whole)
        there = ahead and (v.at(ahead[0], builder.mul(first, ahead[1])), ahead[1])
        links = emit_chain(v, rows, row_step, depth, v.at(a, builder.mul(number, a_chain)), a_step,
                           v.at(b, v.product(first, COLUMNS)), count, there)
        return [v.add(total, link) for total, link in zip(sums, links.values(), strict=True)]

    tile = [(r, s) for r in range(rows) for s in range(VECTORS)]
    whole = v.product(summed, depth)
    chains = builder.sdiv(builder.add(terms, builder.sub(whole, v.number(1))), whole)
    return dict(zip(tile, v.repeat(chains, [v.splat(0)] * len(tile), chain), strict=True))


def emit_chain(v, rows, row_step, depth, a, a_step, b, terms, ahead):
    """{(row, vector): sum of one chain}."""
    builder = v.builder
    tile = [(r, s) for r in range(rows) for s in range(VECTORS)]
    steps = SHAPE.steps_of(depth)
    groups = depth // steps

    def group(index, sums):
        """`steps` steps; the index counts those of one block, then those of the next."""
        sums = dict(zip(tile, sums, strict=True))
        block, inside = builder.udiv(index, v.number(groups)), builder.urem(index, v.number(groups))
        a_group = v.at(a, builder.add(builder.mul(block, a_step), v.product(inside, steps)))
        b_group = v.at(b, v.product(index, steps * COLUMNS))
        for k in range(steps):
            right = [v.load(b_group, k * COLUMNS + s * LANES) for s in range(VECTORS)]
            if ahead:
                v.prefetch(ahead[0], v.product(builder.add(v.product(index, steps), v.number(k)), ahead[1]))
            for r in range(rows):
                left = v.broadcast(a_group, r * row_step + k)
                for s in range(VECTORS):
                    sums[r, s] = v.multiply_add(left, right[s], sums[r, s])
        return list(sums.values())

    turns = builder.sdiv(builder.add(terms, v.number(steps - 1)), v.number(steps))
    return dict(zip(tile, v.repeat(turns, [v.splat(0)] * len(tile), group), strict=True))


def emit_stores(v, sums, c, c_step, fresh, is_compensated):
    """{(row, vector): sum} → c, stored where `fresh` is not 0 and added to what lies there otherwise."""
    builder = v.builder
    store, add, end = (builder.append_basic_block(name) for name in ("store", "add", "end"))
    builder.cbranch(builder.icmp_signed("!=", fresh, v.number(0)), store, add)
    for block, adds in ((store, False), (add, True)):
        builder.position_at_end(block)
        for (r, s), addend in sums.items():
            place, lost = place_of(v, c, c_step, r, s), place_of(v, c, c_step, r, VECTORS + s)
            old = v.load(place) if adds else v.splat(0)
            total = v.add(old, addend) if adds else addend
            v.store(total, place)
            if is_compensated:
                v.store(v.add(v.load(lost), emit_loss(v, old, addend, total)) if adds else v.splat(0), lost)
        builder.branch(end)
    builder.position_at_end(end)


def emit_loss(v, old, addend, total):
    """What total = old + addend lost by rounding, exactly."""
    part = v.subtract(total, old)
    return v.add(v.subtract(old, v.subtract(total, part)), v.subtract(addend, part))


def place_of(v, c, c_step, row, vector):
    """The pointer to vector `vector` of row `row` of c: c + vector·c_step + row·LANES."""
    return v.at(c, v.builder.add(v.product(c_step, vector), v.number(row * LANES)))
