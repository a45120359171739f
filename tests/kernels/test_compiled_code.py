"""Machine code on disk: used, never stale, never the reason for a failure."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INNER = """
from npvgg.kernels.flags import serial

@serial
def inner(x):
    return x + {}
"""
OUTER = """
from inner import inner
from npvgg.kernels.flags import serial

@serial
def outer(x):
    return 10 * inner(x)
"""
CALL = "import outer; print(outer.outer(1.0), sum(outer.outer.stats.cache_hits.values()))"


@pytest.fixture
def kernels(tmp_path):
    """A folder with two modules, the kernel of one calling that of the other."""
    folder = tmp_path / "package" / "kernels"
    folder.mkdir(parents=True)
    (folder / "inner.py").write_text(INNER.format(1))
    (folder / "outer.py").write_text(OUTER)
    return folder


def run(code, folder, **environment):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"} | environment
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def call(folder):
    """The answer of the kernel in a new process, and whether its code came from the disk."""
    child = run(CALL, folder, NUMBA_CACHE_DIR=str(folder.parent / "cache"))
    assert child.returncode == 0, child.stderr
    answer, hits = child.stdout.split()
    return float(answer), bool(int(hits))


def test_code_is_compiled_once(kernels):
    assert call(kernels) == (20.0, False)
    assert call(kernels) == (20.0, True)


def test_a_change_in_a_called_module_is_noticed(kernels):
    call(kernels)
    (kernels / "inner.py").write_text(INNER.format(2))
    assert call(kernels) == (30.0, False)


@pytest.mark.parametrize("suffix, damage", [(".nbi", lambda raw: raw[:len(raw) // 2]), (".nbc", lambda raw: b""),
                                            (".nbc", lambda raw: b"garbage" * 99)],
                         ids=["index-truncated", "code-empty", "code-garbage"])
def test_a_damaged_file_is_replaced(kernels, suffix, damage):
    call(kernels)
    for path in (kernels.parent / "cache").rglob(f"*{suffix}"):
        path.write_bytes(damage(path.read_bytes()))
    assert call(kernels) == (20.0, False)
    assert call(kernels) == (20.0, True)


def test_without_a_folder_for_the_cache_kernels_are_compiled_all_the_same():
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    plain = run("import numba; from npvgg.kernels.jit import relu; numba.njit(cache=True)(relu)", ROOT, **nowhere)
    assert "no locator available" in plain.stderr, "this environment does not provoke what is tested"
    code = "import numpy as np; from npvgg.kernels.jit import relu; print(relu(np.float32([-1, 2])))"
    ours = run(code, ROOT, **nowhere)
    assert ours.stdout == "[0. 2.]\n", ours.stderr


def test_a_full_disk_does_not_reach_the_caller(kernels):
    code = """
import numba.core.caching as caching
def full(self, path):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._open_for_write = full
""" + CALL
    child = run(code, kernels, NUMBA_CACHE_DIR=str(kernels.parent / "cache"))
    assert child.stdout == "20.0 0\n", child.stderr
