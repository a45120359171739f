"""A state dict → PyTorch's zip container, as torch.load(weights_only=True) reads it; without a pickler.

    archive/data.pkl     a pickle of protocol 2, written opcode by opcode below
    archive/byteorder    "little"
    archive/data/KEY     the numbers of tensor KEY, C order, at a multiple of 64 bytes
    archive/version      "3"

Each tensor has a storage of its own.  Source: torch.serialization, `_save`; torch._utils, `_rebuild_tensor_v2`.
"""
import struct
import zipfile

import numpy as np

from npvgg.errors import UnsupportedError
from npvgg.storage import atomic_file

NAME = "archive/"
ALIGNMENT = 64
LOCAL_HEADER = 30                         # bytes of a ZIP record's header before its name
PADDING = b"FB"                           # the kind of extra field that PyTorch fills with padding

CLASSES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage",
           "int32": "IntStorage", "uint8": "ByteStorage", "bool": "BoolStorage"}

MARK, TUPLE, EMPTY_TUPLE, LIST, APPENDS, REDUCE, SETITEMS, PERSISTENT_ID, FALSE, STOP = (
    b"(", b"t", b")", b"]", b"e", b"R", b"u", b"Q", b"\x89", b".")
ORDERED_DICT = b"ccollections\nOrderedDict\n" + EMPTY_TUPLE + REDUCE
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def write(path, state, *, force=False):
    """A dictionary of arrays, texts, whole numbers, lists and dictionaries of these → the file `path`.

    Errors: those of `atomic_file.writing`; UnsupportedError for an element type that PyTorch lacks.
    """
    storages = []
    program = b"\x80\x02" + opcodes(state, storages) + STOP
    with atomic_file.writing(path, force=force) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        add(archive, file, "data.pkl", program)
        add(archive, file, "byteorder", b"little")
        for number, array in enumerate(storages):
            add(archive, file, f"data/{number}", array)
        add(archive, file, "version", b"3\n")


def add(archive, file, name, content):
    """One record, whose bytes begin at a multiple of ALIGNMENT."""
    record = zipfile.ZipInfo(NAME + name)
    start = file.tell() + LOCAL_HEADER + len(record.filename) + 4
    padding = -start % ALIGNMENT
    record.extra = PADDING + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(record, memoryview(content).cast("B") if len(content) else b"")


def opcodes(value, storages):
    """The opcodes that push `value`; its arrays are appended to `storages`."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "backslashreplace")
        return b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, dict):
        items = b"".join(opcodes(key, storages) + opcodes(item, storages) for key, item in value.items())
        return ORDERED_DICT + MARK + items + SETITEMS
    if isinstance(value, (list, tuple)):
        items = b"".join(opcodes(item, storages) for item in value)
        return LIST + MARK + items + APPENDS if isinstance(value, list) else MARK + items + TUPLE
    return tensor(value, storages) if isinstance(value, np.ndarray) else integer(value)


def tensor(array, storages):
    """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)."""
    if array.dtype.name not in CLASSES:
        raise UnsupportedError(f"a tensor of {array.dtype.name} cannot be written for PyTorch; convert it to float32")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    strides = tuple(stride // array.itemsize for stride in array.strides)
    key = str(len(storages))
    storages.append(array.reshape(-1))
    identity = (MARK + opcodes("storage", []) + b"ctorch\n" + CLASSES[array.dtype.name].encode() + b"\n"
                + opcodes(key, []) + opcodes("cpu", []) + integer(array.size) + TUPLE + PERSISTENT_ID)
    shape, steps = opcodes(array.shape, []), opcodes(strides, [])
    return REBUILD + MARK + identity + integer(0) + shape + steps + FALSE + ORDERED_DICT + TUPLE + REDUCE


def integer(n):
    """BININT up to 31 bits, LONG1 beyond."""
    if -2**31 <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    raw = int(n).to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw
