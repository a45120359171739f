import os
import subprocess
import sys
from pathlib import Path

import pytest

from npvgg import forking

CODE = """
import os
from npvgg import forking
seen = []
assert forking.in_child(lambda: seen.append(os.getpid()))
child = os.fork()
if not child:
    os._exit(0 if seen == [os.getpid()] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or len(seen))
"""


def test_it_is_called_in_the_child_only():
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    assert subprocess.run([sys.executable, "-c", CODE], cwd=Path(__file__).parents[1]).returncode == 0


def test_where_nobody_forks_nothing_happens(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    assert forking.in_child(test_it_is_called_in_the_child_only) is test_it_is_called_in_the_child_only


def test_a_fork_waits_for_who_is_making_something():
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    code = """
import os, signal, threading
from npvgg import forking
own, is_held, forked = threading.RLock(), threading.Event(), threading.Event()
forking.waits_for(own)

def hold():
    with forking.MAKING, own:
        is_held.set()
        assert not forked.wait(0.2)

other = threading.Thread(target=hold)
other.start()
is_held.wait()
child = os.fork()
forked.set()
signal.alarm(10)
with forking.MAKING, own:
    pass
if not child:
    os._exit(0)
other.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    child = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert child.returncode == 0 and not child.stderr, child.stderr
