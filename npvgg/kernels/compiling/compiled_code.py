"""Numba's compiled functions, kept in files of our own (code_files.py) instead of its cache."""
import sys
from contextlib import suppress
from pathlib import Path

import llvmlite
import numba
from numba.core import caching, compiler

from npvgg.kernels.compiling import code_files


class CompiledCode:
    """The cache that a dispatcher reads before it compiles and writes afterwards; one for each function."""

    def __init__(self, function):
        self.function = function
        self.sources = code_files.sources(Path(function.__code__.co_filename).parent)

    @property
    def cache_path(self):
        """For Numba's statistics."""
        return str(code_files.folder())

    def load_overload(self, signature, context):
        """The compiled function, or None where there is none that can be used."""
        compiled = None
        context.refresh()
        with suppress(Exception):               # what another version of Numba wrote can raise anything
            content = code_files.read(self.name(signature, context.codegen()))
            compiled = compiler.CompileResult._rebuild(context, *caching.pickle.loads(content))
        if compiled is None:
            code_files.announce()
        return compiled

    def save_overload(self, signature, compiled):
        """Keep a compiled function for the next process."""
        code_files.keep(self.name(signature, compiled.codegen), caching.dumps(compiled._reduce()))

    def name(self, signature, codegen):
        """The file of this function for these types and this processor."""
        title = f"{self.function.__module__.removeprefix('npvgg.kernels.')}.{self.function.__qualname__}"
        return code_files.name(title, self.sources, signature, codegen.magic_tuple(), sys.version, numba.__version__,
                               llvmlite.__version__)
