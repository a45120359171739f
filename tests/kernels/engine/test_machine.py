"""The engine on other processors: those this machine can stand in for run, for all of them the code is read."""
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from npvgg.errors import UsageError
from npvgg.kernels.engine import machine
from npvgg.kernels.engine.machine import SHAPES

ROOT = Path(__file__).parents[3]
PROCESSORS = {"nehalem": ("sse", "xmm"), "haswell": ("avx2", "ymm"), "znver4": ("avx512", "zmm")}
ENGINE_TESTS = ("tests/kernels/test_special_values.py", "tests/kernels/test_agreement.py", "tests/test_plan.py",
                "tests/kernels/engine/test_layerwise.py", "tests/kernels/engine/test_building.py")

each_processor = pytest.mark.parametrize("processor", PROCESSORS)
on_x86 = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="processors of another kind")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The engine's tests with every other shape of vectors, all started at once: {shape: process}."""
    started = {}
    for shape in SHAPES.keys() - {machine.vectors_here()}:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k",
                   "engine or plan or layerwise or building", f"--basetemp={tmp_path_factory.mktemp(shape) / 'inner'}",
                   *ENGINE_TESTS]
        started[shape] = subprocess.Popen(command, env=os.environ | {machine.VARIABLE: shape}, cwd=ROOT, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    yield started
    for process in started.values():
        process.kill()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_vectors_passes_the_engines_tests(shape, runs):
    """LLVM splits vectors that are too wide for this processor, so the answers are computed as they would be on another."""
    if shape not in runs:
        pytest.skip("the tests themselves run with this shape")
    output, _ = runs[shape].communicate(timeout=900)
    assert runs[shape].returncode == 0 and re.search(r"\b\d{3,} passed", output), output[-3000:]


MAPS = """
import hashlib
import numpy as np
from npvgg.architecture import architecture
from npvgg.plan import Plan
from witnesses.networks import lively

net = architecture("vgg13_bn", width=1 / 8, head="")
x = np.random.default_rng(0).standard_normal((2, 3, 45, 70), np.float32)
for algorithm in ("auto", "direct"):
    arrays = Plan(net.layers, lively(net).parameters).run(x, [layer.name for layer in net.layers], algorithm=algorithm)
    print(*(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays.values()))
"""


def test_a_map_has_the_same_bits_whatever_the_shape_of_vectors():
    """A sum runs over the channels in one order, whichever lane holds it; all shapes have this processor's instructions."""
    digests = {}
    for shape in SHAPES:
        environment = os.environ | {machine.VARIABLE: shape, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        child = subprocess.run([sys.executable, "-c", MAPS], env=environment, capture_output=True, text=True, timeout=300)
        assert child.returncode == 0, child.stderr
        digests[shape] = child.stdout
    assert len(set(digests.values())) == 1 and len(digests["sse"].split()) > 60


def test_a_shape_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setenv(machine.VARIABLE, "mmx")
    with pytest.raises(UsageError, match="^NPVGG_VECTORS is 'mmx'; choose one of avx512, avx2, sse, neon$"):
        machine.vectors_here()


def test_caches_are_read_from_the_system_and_assumed_where_it_shows_none(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CACHES", tmp_path)
    assert machine.cache_bytes(2, default=77) == 77
    shown = [("1", "Instruction", "32K"), ("2", "Unified", "1280K"), ("3", "Unified", "?")]
    for index, (level, kind, size) in enumerate(shown):
        (tmp_path / f"index{index}").mkdir()
        for name, text in {"level": level, "type": kind, "size": size}.items():
            (tmp_path / f"index{index}" / name).write_text(text + "\n")
    assert machine.cache_bytes(2, default=77) == 1280 << 10
    assert machine.cache_bytes(1, default=77) == 77 and machine.cache_bytes(3, default=77) == 77


ASSEMBLY = """
import numba
from npvgg.kernels.engine.float32 import product

kernel = product.tile_product(row_step=product.LANES, depth=product.LANES)

def tile(rows, a, a_step, b, c, c_step, blocks, summed, fresh, ahead, ahead_step):
    kernel(rows, a, a_step, b, c, c_step, blocks, summed, fresh, ahead, ahead_step)

compiled = numba.njit(tile)
compiled.compile((numba.int64,) * 11)
print(*compiled.inspect_asm().values())
"""


@on_x86
@each_processor
def test_the_widest_vectors_of_a_processor_are_taken(processor):
    shape, _ = PROCESSORS[processor]
    code = "from npvgg.kernels.engine import machine; print(machine.vectors_here())"
    assert run(code, processor).split() == [shape]


@on_x86
@each_processor
def test_the_inner_loop_multiplies_on_the_widest_registers_and_spills_nothing(processor):
    name, register = PROCESSORS[processor]
    shape, assembly = SHAPES[name], run(ASSEMBLY, processor)
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


def run(code, processor):
    """What the code prints when Numba compiles for another processor."""
    environment = {key: value for key, value in os.environ.items() if key != machine.VARIABLE}
    environment |= {"PYTHONPATH": str(ROOT), "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    return child.stdout
