"""Machine code on disk: used, never stale, never the reason for a failure."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INNER = """
from npvgg.kernels.compiling.flags import serial

@serial
def inner(x):
    return x + {}
"""
OUTER = """
from inner import inner
from npvgg.kernels.compiling.flags import serial

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


def files(folder):
    return sorted((folder.parent / "cache").iterdir())


DAMAGES = {"empty": lambda raw: b"", "truncated": lambda raw: raw[:len(raw) // 2], "garbage": lambda raw: b"garbage" * 99,
           "other digest": lambda raw: bytes(32) + raw[32:]}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_replaced(kernels, damage):
    call(kernels)
    for path in files(kernels):
        path.write_bytes(damage(path.read_bytes()))
    assert call(kernels) == (20.0, False)
    assert call(kernels) == (20.0, True)


FLIPS = """
import os, random, sys
from pathlib import Path
from npvgg.kernels.compiling import code_files
random.seed(0)
path, = Path(os.environ["NUMBA_CACHE_DIR"]).glob("*outer*")
whole = path.read_bytes()
assert code_files.read(path.name) == whole[32:] and not path.stat().st_mode & 0o022
for _ in range(300):
    place, bit = random.randrange(len(whole)), 1 << random.randrange(8)
    path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1:])
    try:
        code_files.read(path.name)
    except OSError:
        continue
    sys.exit(f"bit {bit} of byte {place} went unnoticed")
print("all noticed")
"""


def test_every_flipped_bit_is_noticed(kernels):
    call(kernels)
    child = run(FLIPS, kernels, NUMBA_CACHE_DIR=str(kernels.parent / "cache"))
    assert child.stdout == "all noticed\n", child.stderr


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
def test_code_that_others_could_have_written_is_not_executed(kernels, mode):
    call(kernels)
    (kernels.parent / "cache").chmod(mode)
    assert call(kernels) == (20.0, False)
    assert call(kernels) == (20.0, False)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_code_of_another_user_is_not_executed(kernels):
    call(kernels)
    os.chown(kernels.parent / "cache", 12345, 12345)
    assert call(kernels) == (20.0, False)


def test_a_file_that_others_could_have_written_is_not_executed(kernels):
    if not hasattr(os, "getuid"):
        pytest.skip("no owners here")
    call(kernels)
    for path in files(kernels):
        path.chmod(0o666)
    assert call(kernels) == (20.0, False)                   # … and a new one is in its place
    assert call(kernels) == (20.0, True)
    if os.getuid() == 0:                                    # only root can give files away
        for path in files(kernels):
            os.chown(path, 12345, 12345)
        assert call(kernels) == (20.0, False)


def test_the_code_of_another_kernel_is_not_executed(kernels):
    call(kernels)
    outer, = (path for path in files(kernels) if "outer" in path.name)
    (kernels / "outer.py").write_text(OUTER.replace("10", "30"))
    assert call(kernels) == (60.0, False)
    for path in files(kernels):
        if path != outer:
            path.write_bytes(outer.read_bytes())
    assert call(kernels) == (60.0, False)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_is_not_followed(kernels):
    call(kernels)
    (kernels.parent / "cache").rename(kernels.parent / "elsewhere")
    (kernels.parent / "cache").symlink_to(kernels.parent / "elsewhere")
    assert call(kernels) == (20.0, False)


def test_the_folder_is_made_for_its_owner_alone(kernels):
    call(kernels)
    assert (kernels.parent / "cache").stat().st_mode & 0o777 == 0o700


def test_without_a_folder_for_the_cache_kernels_are_compiled_all_the_same(tmp_path):
    """Neither a home nor a place to write: Numba's own cache raises at import there."""
    (tmp_path / "file").write_bytes(b"")
    code = "import numpy as np; from npvgg.kernels.jit import relu; print(relu(np.float32([-1, 2])))"
    for nowhere in ({"NUMBA_CACHE_DIR": str(tmp_path / "file" / "in")}, {"NUMBA_CACHE_DIR": "", "NPVGG_CACHE": "/dev/null/x"}):
        child = run(code, ROOT, **nowhere)
        assert child.stdout == "[0. 2.]\n", child.stderr
        assert child.stderr.count("\n") == 2 and "every run compiles them again" in child.stderr     # said once, not each time


def test_a_full_disk_does_not_reach_the_caller(kernels):
    code = """
from npvgg.kernels.compiling import code_files
def full(name, content):
    raise OSError(28, "No space left on device")
code_files.write = full
""" + CALL
    child = run(code, kernels, NUMBA_CACHE_DIR=str(kernels.parent / "cache"))
    assert child.stdout == "20.0 0\n", child.stderr
    assert "No space left on device" in child.stderr and "the next run compiles them again" in child.stderr


def test_compiling_is_said_once(kernels):
    said, silent = (run(CALL, kernels, NUMBA_CACHE_DIR=str(kernels.parent / "cache")) for _ in range(2))
    assert said.stderr.count("compiling the kernels") == 1 and "later runs start at once" in said.stderr
    assert not silent.stderr


def test_eight_processes_start_on_one_empty_cache(kernels):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{kernels}", "NUMBA_CACHE_DIR": str(kernels.parent / "cache")}
    started = [subprocess.Popen([sys.executable, "-c", CALL], env=environment, stdout=subprocess.PIPE) for _ in range(8)]
    assert {process.communicate(timeout=120)[0].split()[0] for process in started} == {b"20.0"}
    assert call(kernels) == (20.0, True)
    assert not [path for path in files(kernels) if path.name.startswith(".")]
