"""Standard output takes UTF-8 in every locale and says what it cannot write; standard error may fail."""
import contextlib
import errno
import io
import os
import subprocess
import sys

import pytest

from npvgg import standard_streams
from npvgg.errors import StorageError


class Kept(io.BytesIO):
    """Its content can be read when the text stream over it is gone."""

    def close(self):
        pass


class Failing(Kept):
    """Takes so many bytes and then fails."""

    def __init__(self, room, number=errno.ENOSPC):
        super().__init__()
        self.room, self.number = room, number

    def write(self, data):
        if self.room <= 0:
            raise OSError(self.number, os.strerror(self.number))
        self.room -= len(data)
        return super().write(data)


def text_over(binary, encoding="ascii"):
    return io.TextIOWrapper(binary, encoding, newline="\r\n")


@pytest.fixture
def streams():
    """redirected(out, err): sys.stdout and sys.stderr over these binary files, opened by `standard_streams`."""
    @contextlib.contextmanager
    def redirected(out, err):
        with (contextlib.redirect_stdout(out and text_over(out)), contextlib.redirect_stderr(err and text_over(err)),
              standard_streams.opened()):
            yield
    return redirected


def test_answers_are_utf8_with_the_same_ends_of_lines_everywhere(streams):
    out, err = Kept(), Kept()
    with streams(out, err):
        print("64×224 日本 caf\udce9")
        print("64×224", file=sys.stderr)
    assert out.getvalue() == "64×224 日本 caf\\udce9\n".encode()
    assert err.getvalue().strip() == b"64\\xd7224"


def test_the_streams_are_put_back(streams):
    before = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError), streams(Kept(), Kept()):
        print(1 / 0)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "free some space"), (errno.EBADF, "a file, a pipe or a terminal")])
def test_what_cannot_be_written_is_a_storage_error_once(streams, number, words):
    out = Failing(10, number)
    with streams(out, Kept()):
        print("0123456789", flush=True)
        with pytest.raises(StorageError, match=f"standard output cannot be written .*{words}") as caught:
            print("more", flush=True)
        print("and more", flush=True)
    assert caught.value.exit_code == 7 and out.getvalue().startswith(b"0123456789")


def test_a_closed_pipe_is_not_a_full_disk(streams):
    with streams(Failing(0, errno.EPIPE), Kept()), pytest.raises(BrokenPipeError):
        print("answer", flush=True)


def test_a_message_that_cannot_be_written_loses_no_answer(streams):
    out = Kept()
    with streams(out, Failing(0)):
        print("message", file=sys.stderr)
        print("answer")
    assert out.getvalue() == b"answer\n"


def test_streams_without_bytes_stay():
    with contextlib.redirect_stdout(io.StringIO()) as out, standard_streams.opened():
        print("×")
    assert out.getvalue() == "×\n"


@pytest.mark.skipif(os.name == "nt", reason="no shell that closes descriptors")
@pytest.mark.parametrize("closing, status, out, err", [
    (">&-", 7, "", "(Bad file descriptor); let it lead to a file, a pipe or a terminal\n"),
    (">/dev/full", 7, "", "(No space left on device); free some space or write to another disk\n"),
    ("2>&-", 0, "npvgg", ""), ("2>/dev/full", 0, "npvgg", ""),
])
def test_descriptors_that_are_closed_or_full(closing, status, out, err):
    run = subprocess.run(f'"{sys.executable}" -m npvgg --version {closing}', shell=True, capture_output=True, text=True)
    assert (run.returncode, run.stdout[:5]) == (status, out)
    assert run.stderr == (err and f"npvgg: standard output cannot be written {err}")
