"""One process at a time, and nobody waits for the dead."""
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from npvgg.storage import file_lock

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from npvgg.storage import file_lock
with file_lock.held(sys.argv[1], "waiting"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock tmp_path/lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "lock"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with file_lock.held(tmp_path / "lock", "waiting"):
        pass
    assert not caplog.records


def test_who_waits_gets_the_lock_when_the_holder_dies_and_says_that_it_waits(tmp_path, holder, caplog):
    start = time.monotonic()
    killer = subprocess.Popen([sys.executable, "-S", "-c",
                               f"import os, time; time.sleep(0.5); os.kill({holder.pid}, {int(signal.SIGKILL)})"])
    with file_lock.held(tmp_path / "lock", "somebody else has it"):
        waited = time.monotonic() - start
    killer.wait()
    assert 0.4 < waited < 30
    assert [record.getMessage() for record in caplog.records] == ["somebody else has it"]


def test_two_blocks_never_overlap_and_the_file_stays(tmp_path):
    code = """
import os, sys, time
from npvgg.storage import file_lock
for _ in range(20):
    with file_lock.held(sys.argv[1] + "/lock", "waiting"):
        os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
        time.sleep(0.001)
        os.unlink(sys.argv[1] + "/inside")
"""
    runs = [subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    assert [run.communicate()[1] and run.returncode for run in runs] and [run.returncode for run in runs] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_forked_child_does_not_hold_the_lock(tmp_path, caplog):
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    with file_lock.held(tmp_path / "lock", "waiting"):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
    with file_lock.held(tmp_path / "lock", "waiting"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not caplog.records


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_runs_the_block_all_the_same(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    ran = []
    with file_lock.held(tmp_path / "lock", "waiting"):
        ran.append(True)
    assert ran


def test_a_lock_that_cannot_be_made_is_the_system_s_error(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(IsADirectoryError), file_lock.held(tmp_path / "lock", "waiting"):
        pass


def test_an_error_in_the_block_frees_the_lock(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt), file_lock.held(tmp_path / "lock", "waiting"):
        raise KeyboardInterrupt
    with file_lock.held(tmp_path / "lock", "waiting"):
        pass
    assert not caplog.records
