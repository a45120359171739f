"""Threads that share a program: late, absent, many at once, and after a fork."""
import os
import signal
import subprocess
import sys
import threading
import time
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

    jobs = team.HELPERS.join_in(hang, 64)
    try:
        assert entered.wait(30)
        called = []
        team.together(called.append, 2)
        assert called == [0]
    finally:
        release.set()
        for job in jobs:
            job.end()


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


def test_where_no_thread_can_be_started_the_caller_does_everything(monkeypatch):
    def refused(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team, "start_new_thread", refused)
    monkeypatch.setattr(team, "HELPERS", team.Helpers())
    called = []
    team.together(called.append, 2)
    assert called == [0] and team.HELPERS.jobs.empty()


def test_one_seat_is_taken_once(monkeypatch):
    """Of threads that an interrupted caller may have started twice, those that find no seat end."""
    monkeypatch.setattr(team, "number_of", lambda _: 2)
    monkeypatch.setattr(team, "HELPERS", team.Helpers())
    helpers = team.HELPERS
    for _ in range(5):
        team.start_new_thread(helpers.serve, (helpers.jobs, helpers.idle, helpers.taken, 1))
    both = threading.Barrier(2, timeout=5)
    team.together(lambda _: both.wait(), 2)
    deadline = time.monotonic() + 5
    while len(helpers.taken) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(helpers.taken) == 1


SMALL = """
import atexit, os, random, signal, sys, threading, time
import numpy as np
from npvgg import network
from npvgg.kernels.engine import team
vgg = network.create("vgg11_bn", width=1/16, hidden=(10,), num_classes=5, input_size=32)
x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
"""
INTERRUPTED = SMALL + """
def calls():
    for _ in range(20):
        assert np.array_equal(vgg.forward(x), expected)

def interrupt(_, frame):                                # as Ctrl-C does, but only inside of calls(), and not of itself
    while frame is not None and frame.f_code is not interrupt.__code__:
        if frame.f_code is calls.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back

chance, expected, hits, until = random.Random(0), vgg.forward(x), 0, time.monotonic() + float(sys.argv[1])
signal.signal(signal.SIGALRM, interrupt)
while time.monotonic() < until:
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 3e-3), chance.choice([0, 2e-4]))
    try:
        calls()
    except KeyboardInterrupt:
        hits += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
both = threading.Barrier(2, timeout=20)
team.together(lambda _: both.wait(), 2)                 # two threads are there still
assert np.array_equal(vgg.forward(x), expected)
print("at least a hundred" if hits >= 100 else hits, flush=True)
print(hits, file=sys.stderr)
"""
AFTER_MAIN = SMALL + """
def call():
    print(vgg.forward(x).shape, flush=True)

def later():
    threading.main_thread().join()
    call()

atexit.register(call)
threading.Thread(target=later).start()
"""
FIRST_CALL = SMALL + """
answers, statuses = [], []
other = threading.Thread(target=lambda: answers.append(vgg.forward(x)))
other.start()
while other.is_alive() and len(statuses) < 20:
    child = os.fork()
    if not child:
        signal.alarm(20)
        vgg.forward(x)
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
other.join()
print(statuses and set(statuses))
"""
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


def run(code, layer="default", *arguments, timeout=300):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True,
                          timeout=timeout)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
def test_interrupts_break_nothing_fuzz():
    """The answers, the helper and the end of the process, after a few hundred interrupts anywhere in a call."""
    seconds = float(os.environ.get("NPVGG_FUZZ_SECONDS", "2"))
    child = run(INTERRUPTED, "default", str(seconds), timeout=60 + seconds)
    assert child.stdout == "at least a hundred\n", (child.returncode, child.stdout, child.stderr)
    assert child.returncode == 0


def test_calls_after_the_main_thread_has_ended_and_at_exit():
    child = run(AFTER_MAIN)
    assert child.stdout == "(2, 5)\n" * 2, (child.returncode, child.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_during_a_first_call_answers():
    child = run(FIRST_CALL)
    assert child.stdout == "{0}\n", (child.returncode, child.stdout, child.stderr)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_sixteen_python_threads_on_one_model(layer):
    child = run(TOGETHER, layer)
    assert child.stdout == "the same bits\n", (child.returncode, child.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_a_forked_child_answers_too(layer):
    child = run(FORK, layer)
    assert child.stdout == "0\n", (child.returncode, child.stderr)
