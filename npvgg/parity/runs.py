"""A run from anywhere → its arrays in one form: a file, {layer: array}, or arrays in the order of the run.

    trace.h5            npvgg's own trace, which says what made it
    FILE.h5, FILE.npz   arrays under names, as h5py, np.savez or anything else writes them
    {name: array}       what `VGG.trace` gives, or forward hooks have collected
    [array, …]          without names

Arrays hold real numbers and have a first axis, which counts the pictures.  They may be anything that NumPy takes as an array,
tensors of PyTorch in the memory of the processor for example.
"""
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from npvgg import converter, text
from npvgg.architecture import Architecture
from npvgg.errors import BadFileError, ForeignFileError, NpvggError, ShapeError, UsageError
from npvgg.parity import traces
from npvgg.storage import file_kinds, hdf5_reading


@dataclass(frozen=True, eq=False)
class Run:
    """One run: {name: array}, and what is known of it."""

    arrays: dict
    about: str = ""                       # what its file says of itself
    architecture: Architecture | None = None
    has_names: bool = True                # False: the names are the places in a list, counted from 1
    has_order: bool = True                # False: the file sorts its names
    dtype: str = ""                       # of the arithmetic, where it is known: "bfloat16" though the arrays are float32
    preset_json: str = ""                 # how the input was prepared, where it is known


def opened(source: object, which: str) -> Run:
    """A path, a mapping or a list → Run; `which` ("A" or "B") names it in an error.

    Raises UsageError and ShapeError for what is none of these, and the errors of `traces.read` and `converter.read_npz`.
    """
    if isinstance(source, traces.Trace):
        return traced(source)
    if isinstance(source, str | bytes | os.PathLike):
        run = read(source)
    elif isinstance(source, Mapping):
        run = Run(dict(source))
    elif isinstance(source, Iterable) and not hasattr(source, "dtype"):
        run = Run({str(place): array for place, array in enumerate(source, start=1)}, has_names=False)
    else:
        raise UsageError(f"{which} is of type {type(source).__name__}; give a file, a dictionary {{layer: array}}, or a "
                         "list of arrays in the order of the run")
    if not run.arrays:
        raise UsageError(f"{which} holds no array; give one for each layer")
    for name in run.arrays:
        if not isinstance(name, str):
            raise UsageError(f"{which} has an array called {name!r:.80}; give the names of layers, or a list of arrays")
    arrays = {name: numbers(array, f"{which}'s {text.shown(name, 80)}") for name, array in run.arrays.items()}
    return replace(run, arrays=arrays)


def read(path) -> Run:
    """A file of one of the three kinds, told by its first bytes."""
    with hdf5_reading.open_file(path) as file:
        try:
            start = file.read(file_kinds.ENOUGH) or b""
        except OSError:
            start = b""                   # the trace's reader says what is wrong
    about = os.fsdecode(path)
    if start.startswith(file_kinds.ZIP):
        try:
            return Run(converter.read_npz(about), about)
        except BadFileError as error:
            raise BadFileError(f"{error}; of zip archives npvgg compares those that np.savez wrote") from None
    try:
        return traced(traces.read(path))
    except ForeignFileError:
        return Run(converter.read_hdf5(about), about, has_order=False)


def traced(trace: traces.Trace) -> Run:
    """An opened trace file → Run."""
    about = "; ".join(str(fact) for fact in (trace.path, trace.model_name, trace.made_by) if fact)
    try:
        architecture = Architecture.from_json(trace.architecture_json) if trace.architecture_json else None
    except BadFileError as error:
        raise BadFileError(f"{trace.path}: {error}") from None
    return Run(dict(trace), about, architecture, dtype=trace.dtype, preset_json=trace.preset_json)


def numbers(array: object, what: str) -> np.ndarray:
    """Anything that NumPy takes as an array of real numbers → the array; ShapeError that begins with `what` for others."""
    try:
        values = np.asarray(array.detach() if hasattr(array, "detach") else array)
    except NpvggError:
        raise
    except Exception as error:            # whatever another library's conversion raises
        raise ShapeError(f"{what} is a {type(array).__name__} that NumPy cannot read ({text.said(error)}); "
                         "give a NumPy array, as tensor.float().cpu().numpy() makes it") from None
    if values.dtype.kind not in "fiu" or values.dtype.itemsize > 8 or values.ndim == 0 or values.size == 0:
        raise ShapeError(f"{what} is {values.dtype} of shape {values.shape}; give real numbers, with a first axis that counts "
                         "the pictures")
    return values
