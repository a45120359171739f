"""Machine code kept on disk between runs, so that a kernel is compiled once on a machine.

    <folder>/<name>          SHA-256 of the rest, the rest

What is read back is executed, so it is read from a folder that only its owner can write to, and only with a matching SHA-256:
Numba's own cache checks neither, and of fifty single flipped bits eight ended the process and one changed an answer.  The name
holds a digest of all that the code was compiled from and for, so there is no index that two processes would write at the same
time.  Whatever goes wrong with a file or the folder, the kernel is compiled and the answer is the same.

The folder is $NUMBA_CACHE_DIR or the cache folder / "kernels".
"""
import hashlib
import os
import stat
import uuid
from functools import cache
from pathlib import Path

from npvgg.storage.cache_folder import cache_folder

DIGEST_BYTES = hashlib.sha256().digest_size


class Announcement:
    """What happens when something has to be compiled: nothing, unless the command line puts a message here."""

    @staticmethod
    def make():
        """Called before a function is compiled."""


def folder():
    """The folder of compiled kernels; StorageError where the home folder is not known."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder() / "kernels")


def read(name):
    """The bytes that were written under that name; OSError where there is none, its digest differs, or others can write it."""
    raw = (trusted(folder()) / name).read_bytes()
    if hashlib.sha256(raw[DIGEST_BYTES:]).digest() != raw[:DIGEST_BYTES]:
        raise OSError(f"{name} is damaged")
    return raw[DIGEST_BYTES:]


def write(name, content):
    """A file that is there whole or not at all; OSError where there is no room or no right."""
    path = folder()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = trusted(path) / f".{name}.{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def trusted(path):
    """The folder, if only its owner can write to it and that is us or the administrator; OSError otherwise."""
    if hasattr(os, "getuid"):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
            raise OSError(f"{path} can be written by others")
    return path


@cache
def sources(kernels):
    """A digest of the kernels in a folder, of the modules one floor below, and of what compiles them."""
    files = sorted([*kernels.rglob("*.py"), *kernels.parent.glob("*.py"), *Path(__file__).parent.glob("*.py")])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def name(title, *made_for):
    """A file's name: what it is, and a digest of what it was compiled from and for."""
    return f"{title}.{hashlib.sha256(repr(made_for).encode()).hexdigest()[:32]}.bin"
