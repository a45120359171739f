"""A file to read, opened so that a pipe is refused and a file that is still being written is noticed."""
import os
import stat
from contextlib import contextmanager

from npvgg.errors import BadFileError, NpvggError, StorageError
from npvgg.storage.opening import without_waiting

LINK = "it is a link, or has another name elsewhere (copy the file itself there)"


@contextmanager
def opened(path, follow=True):
    """Path → (binary file, its size in bytes).  Without `follow` it has to be a file under its only name, not a link.

    Errors of npvgg raised in the block get the path in front, unless it stands there.  Raises BadFileError where it is no
    regular file or has changed by the end of the block, StorageError where it cannot be opened or read.
    """
    try:
        if not follow and os.path.islink(path):
            raise BadFileError(LINK)
        with open(path, "rb", opener=without_waiting if follow else without_following) as file:
            before = os.fstat(file.fileno())
            if not follow and before.st_nlink > 1:
                raise BadFileError(LINK)
            if not stat.S_ISREG(before.st_mode):
                raise BadFileError("it is a pipe, a socket or a device (copy its content to a regular file)")
            yield file, before.st_size
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise BadFileError("it changed while it was read (is a download still running?)")
    except NpvggError as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {error}") from None
    except IsADirectoryError:
        raise BadFileError(f"{path}: it is a folder, not a checkpoint (name the .pth or .pt file in it)") from None
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: it cannot be read: {reason} (check its name and permissions)") from None
    except MemoryError:
        raise StorageError(f"{path}: there is not enough memory for its tensors (about the file's size)") from None


def without_following(path, flags):
    """An `opener` for open(): no waiting for a pipe, and no link followed at the end of the path."""
    return without_waiting(path, flags | getattr(os, "O_NOFOLLOW", 0))
