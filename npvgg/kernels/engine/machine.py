"""How wide this machine's vectors are, and how large a tile of sums its registers hold.

LLVM itself is asked: it writes a loop over 16 and over 8 numbers for the processor that Numba compiles for, and the names of
the registers in the assembly say what that processor has.  NUMBA_CPU_NAME=haswell or =generic shows the other shapes.
"""
from dataclasses import dataclass
from functools import cache

from llvmlite import binding, ir

from npvgg.kernels.compiling.target import target_machine

CACHE_LINE = 16                 # floats in a line of the cache


@dataclass(frozen=True)
class VectorShape:
    """`lanes` float32 numbers a vector; `rows` × `vectors` sums of a product in registers; `steps` of it written out in a row.

    The product needs rows·vectors registers for its sums, `vectors` for the right operand and one or two for the left: 28 + 3
    of the 32 registers of AVX-512, 12 + 3 of the 16 of AVX2, and 8 + 3 of the 16 of SSE, which needs more for products that it
    cannot fuse with sums.  The more steps LLVM sees at once, the earlier it loads; with more than these it spills sums.
    """

    lanes: int
    rows: int
    vectors: int
    steps: int

    @property
    def columns(self):
        return self.vectors * self.lanes

    def steps_of(self, depth):
        """How many of `depth` steps to write out: at most `steps`, and a divisor."""
        return max(count for count in range(1, self.steps + 1) if depth % count == 0)

    @property
    def row_counts(self):
        """How many rows a product may have.

        More rows than a tile has are divided evenly, so no piece has less than half of one.
        """
        return range(self.rows // 2, self.rows + 1)


SHAPES = {"zmm": VectorShape(lanes=16, rows=14, vectors=2, steps=3), "ymm": VectorShape(lanes=8, rows=6, vectors=2, steps=9)}
SMALLEST = VectorShape(lanes=4, rows=4, vectors=2, steps=3)


@cache
def vector_shape():
    """The shape for the processor that Numba compiles for."""
    for register, shape in SHAPES.items():
        if f"%{register}" in assembly_of_an_addition(shape.lanes):
            return shape
    return SMALLEST


def assembly_of_an_addition(lanes):
    """The machine code that adds two vectors of `lanes` numbers in memory."""
    vector = ir.VectorType(ir.FloatType(), lanes)
    module = ir.Module()
    module.triple = binding.get_process_triple()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [vector.as_pointer()] * 2), "add")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.store(builder.fadd(*(builder.load(argument) for argument in function.args)), function.args[0])
    builder.ret_void()
    return target_machine().emit_assembly(binding.parse_assembly(str(module)))


SHAPE = vector_shape()
ROWS, LANES, VECTORS, COLUMNS = SHAPE.rows, SHAPE.lanes, SHAPE.vectors, SHAPE.columns
