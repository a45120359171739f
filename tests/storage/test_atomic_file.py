"""A file that npvgg writes is absent, old or new, and never anything else."""
import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from witnesses.failing_disk import FailingDisk

from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.storage import atomic_file

OLD, NEW = b"the old bytes", b"the new bytes, a few more"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [NEW, "new, in text: ä\n"], ids=["bytes", "text"])
def test_the_bytes_arrive_and_nothing_else_stays(tmp_path, data):
    atomic_file.write(tmp_path / "out", data)
    assert (tmp_path / "out").read_bytes() == (data if isinstance(data, bytes) else data.encode())
    assert names(tmp_path) == ["out"]


def test_the_file_appears_only_when_the_block_is_over(tmp_path):
    with atomic_file.writing(tmp_path / "out") as file:
        file.write(NEW)
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_bytes() == NEW


def test_new_files_have_the_permissions_that_open_gives(tmp_path):
    atomic_file.write(tmp_path / "out", NEW)
    (tmp_path / "plain").write_bytes(NEW)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    out = tmp_path / "out"
    out.write_bytes(OLD)
    with pytest.raises(UsageError, match="out exists already; give another name, or overwrite it with --force"):
        atomic_file.write(out, NEW)
    assert out.read_bytes() == OLD
    atomic_file.write(out, NEW, force=True)
    assert out.read_bytes() == NEW
    assert names(tmp_path) == ["out"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="exists already"), atomic_file.writing(out) as file:
        file.write(NEW)
        out.write_bytes(OLD)
    assert out.read_bytes() == OLD
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError(errno.ENOENT, "no", "other file")],
                         ids=["error", "Ctrl-C", "another file's OSError"])
def test_an_error_in_the_block_passes_and_leaves_the_old_bytes(tmp_path, error):
    out = tmp_path / "out"
    out.write_bytes(OLD)
    with pytest.raises(type(error)) as caught, atomic_file.writing(out, force=True) as file:
        file.write(NEW)
        raise error
    assert caught.value is error
    assert out.read_bytes() == OLD
    assert names(tmp_path) == ["out"]


def test_a_failed_check_keeps_the_name_free(tmp_path):
    def check(temporary):
        assert Path(temporary).read_bytes() == NEW
        raise BadFileError("not the same")

    sentence = "out was not written, because the disk gave back other bytes"
    with pytest.raises(StorageError, match=sentence), atomic_file.writing(tmp_path / "out", check=check) as file:
        file.write(NEW)
    assert names(tmp_path) == []


def test_a_symbolic_link_is_followed_and_stays_one(tmp_path):
    (tmp_path / "target").write_bytes(OLD)
    (tmp_path / "link").symlink_to("target")
    atomic_file.write(tmp_path / "link", NEW, force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == NEW


def test_the_other_name_of_a_hard_link_keeps_the_old_bytes(tmp_path):
    (tmp_path / "one").write_bytes(OLD)
    os.link(tmp_path / "one", tmp_path / "two")
    atomic_file.write(tmp_path / "two", NEW, force=True)
    assert ((tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()) == (OLD, NEW)


def test_a_file_system_without_hard_links_still_gets_its_file(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(atomic_file.os, "link", refuse)
    atomic_file.write(tmp_path / "out", NEW)
    assert (tmp_path / "out").read_bytes() == NEW
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("make, error, sentence", [
    (lambda f: f, UsageError, "is a folder; give the name of a file in it"),
    (lambda f: f"{f}/missing/", UsageError, "is a folder; give the name of a file in it"),
    (lambda f: f / "missing" / "out", StorageError, r"written \(No such file or directory\); make the folder"),
    (lambda f: f / "file" / "out", StorageError, "choose a path that runs through folders only"),
    (lambda f: f / "pipe", UsageError, "is not a regular file; give another name"),
    (lambda f: f / ("long" * 100), StorageError, r"\(File name too long\); choose a shorter name"),
    (lambda f: "zero\0character", UsageError, "is not a path"),
    (lambda f: 3.5, UsageError, "3.5 is not a path"),
    (lambda f: None, UsageError, "None is not a path"),
], ids=["folder", "trailing slash", "no folder", "file as folder", "pipe", "long name", "zero", "number", "None"])
def test_what_cannot_be_written_is_one_sentence(tmp_path, make, error, sentence):
    (tmp_path / "file").write_bytes(OLD)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(error, match=sentence) as caught:
        atomic_file.write(make(tmp_path), NEW, force=True)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "pipe"]
    assert (tmp_path / "file").read_bytes() == OLD


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no names of open files")
def test_a_pipe_without_a_path_of_its_own_is_one_sentence():
    """As -o /dev/stdout and -o >(command) give it."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(UsageError, match=f"^/dev/fd/{writer} is not a regular file; give another name"):
            atomic_file.write(f"/dev/fd/{writer}", NEW, force=True)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match=r"\(Permission denied\); choose a folder you may write to"):
        atomic_file.write(tmp_path / "out", NEW)


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.h5"
    atomic_file.write(name, NEW)
    assert Path(os.fsdecode(name)).read_bytes() == NEW


@pytest.mark.parametrize("force", [False, True], ids=["new", "forced"])
def test_whichever_operation_fails_the_old_bytes_or_all_the_new_ones_are_there(tmp_path, force):
    """SQLite's method: fail the nth call, for all n."""
    pieces, failures = [b"one", b"two", b"three"], 0
    for failing in range(1, 100):
        folder = tmp_path / f"{failing}"
        folder.mkdir()
        out = folder / "out"
        if force:
            out.write_bytes(OLD)
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk = FailingDisk(monkeypatch, failing)
            try:
                with atomic_file.writing(out, force=force) as file:
                    for piece in pieces:
                        file.write(piece)
                raised = False
            except StorageError as error:
                assert "(No space left on device); free some space" in str(error)
                raised, failures = True, failures + 1
        assert names(folder) in ([["out"]] if force or not raised else [[]])
        if out.exists():
            assert out.read_bytes() == (OLD if raised else b"".join(pieces))
        if disk.count < failing:
            break
    assert failures >= 5                      # the opening, three pieces, the file's fsync


def test_a_file_larger_than_the_limit_is_one_sentence(tmp_path):
    """RLIMIT_FSIZE makes a real write fail in the kernel, as a full disk does."""
    code = f"""
import resource, sys
from npvgg.storage import atomic_file
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    atomic_file.write({str(tmp_path / "out")!r}, bytes(100_000), force=True)
except atomic_file.StorageError as error:
    print(error)
"""
    (tmp_path / "out").write_bytes(OLD)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stderr == ""
    assert run.stdout.endswith("(File too large); raise the limit on file sizes or write to another disk\n")
    assert (tmp_path / "out").read_bytes() == OLD
    assert names(tmp_path) == ["out"]


def contend(path, number, force, results):
    try:
        atomic_file.write(path, bytes([number]) * 300_000, force=force)
        results.put(number)
    except UsageError:
        results.put(None)


@pytest.mark.parametrize("force", [False, True], ids=["first wins", "last wins"])
def test_of_writers_at_once_one_wins_whole(tmp_path, force):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    writers = [context.Process(target=contend, args=(tmp_path / "out", number, force, results)) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    outcomes = [results.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join()
    winners = [outcome for outcome in outcomes if outcome]
    written = (tmp_path / "out").read_bytes()
    assert len(winners) == (3 if force else 1)
    assert written == bytes([written[0]]) * 300_000
    assert written[0] in winners
    assert names(tmp_path) == ["out"]


def test_an_output_is_none_of_the_inputs_under_any_name(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"picture")
    os.link(tmp_path / "cat.png", tmp_path / "other.png")
    for inputs in ([tmp_path / "cat.png"], [None, 3, str(tmp_path / "other.png")],
                   [os.fsencode(tmp_path / "cat.png")]):
        with pytest.raises(UsageError, match="is a file that is read; give another name"):
            atomic_file.refuse_inputs(tmp_path / "cat.png", inputs)
    atomic_file.refuse_inputs(tmp_path / "new.png", [tmp_path / "cat.png", "a\0b"])


# ------------------------------------------------------------------------------------------------- records


def test_records_become_the_file_when_all_are_there(tmp_path):
    with atomic_file.growing(tmp_path / "out", header=b"head\n") as write:
        write(b"one\n")
        assert names(tmp_path) != ["out"]
    assert (tmp_path / "out").read_bytes() == b"head\none\n" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, BadFileError, ZeroDivisionError, MemoryError])
def test_records_of_a_run_that_fails_are_kept_and_named(tmp_path, error):
    (tmp_path / "out").write_bytes(OLD)
    with pytest.raises(error) as caught, atomic_file.growing(tmp_path / "out", force=True) as write:
        write(b"one\n")
        raise error
    assert (tmp_path / "out.partial").read_bytes() == b"one\n" and (tmp_path / "out").read_bytes() == OLD
    assert names(tmp_path) == ["out", "out.partial"]
    assert caught.value.__notes__ == [f"what was finished before is kept in {tmp_path / 'out.partial'}"]


def test_a_run_that_fails_replaces_no_records_of_an_earlier_one(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), atomic_file.growing(tmp_path / "out") as write:
            write(b"one\n")
            raise KeyboardInterrupt
    assert names(tmp_path) == ["out.partial", "out.partial2"]


def test_a_header_alone_is_not_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught, atomic_file.growing(tmp_path / "out", header=b"head\n"):
        raise KeyboardInterrupt
    assert names(tmp_path) == [] and not hasattr(caught.value, "__notes__")


def test_a_full_disk_leaves_whole_records(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(StorageError, match="raise the limit") as caught, atomic_file.growing(tmp_path / "out") as write:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            for _ in range(9):
                write(b"one\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "out.partial").read_bytes() == b"one\none\n"
    assert "out.partial" in caught.value.__notes__[0]


def test_records_outlive_a_sync_that_fails(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match="free some space") as caught, atomic_file.growing(tmp_path / "out") as write:
        write(b"one\n")
        FailingDisk(monkeypatch, 1, operations=["fsync"])
    assert (tmp_path / "out.partial").read_bytes() == b"one\n" and names(tmp_path) == ["out.partial"]
    assert "out.partial" in caught.value.__notes__[0]


def test_records_outlive_another_writer_of_the_same_file(tmp_path):
    with pytest.raises(UsageError, match="exists already"), atomic_file.growing(tmp_path / "out") as write:
        write(b"one\n")
        (tmp_path / "out").write_bytes(OLD)
    assert (tmp_path / "out.partial").read_bytes() == b"one\n" and (tmp_path / "out").read_bytes() == OLD
