"""Gradients have the same bits for any number of threads, and their bodies are plain Python that stays in its arrays."""
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from witnesses.gradients import WITH_IMAGES, arrays_of, gradients
from witnesses.operations import Case, same_bits

from npvgg.kernels.compiling import launch

ROOT = Path(__file__).parents[3]
CASES = WITH_IMAGES | {
    "conv2d-several-parts": Case("conv2d", ((5, 3, 33, 31), (7, 3, 3, 3), (7,))),
    "conv2d-several-blocks": Case("conv2d", ((3, 40, 9, 11), (270, 40, 3, 3), (270,))),
    "dense-several-tiles": Case("dense", ((3, 700), (300, 700), (300,))),
}
PLAINLY = """
from witnesses.gradients import WITH_IMAGES, arrays_of, gradients
for name, case in WITH_IMAGES.items():
    if name in ("conv2d-many-tiles", "conv2d-many-pixels", "relu-vector"):
        continue
    g, arrays = arrays_of(case)
    defined, answer = (gradients(case, g, arrays, tier) for tier in ("reference", "jit"))
    for kind, gradient in answer.items():
        assert abs(gradient - defined[kind]).max() <= 1e-12, (name, kind)
print("checked")
"""


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_number_of_threads_changes_no_bit(case):
    g, arrays = arrays_of(case, np.float32)
    before, answers = numba.get_num_threads(), []
    try:
        for count in range(1, min(4, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(count)
            answers.append(gradients(case, g, arrays, "jit"))
    finally:
        numba.set_num_threads(before)
    assert all(same_bits(answer[name], answers[0][name]) for answer in answers[1:] for name in answer)


def test_serial_twins_give_the_same_bits(monkeypatch):
    """Those of the convolution, whose sums have the most parts."""
    case = CASES["conv2d-several-parts"]
    g, arrays = arrays_of(case, np.float32)
    together = gradients(case, g, arrays, "jit")
    monkeypatch.setattr(launch.Launcher, "forked", True)
    alone = gradients(case, g, arrays, "jit")
    assert all(same_bits(alone[name], together[name]) for name in together)


def test_bodies_run_as_plain_python():
    """Where NumPy finds an index beyond an array's end."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NUMBA_DISABLE_JIT": "1"}
    child = subprocess.run([sys.executable, "-c", PLAINLY], env=environment, capture_output=True, text=True, timeout=300)
    assert child.stdout == "checked\n", child.stderr
