"""LLVM instructions on vectors of float32, from which the engine's kernels are put together.

Numba compiles loops over numbers; which vector instructions come out is LLVM's choice, and for these loops a poor one.  An
`@intrinsic` writes the instructions itself: `Vectors` holds the few kinds that are needed, `kernel` makes an intrinsic of a
function that emits them.
"""
from functools import wraps

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def kernel(lanes):
    """A function that emits instructions → one that kernels can call with whole numbers.

        @kernel(lanes=8)
        def copy(v, source, target):
            v.store(v.load(v.floats(source)), v.floats(target))

    Every argument is an int64: an address in bytes, or a count or a distance in floats.
    """
    def decorate(emit):
        def codegen(context, builder, signature, arguments):
            emit(Vectors(builder, lanes), *arguments)
            return context.get_dummy_value()

        @wraps(emit)                            # Numba reads the number of arguments off the signature
        def typed(typing_context, *arguments):
            return types.void(*[types.int64] * len(arguments)), codegen

        return intrinsic(typed)
    return decorate


class Vectors:
    """Emits instructions into a function under construction; `lanes` numbers a vector."""

    def __init__(self, builder, lanes):
        self.builder, self.lanes = builder, lanes
        self.type = ir.VectorType(F32, lanes)

    def repeat(self, count, first, body):
        """`count` times, which is at least once: body(index, vectors) → the vectors of the next turn, from `first` on.

        Returns those of the last turn.
        """
        builder, before = self.builder, self.builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        index, old = builder.phi(I64), [builder.phi(self.type) for _ in first]
        new = body(index, old)
        following = builder.add(index, self.number(1))
        for phi, start, later in [(index, self.number(0), following), *zip(old, first, new, strict=True)]:
            phi.add_incoming(start, before)
            phi.add_incoming(later, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        return new

    def number(self, value):
        """A whole number: a Python int, or an emitted one as it is."""
        return ir.Constant(I64, value) if isinstance(value, int) else value

    def product(self, a, b):
        """a·b of whole numbers, Python's or emitted ones."""
        return self.builder.mul(self.number(a), self.number(b))

    def floats(self, address):
        """An address → a pointer to float32."""
        return self.builder.inttoptr(address, F32.as_pointer())

    def at(self, pointer, offset):
        """The pointer `offset` floats on."""
        return self.builder.gep(pointer, [self.number(offset)])

    def load(self, pointer, offset=0):
        """The vector at `pointer`, `offset` floats on."""
        # align=4: the natural alignment of a vector, which LLVM assumes otherwise, faults on addresses that have less.
        return self.builder.load(self.builder.bitcast(self.at(pointer, offset), self.type.as_pointer()), align=4)

    def store(self, value, pointer, offset=0):
        """Write the vector at `pointer`, `offset` floats on."""
        self.builder.store(value, self.builder.bitcast(self.at(pointer, offset), self.type.as_pointer()), align=4)

    def prefetch(self, pointer, offset=0, level=1):
        """Ask for the cache line, into the first- or second-level cache; an address that does not exist is no error."""
        byte = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32]), "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(I32, value) for value in (0, 4 - level, 1))
        self.builder.call(function, [self.builder.bitcast(self.at(pointer, offset), byte), read, keep, data])

    def splat(self, value):
        """The same number in every lane: a Python number, or an emitted float."""
        if isinstance(value, (int, float)):
            return ir.Constant(self.type, [float(value)] * self.lanes)
        first = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), value, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def broadcast(self, pointer, offset=0):
        """One number in memory in every lane."""
        return self.splat(self.builder.load(self.at(pointer, offset), align=4))

    def multiply_add(self, a, b, c):
        """a·b + c, rounded once where the processor can.

        llvm.fmuladd rather than llvm.fma, which becomes a call of the C library on processors that cannot.
        """
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(self.type, [self.type] * 3),
                                                  f"llvm.fmuladd.v{self.lanes}f32")
        return self.builder.call(function, [a, b, c])

    def add(self, a, b):
        """a + b, lane by lane."""
        return self.builder.fadd(a, b)

    def subtract(self, a, b):
        """a − b, lane by lane."""
        return self.builder.fsub(a, b)

    def product_of(self, a, b):
        """a·b, lane by lane."""
        return self.builder.fmul(a, b)

    def divide(self, a, b):
        """a/b, lane by lane."""
        return self.builder.fdiv(a, b)

    def square_root(self, value):
        """√value, lane by lane, correctly rounded."""
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(self.type, [self.type]),
                                                  f"llvm.sqrt.v{self.lanes}f32")
        return self.builder.call(function, [value])

    def window(self, low, high, start):
        """Lanes start … start + lanes − 1 of `low` followed by `high`."""
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), list(range(start, start + self.lanes)))
        return self.builder.shuffle_vector(low, high, lanes)

    def combination(self, coefficients, values):
        """Σ coefficient · value, from the first to the last; zeros are left out and ones are free."""
        total = None
        for coefficient, value in zip(coefficients, values, strict=True):
            if coefficient == 0:
                continue
            if total is None:
                total = value if coefficient == 1 else self.builder.fmul(value, self.splat(coefficient))
            elif coefficient == 1:
                total = self.builder.fadd(total, value)
            elif coefficient == -1:
                total = self.builder.fsub(total, value)
            else:
                total = self.multiply_add(value, self.splat(coefficient), total)
        return total

    def at_least(self, value, floor):
        """floor where value < floor, else value: NaN stays NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)

    def where_above(self, value, bound, then, otherwise=None):
        """then where value > bound or is NaN, else otherwise, by default 0."""
        is_above = self.builder.fcmp_unordered(">", value, bound)
        return self.builder.select(is_above, then, self.splat(0) if otherwise is None else otherwise)

    def where_finite(self, value, then, otherwise):
        """then where value is finite, else otherwise: v − v is 0 for finite numbers only."""
        is_finite = self.builder.fcmp_ordered("==", self.builder.fsub(value, value), self.splat(0))
        return self.builder.select(is_finite, then, otherwise)

    def larger(self, a, b):
        """The larger of two, of equal ones the first, or NaN where one of them is NaN."""
        wins = self.builder.or_(self.builder.fcmp_ordered(">", b, a), self.builder.fcmp_unordered("uno", b, b))
        return self.builder.select(wins, b, a)

    def largest(self, a, b, c, d):
        """The largest of four, of equal ones the first, or NaN where one of them is NaN."""
        def larger(first, second):              # one instruction, which loses a NaN
            return self.builder.select(self.builder.fcmp_ordered(">", second, first), second, first)

        lost = self.builder.or_(self.builder.fcmp_unordered("uno", a, b), self.builder.fcmp_unordered("uno", c, d))
        bits = ir.VectorType(I32, self.lanes)
        all_ones = self.builder.sext(lost, bits)                        # as a float32, a NaN
        top = self.builder.bitcast(larger(larger(a, b), larger(c, d)), bits)
        return self.builder.bitcast(self.builder.or_(top, all_ones), self.type)

    def masked(self, value, mask):
        """value where the bits of mask are all ones, 0.0 where they are all zeros, whatever the value."""
        bits = ir.VectorType(I32, self.lanes)
        both = self.builder.and_(self.builder.bitcast(value, bits), self.builder.bitcast(mask, bits))
        return self.builder.bitcast(both, self.type)
