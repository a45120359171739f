"""The processor in one record: its vectors and registers, and its caches.

What stands here changes how fast the engine is and nothing else.  LLVM itself is asked for the registers: it writes a loop over
16 and over 8 numbers for the processor that Numba compiles for, and the names of the registers in the assembly say what that
processor has.  NPVGG_VECTORS=avx512, avx2, sse or neon takes another shape, which LLVM splits where the processor lacks it;
NUMBA_CPU_NAME=haswell or =generic compiles for another processor.
"""
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llvmlite import binding, ir

from npvgg.checks import check_choice
from npvgg.kernels.compiling.target import target_machine

FLOAT = 4                       # bytes
CACHE_LINE = 16                 # floats in a line of the cache
VARIABLE = "NPVGG_VECTORS"
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Vectors:
    """`lanes` float32 numbers a vector; `rows` × `vectors` sums of a product in registers; `steps` of it written out in a row.

    The product needs rows·vectors registers for its sums, `vectors` for the right operand and one or two for the left: 28 + 3
    of the 32 registers of AVX-512, 12 + 3 of the 16 of AVX2, 8 + 3 of the 16 of SSE, which needs more for products that it
    cannot fuse with sums, and 24 + 5 of the 32 of NEON.  The more steps LLVM sees at once, the earlier it loads; with more than
    these it spills sums.
    """

    lanes: int
    rows: int
    vectors: int
    steps: int

    @property
    def columns(self):
        """Sums of a row."""
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


SHAPES = {
    "avx512": Vectors(lanes=16, rows=14, vectors=2, steps=3),
    "avx2": Vectors(lanes=8, rows=6, vectors=2, steps=9),
    "sse": Vectors(lanes=4, rows=4, vectors=2, steps=3),
    "neon": Vectors(lanes=4, rows=12, vectors=2, steps=2),
}
REGISTERS = {"avx512": "zmm", "avx2": "ymm"}


@dataclass(frozen=True)
class Machine:
    """What the engine needs to know of the processor; sizes in bytes."""

    vectors: Vectors
    second_level: int           # cache of one core
    last_level: int             # cache of all cores

    @property
    def resident(self):
        """Transformed filters of at most so many bytes stay in a cache while every thread reads them again and again."""
        return 3 * self.last_level // 8

    @property
    def task(self):
        """Room for the transformed tiles of a task and the products of a panel; the filters pass through the rest."""
        return 7 * self.second_level // 16


@cache
def machine():
    """The Machine that this process runs on."""
    # A larger second level gains nothing, and a virtual machine shows a last level that it shares with others.
    second, last = (min(cache_bytes(level, default=most), most) for level, most in ((2, 1 << 20), (3, 32 << 20)))
    return Machine(SHAPES[vectors_here()], second, last)


def vectors_here():
    """The name of the shape in SHAPES: NPVGG_VECTORS, or the widest that the processor has."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        check_choice(VARIABLE, chosen, tuple(SHAPES))
        return chosen
    if binding.get_process_triple().startswith(("aarch64", "arm64")):
        return "neon"
    for name, register in REGISTERS.items():
        if f"%{register}" in assembly_of_an_addition(SHAPES[name].lanes):
            return name
    return "sse"


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


def cache_bytes(level, default):
    """The size of the data cache of that level as Linux shows it; elsewhere, and where it shows none, the default."""
    for index in sorted(CACHES.glob("index*")):
        try:
            found_level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if int(found_level) == level and kind in ("Data", "Unified"):
                return int(size.removesuffix("K")) << 10
        except (OSError, ValueError):
            continue
    return default


SHAPE = machine().vectors
ROWS, LANES, VECTORS, COLUMNS = SHAPE.rows, SHAPE.lanes, SHAPE.vectors, SHAPE.columns
