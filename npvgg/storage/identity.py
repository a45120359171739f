"""Is a mapped file still the file that was opened?

A mapped array is read from the disk long after its file was opened.  Whoever writes into the file meanwhile changes the
numbers, and whoever cuts it short makes every read behind the new end a SIGBUS, which no program survives.  So a mapping keeps
what the system said of its file when it was opened, and asks again before it is read.
"""
import mmap
import os
import weakref
from dataclasses import dataclass

import numpy as np

from npvgg.errors import BadFileError


@dataclass(frozen=True)
class FileIdentity:
    """Which file, in which state.  Times are in ns since 1970; `digest` is the SHA-256 of its header, see hdf5_format.

    Two writes within one tick of the file system's clock (4 ms on ext4, 2 s on FAT) that keep the size look the same.
    """

    path: str                     # absolute
    size: int                     # bytes
    modified: int                 # when its bytes were last written
    changed: int                  # when its bytes, name, owner or permissions were; no program can set this one back
    inode: int
    device: int
    digest: str

    @classmethod
    def of(cls, path, status: os.stat_result, digest: str) -> "FileIdentity":
        """The identity of the file at `path`, of which `os.fstat` says `status`."""
        return cls(os.path.abspath(os.fsdecode(path)), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino,
                   status.st_dev, digest)

    def is_that_of(self, status: os.stat_result) -> bool:
        """Whether `status` is of this very file, and nothing was done to it since."""
        return self == self.of(self.path, status, self.digest)


class MappedFile(mmap.mmap):
    """A whole file, mapped for reading, that can tell whether it is still what it was: MappedFile(descriptor, identity).

    Arrays that lie in it have it as their last base.  OSError or ValueError where the file cannot be mapped.
    """

    def __new__(cls, descriptor: int, identity: FileIdentity):
        self = super().__new__(cls, descriptor, 0, access=mmap.ACCESS_READ)
        self.identity = identity
        self.descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self.descriptor)
        return self

    def check(self) -> None:
        """BadFileError where the file was written to, cut short or replaced since it was opened.

        A file that was deleted or moved lives on in its mapping; of that one, renaming has changed the time `changed`.
        """
        try:
            is_same = self.identity.is_that_of(os.stat(self.identity.path))
        except OSError:
            is_same = self.is_unwritten()
        if not is_same:
            raise BadFileError(self.changed())

    def check_bytes(self) -> None:
        """BadFileError where the file was written to or cut short since it was opened, wherever its name leads by now."""
        if not self.is_unwritten():
            raise BadFileError(self.changed())

    def is_unwritten(self) -> bool:
        """Whether size and time of the last write are as they were."""
        status = os.fstat(self.descriptor)
        return (status.st_size, status.st_mtime_ns) == (self.identity.size, self.identity.modified)

    def changed(self) -> str:
        """The sentence for a file that is not what it was."""
        return f"{self.identity.path} was changed since it was opened; load it again"


def mapped_file(array: np.ndarray) -> MappedFile | None:
    """The file in which an array lies; None where it lies in memory."""
    base = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, MappedFile) else None
