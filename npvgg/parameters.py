"""What a network has learned, checked once and unchangeable from then on.

    checked(net, {"conv1_1/weight": array, …})       → the same as a read-only mapping of read-only arrays
    sealed(array)                                     an array that was just made → the same, read-only for good
"""
from collections.abc import Iterator, Mapping
from weakref import WeakValueDictionary

import numpy as np

from npvgg.errors import ShapeError, UsageError
from npvgg.storage.identity import mapped_file

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
ARRAYS = (np.ndarray, np.memmap)          # and no other kinds of array, for a mask, say, would be lost
SEALED = WeakValueDictionary()            # {id: array}: those that own memory of `sealed`


def checked(net, parameters: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """{path: array} → the same in the order of `net.parameters`, read-only.

    An array that can still be written is copied; one that is sealed, or mapped for reading, is taken as it is.  ShapeError as
    `check` raises it.
    """
    check(net, parameters)
    return Parameters({path: unchanging(parameters[path]) for path in net.parameters})


def check(net, parameters: Mapping[str, np.ndarray]) -> None:
    """ShapeError unless there is exactly one array for each path of the Architecture, of its shape, all float32 or all float64,
    in the machine's byte order, contiguous in C order and aligned.
    """
    if not isinstance(parameters, Mapping):
        raise UsageError(f"the parameters are a {type(parameters).__name__}; give {{path: array}} with the paths of "
                         "architecture.parameters")
    faults = [fault for path, shape in net.parameters.items() if (fault := fault_of(path, shape, parameters))]
    faults += [(f"{path if isinstance(path, str) else repr(path)} is none of them", "leave it out")
               for path in parameters if path not in net.parameters]
    faults = faults or mixed(parameters)
    if faults:
        (what, remedy), more = faults[0], f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ShapeError(f"the parameters are not those of {net.name}: {what}{more}; {remedy}")


class Parameters(Mapping):
    """{path: array}, of which every look-up gives a new view: who sets its shape or dtype changes no other's."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __getitem__(self, path: str) -> np.ndarray:
        return self._arrays[path].view()

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._arrays)

    def __or__(self, others: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**self, **others}

    def __repr__(self) -> str:
        return repr({path: f"{array.dtype} {array.shape}" for path, array in self._arrays.items()})


def fault_of(path, shape, parameters):
    """What is wrong with one parameter, and what to do about it; None where nothing is."""
    if path not in parameters:
        return f"{path} is missing", f"give an array of shape {shape}"
    array = parameters[path]
    if type(array) not in ARRAYS:
        return f"{path} is a {type(array).__name__} and no NumPy array", "convert it with np.array(…, np.float32)"
    if array.dtype not in DTYPES:
        swapped = array.dtype.newbyteorder("=") in DTYPES
        what = f"in the byte order of another machine ({array.dtype.str})" if swapped else f"{array.dtype}"
        return f"{path} is {what}", "convert it with .astype(np.float32)"
    if array.shape != shape:
        return f"{path} has shape {array.shape} instead of {shape}", "give one of that shape"
    if not array.flags.c_contiguous:
        return f"{path} is not contiguous in C order", "copy it with np.ascontiguousarray"
    if not array.flags.aligned:
        return f"{path} begins at an address that is no multiple of {array.itemsize}", "copy it with .copy()"
    return None


def mixed(parameters):
    """The faults of those that have another dtype than the first."""
    first, *others = parameters.items()
    return [(f"{path} is {array.dtype} and {first[0]} {first[1].dtype}", "convert them to one dtype, with .astype(np.float32)")
            for path, array in others if array.dtype != first[1].dtype]


def unchanging(array):
    """The array itself where its numbers cannot be written, otherwise a sealed copy."""
    return np.asarray(array) if is_sealed(array) else sealed(np.array(array))


def is_sealed(array):
    """Whether nobody can write these numbers: memory of `sealed`, a weights file, whose every read is preceded by a check, or
    `bytes`.

    Read-only flags alone say little: NumPy lets who owns memory make it writeable again, and other buffers and files may be
    written by who gave the view of them.
    """
    base = array
    while isinstance(base, (np.ndarray, memoryview)):
        if base.flags.writeable if isinstance(base, np.ndarray) else not base.readonly:
            return False
        if SEALED.get(id(base)) is base:
            return True
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return type(base) is bytes or mapped_file(array) is not None


def sealed(array: np.ndarray) -> np.ndarray:
    """An array that was just made, so that nobody else holds it → a read-only view of it; it is read-only too from now on."""
    base = array
    while isinstance(base, np.ndarray):
        base.flags.writeable = False
        owner, base = base, base.base
    SEALED[id(owner)] = owner
    return np.asarray(memoryview(array).toreadonly())       # a base that, unlike an array, has no flag to set back
