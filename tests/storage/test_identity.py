"""A file that was written to, cut, or replaced is not the file that was opened; one that was moved or deleted still is."""
import gc
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npvgg.errors import BadFileError
from npvgg.storage.identity import FileIdentity, MappedFile, mapped_file

CONTENT = bytes(range(256)) * 40
LATER = 0.02                                  # seconds; the clock of a file system has ticks of up to 10 ms


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    time.sleep(LATER)
    return path


def opened(path):
    with open(path, "rb") as file:
        return MappedFile(file.fileno(), FileIdentity.of(path, os.fstat(file.fileno()), "the digest"))


def written(path):
    with open(path, "r+b") as file:
        file.write(b"other")


def written_and_set_back(path):
    before = path.stat()
    written(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_the_same(path):
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def cut_after_moving(path):
    os.truncate(path.rename(path.with_name("elsewhere")), 100)


def written_after_moving(path):
    written(path.rename(path.with_name("elsewhere")))


CHANGES = [written, written_and_set_back, lambda path: os.truncate(path, 5000), lambda path: os.truncate(path, 0),
           lambda path: os.truncate(path, 20_000), replaced_by_the_same, cut_after_moving, written_after_moving]


@pytest.mark.parametrize("change", CHANGES, ids=["written", "set back", "cut", "emptied", "grown", "replaced", "moved and cut",
                                                 "moved and written"])
def test_a_change_is_noticed(path, change):
    mapped = opened(path)
    mapped.check()
    change(path)
    with pytest.raises(BadFileError, match=f"^{path} was changed since it was opened; load it again$"):
        mapped.check()


STATUS = {"st_size": "size", "st_mtime_ns": "modified", "st_ctime_ns": "changed", "st_ino": "inode", "st_dev": "device"}


@pytest.mark.parametrize("field", STATUS)
def test_each_thing_that_the_system_says_of_a_file_counts_by_itself(path, field):
    """On most systems a change shows in several of them at once; one is enough."""
    status = path.stat()
    said = {name: getattr(status, name) for name in STATUS}
    identity = FileIdentity.of(path, SimpleNamespace(**said), "the digest")
    assert identity.is_that_of(SimpleNamespace(**said))
    for difference in (1, -1):
        other = SimpleNamespace(**said | {field: said[field] + difference})
        assert not identity.is_that_of(other)
        assert FileIdentity.of(path, other, "the digest") != identity
    assert getattr(identity, STATUS[field]) == said[field]


@pytest.mark.parametrize("cut", [False, True], ids=["written", "cut"])
def test_size_and_time_count_each_by_itself_for_bytes(path, cut):
    mapped, before = opened(path), path.stat()
    if cut:
        os.truncate(path, 5000)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        written(path)
    assert (path.stat().st_size == before.st_size) != cut
    with pytest.raises(BadFileError, match="was changed since it was opened"):
        mapped.check_bytes()


HARMLESS = [lambda path: None, Path.read_bytes, Path.unlink, lambda path: path.rename(path.with_name("elsewhere")),
            lambda path: path.parent.rename(path.parent.with_name(f"{path.parent.name}-moved"))]


@pytest.mark.parametrize("change", HARMLESS, ids=["nothing", "read", "deleted", "moved", "folder moved"])
def test_what_leaves_the_bytes_alone_is_none(path, change):
    mapped = opened(path)
    change(path)
    mapped.check()
    assert bytes(mapped) == CONTENT


@pytest.mark.parametrize("change", [*HARMLESS, replaced_by_the_same],
                         ids=["nothing", "read", "deleted", "moved", "folder moved", "replaced"])
def test_bytes_that_are_what_they_were_pass_wherever_the_name_leads(path, change):
    mapped = opened(path)
    change(path)
    mapped.check_bytes()
    assert bytes(mapped) == CONTENT


@pytest.mark.parametrize("change", [written, written_after_moving, cut_after_moving, lambda path: os.truncate(path, 0)],
                         ids=["written", "moved and written", "moved and cut", "emptied"])
def test_bytes_that_were_written_or_cut_do_not(path, change):
    mapped = opened(path)
    change(path)
    with pytest.raises(BadFileError, match="was changed since it was opened"):
        mapped.check_bytes()


def test_the_path_is_absolute(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    mapped = opened("file")
    monkeypatch.chdir("/")
    mapped.check()
    assert mapped.identity.path == str(path)
    assert pickle.loads(pickle.dumps(mapped.identity)) == mapped.identity


def test_an_array_knows_its_file(path):
    mapped = opened(path)
    array = np.ndarray((10, 4), np.float32, buffer=mapped, offset=64)
    for view in (array, array[2:, 1].reshape(-1), np.asarray(memoryview(array)), array.view()):
        assert mapped_file(view) is mapped
    assert mapped_file(array.copy()) is None and mapped_file(np.frombuffer(CONTENT, np.uint8)) is None
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_nothing_stays_open_behind_it(path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    arrays = [np.frombuffer(opened(path), np.uint8) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) > before
    del arrays
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be cut there")
def test_why_it_asks_first_reading_behind_the_end_of_a_cut_file_ends_the_process(path):
    code = f"""
import mmap, os
with open({str(path)!r}, "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate({str(path)!r}, 0)
memory[9000]
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode < 0
