"""Machine code kept on disk between runs, so that a kernel is compiled once.

Numba's cache, with its two gaps closed:

    it notices only changes in the file of the function itself, and would go on running old code after a change in
    another file that the function calls into; here the stamp is the digest of every file of the tier
    a damaged file or a full disk raises out of the call that needed the kernel; here the kernel is compiled anew
"""
import hashlib
from functools import cache
from pathlib import Path

from numba.core.caching import FunctionCache


class CompiledCode(FunctionCache):
    """The cache of one function: what a dispatcher looks in before it compiles, and writes to after."""

    @staticmethod
    def announce():
        """Called when a kernel has to be compiled; the command line puts a message here."""

    def __init__(self, function):
        super().__init__(function)
        stamp = digest(Path(function.__code__.co_filename).parent)
        self._cache_file._source_stamp = self._cache_file._source_stamp, stamp

    def load_overload(self, signature, context):
        """The compiled function, or None where there is none that can be used."""
        try:
            compiled = super().load_overload(signature, context)
        except Exception:                       # a damaged pickle can raise anything
            self.forget()
            compiled = None
        if compiled is None:
            CompiledCode.announce()
        return compiled

    def save_overload(self, signature, compiled):
        try:
            super().save_overload(signature, compiled)
        except OSError:                         # no space, or the folder is gone: the kernel itself is compiled
            pass

    def forget(self):
        try:
            self.flush()
        except OSError:
            pass


@cache
def digest(folder):
    """A digest of the kernels in `folder` and of what they share one floor below."""
    sources = sorted(folder.glob("*.py")) + sorted(folder.parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
