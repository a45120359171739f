"""The serial bodies of the kernels: inside their bounds, legal as plain Python, and in one precision."""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from witnesses.operations import CASES, modules, same_bits

from npvgg.kernels import jit, tiers
from npvgg.kernels.compiling import launch

ROOT = Path(__file__).parents[2]

BOUNDS_CHECK = """
import numpy as np
from witnesses.operations import modules

modules = modules()
columns = np.zeros((2, 5), np.float32)
try:                                    # 9 rows into 2: the check must be alive, or this test proves nothing
    modules["im2col"].im2col(np.zeros((1, 1, 4, 4), np.float32), 3, 3, 1, 4, 4, 0, 9, 0, 16, columns)
except IndexError:
    pass
else:
    raise SystemExit("nothing checks the bounds")
"""
SERIALLY = """
import numpy as np
from npvgg.kernels.compiling import launch
from npvgg.kernels import tiers
from witnesses.operations import CASES, gap

launch.Launcher.forked = True           # the serial twins: bounds checks do nothing in a parallel function
tiers = [tiers.choose(tier) for tier in ("reference", "jit")]
for name, case in CASES.items():
    if name in SKIPPED:
        continue
    defined, answer = (tier[case.op](*case.arrays(), **case.options) for tier in tiers)
    assert answer.shape == defined.shape and answer.dtype == np.float32, name
    assert gap(answer, defined) < 1e-6, name
print("checked")
"""


def run(code, cache, **environment):
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True,
                          timeout=300)


def test_no_body_leaves_its_arrays(tmp_path):
    """In a cache of its own, for Numba takes code compiled without checks for the same."""
    child = run(BOUNDS_CHECK + SERIALLY.replace("SKIPPED", "()"), tmp_path, NUMBA_BOUNDSCHECK="1")
    assert child.stdout == "checked\n", child.stderr


def test_bodies_run_as_plain_python(tmp_path):
    slow = ("conv2d-many-tiles", "conv2d-oblong-filter", "relu-vector")
    child = run(SERIALLY.replace("SKIPPED", repr(slow)), tmp_path, NUMBA_DISABLE_JIT="1")
    assert child.stdout == "checked\n", child.stderr


@pytest.mark.parametrize("op", jit.OPERATIONS)
def test_serial_twins_give_the_same_bits_and_compute_in_float32(op, monkeypatch):
    """A stray float64 constant would change bits and halve the speed: nothing is widened or computed in double."""
    cases = [case for case in CASES.values() if case.op == op]
    together = [jit.OPERATIONS[op](*case.arrays(), **case.options) for case in cases]
    monkeypatch.setattr(launch.Launcher, "forked", True)
    for case, answer in zip(cases, together):
        assert same_bits(jit.OPERATIONS[op](*case.arrays(), **case.options), answer)
    twin, = (value.alone for value in vars(modules()[op]).values() if isinstance(value, launch.Launcher))
    code = "".join(twin.inspect_llvm().values())
    assert "float" in code
    assert not re.search(r"\bfpext\b|\bf(add|sub|mul|div|cmp)\b.*\bdouble\b|x double>|@llvm.*f64", code)


def test_answers_never_change_their_dtype():
    for dtype in (np.float32, np.float64):
        for case in CASES.values():
            for tier in tiers.LADDER:
                assert tiers.choose(tier)[case.op](*case.arrays(dtype), **case.options).dtype == dtype
