"""Standard output and standard error of a command, whatever the locale, and wherever they lead.

    sys.stdout   UTF-8, lines end with "\\n"; a byte of a file's name that is no text is written as \\udcXX; what cannot be
                 written, because the disk is full or the descriptor closed, is a StorageError
    sys.stderr   as the locale says; a message that cannot be written is dropped, for the answers matter more
"""
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from npvgg.errors import StorageError
from npvgg.storage.atomic_file import CURES


@contextmanager
def opened() -> Iterator[None]:
    """Within the block sys.stdout and sys.stderr are as above; streams without bytes below them, a notebook's say, stay."""
    before = sys.stdout, sys.stderr
    # A closed descriptor is opened on the null device, or else the next file would get its number, and with it what is printed.
    # Written to, the first one fails as the closed one would, and the second takes everything.
    output = bytes_of(sys.stdout) if sys.stdout is not None else null(1, os.O_RDONLY)
    messages = bytes_of(sys.stderr) if sys.stderr is not None else null(2, os.O_WRONLY)
    if output is not None:
        sys.stdout = wrapped(Bytes(output, must_arrive=True), "utf-8")
    if messages is not None:
        sys.stderr = wrapped(Bytes(messages, must_arrive=False), getattr(sys.stderr, "encoding", None) or "utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = before


def bytes_of(stream):
    """A text stream → the binary one below it, without a buffer where there is one without; None where there is none."""
    binary = getattr(stream, "buffer", None)
    if binary is not None:
        stream.flush()
    return getattr(binary, "raw", binary)


def null(descriptor, flags):
    """The null device under this number, as a binary file."""
    opened_as = os.open(os.devnull, flags)
    if opened_as != descriptor:
        os.dup2(opened_as, descriptor)
        os.close(opened_as)
    return io.FileIO(descriptor, "wb", closefd=False)


def wrapped(binary, encoding):
    """A text stream over `binary`."""
    newline = "\n" if binary.must_arrive else None
    return io.TextIOWrapper(io.BufferedWriter(binary), encoding, "backslashreplace", newline,
                            line_buffering=binary.isatty() or not binary.must_arrive)


class Bytes(io.RawIOBase):
    """Writes to `file`; what does not arrive is an error where it must, and after the first failure everything is dropped.

    So nothing that is still in a buffer comes later, when the interpreter ends.
    """

    def __init__(self, file, *, must_arrive: bool):
        super().__init__()
        self.file, self.must_arrive, self.has_failed = file, must_arrive, False

    def write(self, data) -> int | None:
        """Some of the bytes → how many.  BrokenPipeError where the reader has gone, StorageError otherwise."""
        if self.has_failed:
            return len(data)
        try:
            written = self.file.write(data)
            self.file.flush()
            return written
        except OSError as error:
            self.has_failed = True
            if not self.must_arrive:
                return len(data)
            if isinstance(error, BrokenPipeError):
                raise
            cure = CURES.get(error.errno, "let it lead to a file, a pipe or a terminal")
            raise StorageError(f"standard output cannot be written ({error.strerror or error}); {cure}") from None

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The descriptor of the file; OSError where it has none."""
        return self.file.fileno()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self.file.closed and self.file.isatty()
