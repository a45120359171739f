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
