"""NumPy's archive of arrays: a ZIP file in which each record is one .npy.

    KEY.npy   "\\x93NUMPY", version, length of the header, header {descr, fortran_order, shape}, the numbers

Keys may hold slashes: np.savez(path, **{"conv1_1/weight": …}).  Arrays of Python objects, which would be pickles, are
refused.  Source: numpy.lib.format; NEP 1.
"""
import math
import re
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

from npvgg.errors import BadFileError, UnsupportedError
from npvgg.storage import atomic_file
from weights_convert.containers import zip_archive
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import damaged, hostile, quoted

SUFFIX = ".npy"
MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000
# What NumPy writes.  Its own reader evaluates the header as a Python literal, which takes more than a header may.
HEADER = re.compile(rb"\{'descr': '([<>|][a-zA-Z]\d{1,3}|\|O)', 'fortran_order': (True|False), "
                    rb"'shape': \((|\d{1,19},|\d{1,19}(?:, \d{1,19})+)\), \} *\n")
MOST_ARRAYS = 2000
MOST_INFLATED = 8                         # times its own size that a file may unpack to; weights hardly shrink
ROOM = 64 << 20                           # bytes that even a tiny file may unpack to
KINDS = "fiub"                            # floats, integers, bools


def read(file, size):
    """A ZIP file whose records are all .npy → FileContents.  Raises BadFileError, UnsupportedError for other elements."""
    records, start = zip_archive.directory(file, size)
    if len(records) > MOST_ARRAYS:
        raise BadFileError(f"it has {len(records):,} arrays; {MOST_ARRAYS:,} is the most that npvgg reads")
    if sum(record.size for record in records) > MOST_INFLATED * size + ROOM:
        raise hostile(f"its {size:,} bytes unpack to {sum(record.size for record in records):,}")
    spans = zip_archive.spans(file, records, start, (zip_archive.STORED, zip_archive.DEFLATED))
    tensors = {name.removesuffix(SUFFIX): array(name, unpacked(file, *spans[name])) for name in spans}
    return FileContents(tensors=tensors, container="NumPy archive")


def unpacked(file, start, record):
    """The bytes of a record, its length and CRC-32 compared."""
    data = zip_archive.read_at(file, start, record.compressed_size)
    if record.method == zip_archive.DEFLATED:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflating.decompress(data, record.size) if record.size else b""
        except zlib.error as error:
            raise damaged(f"record {quoted([record.name])} cannot be unpacked: {error}") from None
    if len(data) != record.size or zlib.crc32(data) != record.crc:
        raise damaged(f"record {quoted([record.name])} does not have the length and the CRC-32 that the archive gives")
    return data


def array(name, data):
    """The bytes of a .npy → its array, C-contiguous and little-endian."""
    start = {1: 10, 2: 12, 3: 12}.get(data[6] if len(data) > 12 and data.startswith(MAGIC) else 0, 0)
    end = start + int.from_bytes(data[8:start], "little")
    said = HEADER.fullmatch(data[start:end][:LONGEST_HEADER]) if start else None
    if not said:
        raise BadFileError(f"array {quoted([name])} has no header that can be read; write it again with np.savez")
    descr, order, sizes = (group.decode() for group in said.groups())
    if descr[1] not in KINDS:
        raise UnsupportedError(f"array {quoted([name])} has elements of {descr}; npvgg reads floats, integers and bools only")
    shape = tuple(map(int, re.findall(r"\d+", sizes)))
    try:
        dtype = np.dtype(descr)
    except TypeError:
        raise BadFileError(f"array {quoted([name])} has elements of {descr}, which NumPy does not know") from None
    if len(shape) > 8 or math.prod(shape) * dtype.itemsize != len(data) - end:
        raise damaged(f"array {quoted([name])} has {len(data) - end:,} bytes for the shape ({sizes[:60]})")
    numbers = np.frombuffer(data, dtype, offset=end).reshape(shape[::-1] if order == "True" else shape)
    return np.array(numbers.T if order == "True" else numbers, dtype.newbyteorder("<"), order="C")


def write(path, tensors, about, *, force=False):
    """{key: array} → the file `path`; of `about` it says no more than its keys do.  Errors: those of `atomic_file.writing`."""
    with atomic_file.writing(path, force=force) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for key, tensor in tensors.items():
            with archive.open(zipfile.ZipInfo(key + SUFFIX), "w", force_zip64=True) as record:
                npy.write_array(record, np.ascontiguousarray(tensor), allow_pickle=False)
