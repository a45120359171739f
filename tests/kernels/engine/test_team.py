"""Threads that share a program: late, absent, many at once, and after a fork."""
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from npvgg.kernels.engine import team

ROOT = Path(__file__).parents[3]


def test_everybody_is_called_and_waited_for():
    called = []
    team.together(called.append, 1)
    assert called == [0]
    team.together(lambda number: called.append(number), 2)
    assert called.count(0) == 2 and set(called) <= {0, 1}


def test_a_helper_that_is_busy_is_not_waited_for():
    """The only helper there is hangs elsewhere; the caller goes on alone."""
    release, entered = threading.Event(), threading.Event()

    def hang(_):
        entered.set()
        release.wait(30)

    helpers = team.HELPERS.join_in(hang, 64)
    try:
        assert entered.wait(30)
        called = []
        team.together(called.append, 2)
        assert called == [0]
    finally:
        release.set()
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def test_what_a_helper_raises_comes_out():
    both = threading.Barrier(2, timeout=5)

    def fail(number):
        both.wait()
        if number == 1:
            raise ArithmeticError("from the helper")

    with pytest.raises(ArithmeticError, match="from the helper"):
        team.together(fail, 2)


def test_share_calls_every_number_once():
    seen = []
    team.share(seen.append, 1000)
    assert sorted(seen) == list(range(1000))


TOGETHER = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from npvgg import network
vgg = network.create("vgg11_bn", width=1/16, hidden=(10,), num_classes=5, input_size=32)
pictures = [np.random.default_rng(k).standard_normal((1 + k % 3, 3, 32 + k % 5, 40), np.float32) for k in range(8)]
with ThreadPoolExecutor(16) as pool:                    # the first call, too, is contended
    answers = list(pool.map(lambda k: vgg.forward(pictures[k % 8]), range(160)))
alone = [vgg.using(threads=1).forward(picture) for picture in pictures]
assert all(np.array_equal(answer, alone[k % 8]) for k, answer in enumerate(answers))
print("the same bits")
"""
FORK = """
import os, numpy as np
from npvgg import network
vgg = network.create("vgg11", width=1/16, hidden=(10,), num_classes=5, input_size=32)
x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
expected = vgg.forward(x)
with vgg.runner.plan.lock:                                     # as another thread may hold it just then
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(vgg.forward(x), expected) else 3)
_, status = os.waitpid(child, 0)
assert np.array_equal(vgg.forward(x), expected)
print(status)
"""


def run(code, layer):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_sixteen_python_threads_on_one_model(layer):
    child = run(TOGETHER, layer)
    assert child.stdout == "the same bits\n", (child.returncode, child.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_a_forked_child_answers_too(layer):
    child = run(FORK, layer)
    assert child.stdout == "0\n", (child.returncode, child.stderr)
