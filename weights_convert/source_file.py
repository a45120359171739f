"""The file that somebody gives us, opened so that neither a pipe nor a running download can surprise the reader."""
import os
import stat
from contextlib import contextmanager

from npvgg.errors import BadFileError, NpvggError, StorageError


@contextmanager
def opened(path):
    """Path → (binary file, its size in bytes).

    Errors of npvgg raised in the block get the path in front.  Raises BadFileError where it is no regular file or has
    changed by the end of the block, StorageError where it cannot be opened or read.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise BadFileError("it is a pipe, a socket or a device (copy its content to a regular file)")
            yield file, before.st_size
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise BadFileError("it changed while it was read (is a download still running?)")
    except NpvggError as error:
        raise type(error)(f"{path}: {error}") from None
    except IsADirectoryError:
        raise BadFileError(f"{path}: it is a folder, not a checkpoint (name the .pth or .pt file in it)") from None
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: it cannot be read: {reason} (check its name and permissions)") from None
    except MemoryError:
        raise StorageError(f"{path}: there is not enough memory for its tensors (about the file's size)") from None


def without_waiting(path, flags):
    """Open a named pipe without waiting for somebody to write to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
