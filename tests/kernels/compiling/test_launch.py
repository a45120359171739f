"""Parallel kernels survive threads and forks."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

THREADS = """
import numba, numpy as np
from concurrent.futures import ThreadPoolExecutor
from npvgg.kernels.jit import relu
x = np.linspace(-1, 1, 40001, dtype=np.float32)
with ThreadPoolExecutor(4) as pool:                     # the first launch, too, is contended
    answers = list(pool.map(lambda _: relu(x), range(40)))
assert all(np.array_equal(answer, np.maximum(x, 0)) for answer in answers)
print(numba.threading_layer())
"""
FORK = """
import os, numba, numpy as np
from npvgg.kernels.jit import relu
x = np.linspace(-1, 1, 40001, dtype=np.float32)
expected = relu(x)
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(relu(x), expected) else 3)
_, status = os.waitpid(child, 0)
assert np.array_equal(relu(x), expected)
print(numba.threading_layer(), status)
"""


def run(code, layer):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    if layer == "omp" and "No threading layer could be loaded" in child.stderr:
        pytest.skip("no OpenMP here")
    return child


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_four_python_threads_at_once(layer):
    child = run(THREADS, layer)
    assert child.stdout == f"{layer}\n", (child.returncode, child.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_a_forked_child_computes_too(layer):
    child = run(FORK, layer)
    assert child.stdout == f"{layer} 0\n", (child.returncode, child.stderr)


def test_a_threading_layer_that_does_not_exist_is_a_sentence(monkeypatch):
    from npvgg.errors import UsageError
    from npvgg.kernels.compiling import launch

    def unknown():
        raise ValueError("The threading layer requested 'nonsense' is unknown to Numba.")

    monkeypatch.setattr(launch, "layer", lambda: None)
    with pytest.raises(UsageError, match="'nonsense' is unknown to Numba.*leave NUMBA_THREADING_LAYER out"):
        launch.Launcher(unknown, None)()
