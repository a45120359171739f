"""A file of any kind that npvgg reads → {source key: array}, told by its first bytes and not by its name.

    PyTorch's zip archive and legacy stream     weights_convert.checkpoint
    safetensors                                 safetensors.py
    NumPy's .npz                                npz.py
    npvgg's own HDF5                            weights_file.py
    Caffe's .caffemodel                         caffe.py, protobuf.py
    Keras' HDF5                                 keras.py, foreign_hdf5.py, hdf5_child.py
    ONNX                                        onnx/
"""
import hashlib
from dataclasses import replace

from npvgg.errors import BadFileError
from npvgg.storage.file_kinds import HDF5, ZIP
from weights_convert import checkpoint, source_file
from weights_convert.checkpoint import containers, zip_archive
from weights_convert.formats import caffe, npz, onnx, safetensors, weights_file


def read(path, *, key=None, checksum=True):
    """Path → checkpoint.Checkpoint.  `key`, `checksum` and the errors are those of `checkpoint.read`.

    UnsupportedError also where an extra package is needed that is not installed.
    """
    with source_file.opened(path) as (file, size):
        if size > checkpoint.LARGEST_FILE:
            raise BadFileError(f"it is {size:,} bytes long; a VGG has at most {checkpoint.LARGEST_FILE:,} (check the file)")
        reader = reader_of(file, size)
        file.seek(0)
        if reader is None:
            return checkpoint.read_stream(file, size, key=key, checksum=checksum)
        found = reader(file, size)
        file.seek(0)
        return replace(found, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def reader_of(file, size):
    """An opened file → the function (file, size) → Checkpoint for it, or None for PyTorch's kinds and all others."""
    head = file.read(containers.HEAD)
    if head.startswith(HDF5):
        return weights_file.read
    if head.startswith(ZIP):
        return npz.read if is_npz(file, size) else None
    if caffe.is_one(head):
        return caffe.read
    if onnx.is_one(head):
        return onnx.read
    return safetensors.read if safetensors.is_one(head, size) else None


def is_npz(file, size):
    try:
        records, _ = zip_archive.directory(file, size)
    except BadFileError:
        return False
    return bool(records) and all(record.name.endswith(npz.SUFFIX) for record in records)
