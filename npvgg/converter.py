"""The one place where npvgg reaches weights_convert: what others publish, and files of other programs.

Everything else in npvgg goes through here, so that the converter can be taken away, or replaced, at one point.
"""
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weights_convert import catalog

if TYPE_CHECKING:
    import numpy as np

    from weights_convert.convert import Report, Understood

__all__ = ["catalog", "convert", "read_hdf5", "read_npz", "read_tensor_proto", "understood"]


def convert(file: Path, out: Path, **options: Any) -> "Report":
    """A published file → an npvgg weights file; options, result and errors are those of `weights_convert.convert.convert`."""
    from weights_convert.convert import convert  # not at the top: it brings Numba

    return convert(file, out, **options)


def understood(tensors: "dict[str, np.ndarray]", **options: Any) -> "Understood":
    """{key: array} → the network that they are, as `weights_convert.convert.understood` has it; its parameters are copies."""
    import numpy as np

    from weights_convert.convert import understood

    return understood({key: np.array(array) for key, array in tensors.items()}, **options)


def read_hdf5(path: Path) -> "dict[str, np.ndarray]":
    """Another program's HDF5 → {path in the file: array}, sorted.  BadFileError (also where it holds text), StorageError."""
    from weights_convert import opened_file
    from weights_convert.containers import foreign_hdf5

    with opened_file.opened(path) as (file, _):
        return foreign_hdf5.read(file, "which are no layers of a run; leave them out")[0]


def read_npz(path: Path) -> "dict[str, np.ndarray]":
    """NumPy's archive → {name: array}.  BadFileError, UnsupportedError (other elements than numbers), StorageError."""
    from weights_convert import opened_file
    from weights_convert.formats import npz

    with opened_file.opened(path) as (file, size):
        return npz.read(file, size).tensors


def read_tensor_proto(path: Path) -> "np.ndarray":
    """One array of an ONNX test → float32 or float64 array.  BadFileError, UnsupportedError, StorageError."""
    from weights_convert.formats import tensor_proto

    return tensor_proto.read(path)
