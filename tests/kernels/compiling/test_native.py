"""The engine's machine code on disk: loaded without Numba, never trusted blindly, never the reason for a failure."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npvgg.kernels.compiling import code_files

ROOT = Path(__file__).parents[3]
ANSWER = """
import sys
import numpy as np
from npvgg import network
from npvgg.kernels.compiling import code_files
compiled = []
code_files.announce = lambda: compiled.append(1)
vgg = network.create("vgg11_bn", width=1/16, hidden=(10,), num_classes=5, input_size=32, seed=3, how="he")
print(len(compiled), *vgg.forward(np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32))[0])
"""


def run(folder, code=ANSWER, **environment):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)} | environment
    child = subprocess.run([sys.executable, "-c", code + "print(len(compiled), 'numba' in sys.modules)"], env=environment,
                           capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    first, last = child.stdout.splitlines()
    count, numba = last.split()
    return first.split()[1:], int(count), numba == "True"


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with the compiled entry points, and the answer of the process that compiled them."""
    folder = tmp_path_factory.mktemp("warm") / "kernels"
    answer, count, numba = run(folder)
    assert (count, numba) == (2, True)
    assert {path.name.split(".")[-3] for path in folder.iterdir()} == {"walk", "transform_filters"}
    return folder, answer


@pytest.fixture
def copy(warm, tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o700)
    for path in warm[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).chmod(0o644)
    return folder


def test_a_later_process_needs_no_numba(warm):
    folder, answer = warm
    assert run(folder) == (answer, 0, False)


DAMAGES = {"empty": lambda raw: b"", "truncated": lambda raw: raw[:len(raw) // 2],
           "one bit": lambda raw: raw[:-99] + bytes([raw[-99] ^ 4]) + raw[-98:]}
# Whoever wrote these knew the digest.
REWRITTEN = {"no head": b"", "no JSON": b"{\n\x7fELF", "no object": b'{"symbol": "walk", "arguments": 4}\ngarbage' + bytes(999),
             "a list": b"[]\n\x7fELF"}
for title, content in REWRITTEN.items():
    DAMAGES[title] = lambda raw, name, content=content: code_files.digest(name, content) + content


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_compiled_again(warm, copy, damage):
    for path in copy.glob("*filters*"):
        raw = path.read_bytes()
        path.write_bytes(damage(raw, path.name) if damage.__code__.co_argcount > 1 else damage(raw))
    assert run(copy) == (warm[1], 1, True)
    assert run(copy) == (warm[1], 0, False)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_a_folder_that_others_can_write_to_is_not_trusted(warm, copy):
    copy.chmod(0o777)
    assert run(copy) == (warm[1], 2, True)


def test_a_full_disk_or_no_folder_at_all_costs_only_time(warm, tmp_path):
    full = "from npvgg.kernels.compiling import code_files\n" \
           "def full(*_): raise OSError(28, 'No space left')\ncode_files.write = full\n"
    assert run(tmp_path / "never", full + ANSWER) == (warm[1], 2, True)
    (tmp_path / "file").write_bytes(b"")
    assert run(tmp_path / "file" / "inside") == (warm[1], 2, True)
