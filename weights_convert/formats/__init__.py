"""A file of any kind that npvgg reads → its tensors; its first bytes decide which kind, not its name.

    PyTorch's zip archive and legacy stream     pytorch/
    safetensors                                 safetensors.py
    NumPy's .npz                                npz.py
    npvgg's own HDF5                            weights_file.py
    Caffe's .caffemodel                         caffe/
    Keras' HDF5, and its .keras archive         keras/
    ONNX                                        onnx/
    an index and the shards it names            shards.py
    a folder of the Hugging Face hub            folder.py
"""
import hashlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from npvgg.errors import BadFileError
from npvgg.storage import file_kinds
from weights_convert import opened_file, signatures
from weights_convert.containers import zip_archive
from weights_convert.formats import caffe, description, folder, keras, npz, onnx, pytorch, safetensors, shards, weights_file
from weights_convert.formats.contents import FileContents

# A VGG-19 with two moments of an optimiser is 1.7 GB.  A sparse file can claim any size and takes time to hash.
LARGEST_FILE = 16 << 30


def read(path: Path, *, key: str | None = None, checksum: bool = True) -> FileContents:
    """Path → FileContents with the SHA-256 of the file; `key` and `checksum` as in `pytorch.read`.

    Of a folder the file with weights is read (`folder.weights_in`).

    Raises the errors of `pytorch.read`; StorageError where the file cannot be opened or read; UnsupportedError also where an
    extra package is needed that is not installed.  Each names the path.
    """
    path = folder.weights_in(Path(path)) if os.path.isdir(path) else Path(path)
    torch = partial(pytorch.read, key=key, checksum=checksum)
    with opened_file.opened(path) as (file, size):
        if size > LARGEST_FILE:
            raise BadFileError(f"it is {size:,} bytes long; a VGG has at most {LARGEST_FILE:,} (check the file)")
        shards.check_whole(path)
        contents = description.without_array(reader_of(file, size, torch)(file, size))
        file.seek(0)
        stated, metadata, remarks = folder.described(path)
        return replace(contents, files=(path, *contents.files), sha256=hashlib.file_digest(file, "sha256").hexdigest(),
                       stated=stated | contents.stated, metadata=metadata | contents.metadata,
                       remarks=(*contents.remarks, *remarks), assumptions=(*contents.assumptions, *remarks))


def reader_of(file, size, torch):
    """An opened file → the function (file, size) → FileContents for it: `torch` for PyTorch's kinds and all others."""
    file.seek(0)
    head = file.read(signatures.HEAD)
    file.seek(0)
    if head.startswith(b"{"):
        return partial(shards.read, one=lambda shard, length: reader_of(shard, length, torch)(shard, length))
    if head.startswith(file_kinds.HDF5):
        return weights_file.read
    if head.startswith(file_kinds.ZIP):
        return reader_of_archive(file, size) or torch
    if caffe.is_one(head):
        return caffe.read
    if onnx.is_one(head):
        return onnx.read
    return safetensors.read if safetensors.is_one(head, size) else torch


def reader_of_archive(file, size):
    """A ZIP archive → the function for it, or None for PyTorch's and all others."""
    try:
        records, _ = zip_archive.directory(file, size)
    except BadFileError:
        return None
    if keras.is_archive(records):
        return keras.read_archive
    return npz.read if records and all(record.name.endswith(npz.SUFFIX) for record in records) else None
