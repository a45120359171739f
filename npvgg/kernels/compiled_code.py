"""Machine code kept on disk between runs, so that a kernel is compiled once on a machine.

    <folder>/<module>.<function>.<digest of what it was compiled from and for>.bin          SHA-256 of the rest, the rest

What is read back is executed, so it is read from a folder that nobody else could write to, and only with a matching SHA-256:
Numba's own cache checks neither, and of fifty single flipped bits eight ended the process and one changed an answer.  The name
says what the code was compiled from (every file of the tier and of what it shares one floor below, where Numba looks at a
single file) and for (signature, processor, versions), so there is no index that two processes could spoil for each other.
Whatever goes wrong with a file or the folder, the kernel is compiled and the answer is the same.

The folder is $NUMBA_CACHE_DIR or the cache folder / "kernels".
"""
import hashlib
import os
import stat
import sys
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import numba
from numba.core import caching, compiler

from npvgg.cache_folder import cache_folder
from npvgg.errors import StorageError

DIGEST_BYTES = hashlib.sha256().digest_size


class CompiledCode:
    """What a dispatcher asks before it compiles, and tells after; one for each function."""

    @staticmethod
    def announce():
        """Called when a kernel has to be compiled; the command line puts a message here."""

    def __init__(self, function):
        self.function = function
        self.stamp = digest(Path(function.__code__.co_filename).parent)

    @property
    def cache_path(self):
        """For Numba's statistics."""
        return str(folder())

    def load_overload(self, signature, context):
        """The compiled function, or None where there is none that can be used."""
        compiled = None
        context.refresh()
        with suppress(Exception):               # an unpickled thing of another Numba can raise anything
            compiled = compiler.CompileResult._rebuild(context, *caching.pickle.loads(self.read(signature, context.codegen())))
        if compiled is None:
            CompiledCode.announce()
        return compiled

    def save_overload(self, signature, compiled):
        with suppress(OSError, StorageError):   # no space, or no folder: the kernel itself is compiled
            content = caching.dumps(compiled._reduce())
            write(folder(), self.name(signature, compiled.codegen), hashlib.sha256(content).digest() + content)

    def read(self, signature, codegen):
        """The bytes that were saved; OSError where there are none, or others."""
        raw = (trusted(folder()) / self.name(signature, codegen)).read_bytes()
        if hashlib.sha256(raw[DIGEST_BYTES:]).digest() != raw[:DIGEST_BYTES]:
            raise OSError("damaged")
        return raw[DIGEST_BYTES:]

    def name(self, signature, codegen):
        made_for = repr((self.stamp, signature, codegen.magic_tuple(), sys.version, numba.__version__, llvmlite.__version__))
        module = self.function.__module__.removeprefix("npvgg.kernels.")
        return f"{module}.{self.function.__qualname__}.{hashlib.sha256(made_for.encode()).hexdigest()[:32]}.bin"


def folder():
    """Where compiled kernels lie; StorageError where nobody says where home is."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder() / "kernels")


def trusted(path):
    """The folder, if only its owner can write to it and that is us or the administrator; OSError otherwise."""
    if hasattr(os, "getuid"):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
            raise OSError(f"{path} can be written by others")
    return path


def write(path, name, content):
    """A file that is there whole or not at all."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = trusted(path) / f".{name}.{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@cache
def digest(kernels):
    """A digest of the kernels in a folder and of what they share one floor below."""
    sources = sorted(kernels.glob("*.py")) + sorted(kernels.parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
