"""The engine on other processors: those this machine can stand in for run, for all of them the code is read."""
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg.kernels.engine.machine import SHAPES, SMALLEST, vector_shape
from npvgg.parity import difference

ROOT = Path(__file__).parents[3]
PROCESSORS = {"nehalem": (SMALLEST, "xmm"), "haswell": (SHAPES["ymm"], "ymm"), "znver4": (SHAPES["zmm"], "zmm")}
SIZES = {"width": 3 / 32, "hidden": (21, 13), "pooled_size": 3, "num_classes": 5, "input_size": 64}

pytestmark = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="processors of another kind")

LOGITS = f"""
import sys
import numpy as np
from npvgg.kernels.engine import winograd
from npvgg.kernels.engine.machine import vector_shape
from witnesses.networks import lively

winograd.LARGE = 20                                 # so that pictures of 22×35 pixels take F(6×6), and the smaller ones F(4×4)
vgg = lively("vgg11_bn", **{SIZES})
x = np.random.default_rng(0).standard_normal((3, 3, 45, 70), np.float32)
together = vgg.forward(x)
assert all(np.array_equal(vgg.using(threads=1).forward(x[n:n + 1])[0], together[n]) for n in range(3))
print(vector_shape())
np.savetxt(sys.stdout, together, "%.9g")
"""
# The same with the shape of another processor but instructions of this one, of which LLVM takes two for a vector too wide.
PRETENDED = f"""
import importlib.util
import sys

name = "npvgg.kernels.engine.machine"
spec = importlib.util.spec_from_file_location(name, {str(ROOT / "npvgg/kernels/engine/machine.py")!r})
module = sys.modules[name] = importlib.util.module_from_spec(spec)      # before the package, which imports it
spec.loader.exec_module(module)
module.SHAPE = shape = module.SHAPES["zmm"]
module.vector_shape = lambda: shape
module.ROWS, module.LANES, module.VECTORS, module.COLUMNS = shape.rows, shape.lanes, shape.vectors, shape.columns
""" + LOGITS
ASSEMBLY = """
import numba
from npvgg.kernels.engine.float32 import product

kernel = product.tile_product(row_step=product.LANES, depth=product.LANES)

def tile(rows, a, a_step, b, c, c_step, blocks, fresh, ahead, ahead_step):
    kernel(rows, a, a_step, b, c, c_step, blocks, fresh, ahead, ahead_step)

compiled = numba.njit(tile)
compiled.compile((numba.int64,) * 10)
print(product.SHAPE)
print(*compiled.inspect_asm().values())
"""


def run(code, **environment):
    """What the code prints: the shape that it found, and the rest."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **environment}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    return child.stdout.split("\n", 1)


def on(processor):
    return {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_processors_give_the_same_answer_to_rounding(processor):
    shape, _ = PROCESSORS[processor]
    if shape.lanes > vector_shape().lanes:
        pytest.skip("this machine has no such registers")
    check_logits(shape, LOGITS, **on(processor))


def test_vectors_of_avx_512_give_the_same_answer_on_narrower_registers(tmp_path):
    check_logits(SHAPES["zmm"], PRETENDED, NUMBA_CACHE_DIR=str(tmp_path))       # code that no other process may find


def check_logits(shape, code, **environment):
    found, logits = run(code, **environment)
    assert found == str(shape)
    x = np.random.default_rng(0).standard_normal((3, 3, 45, 70), np.float32)
    exact = lively("vgg11_bn", **SIZES).using(dtype=np.float64).forward(x.astype(np.float64))
    assert difference.measure(np.array(logits.split(), np.float32).reshape(3, 5), exact).within(8e-6)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_inner_loop_multiplies_on_the_widest_registers_and_spills_nothing(processor):
    shape, register = PROCESSORS[processor]
    found, assembly = run(ASSEMBLY, **on(processor))
    assert found == str(shape)
    loops = []                                          # from a label to the jump back to it
    for block in re.split(r"\n(?=\.L\w+:)", assembly):
        label = re.match(r"\.L\w+(?=:)", block)
        jump = label and re.search(rf"\bj\w+\s+{re.escape(label[0])}$", block, re.MULTILINE)
        loops += [block[:jump.end()]] if jump else []
    multiply = r"vfmadd\w+ps" if register != "xmm" else r"mulps"
    sums = {}
    for loop in loops:
        found = re.findall(rf"\b{multiply}\b.*%{register}\d+$", loop, re.MULTILINE)
        if found:
            sums[len(found)] = re.findall(rf"%{register}\d+, .*\(.*|.*\(%rsp.*", loop)
    steps = shape.steps_of(shape.lanes)
    assert set(sums) == {rows * shape.vectors * steps for rows in shape.row_counts}
    assert not any(sums.values())                       # no sum is stored, nothing is read from the stack
