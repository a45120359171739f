"""The format that npvgg's files have in common: plain arrays in an HDF5 file, laid out so that they can be mapped.

    FILE                       HDF5 of version 1.10, no user block
      attributes               format = "npvgg weights 1", …: text, an int64 or a float64 each
                               digest = SHA-256 of the header (see `header_digest`), complete = 1
      /NAME or /GROUP/NAME     one contiguous, unfiltered, little-endian array that begins at a multiple of 64 bytes:
                               float32, float64, float16, bfloat16 or UTF-8 text of fixed length, padded with zeros
                               attribute sha256 of its bytes

`hdf5_writing` writes it and `hdf5_reading` reads it.
"""
import hashlib
import json
import re

import numpy as np
from h5py import h5t

from npvgg.storage import half_precision

SUPERBLOCK = b"\x03"                          # its version in HDF5 1.10, the first whose every header has a checksum
ALIGNMENT = 64                                # a cache line, and the widest vector register
VERSION = 1
MAXIMUM_TEXT = 60_000                         # bytes; HDF5 keeps an attribute in an object header of at most 64 KiB
MAXIMUM_ATTRIBUTES = 64
MAXIMUM_RANK = 8

NUMBERS = {int: h5t.STD_I64LE, float: h5t.IEEE_F64LE}


def brain_float():
    """bfloat16 as HDF5 has it: sign, 8 bits of exponent with bias 127, 7 of mantissa."""
    kind = h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_ebias(127)
    kind.set_precision(16)
    kind.set_size(2)
    return kind


FLOATS = {np.dtype("<f4"): h5t.IEEE_F32LE, np.dtype("<f8"): h5t.IEEE_F64LE, half_precision.FLOAT16: h5t.IEEE_F16LE,
          half_precision.BFLOAT16: brain_float()}


def header_digest(attributes: dict, arrays: dict, digests: dict) -> str:
    """SHA-256 of everything but the arrays' bytes: every attribute, and each array's name, dtype, shape and digest.

    `attributes`: {group: {name: value}}; `arrays`: {name: anything with dtype and shape}; `digests`: {name: SHA-256}.
    """
    header = {"attributes": {group: values for group, values in attributes.items() if values},
              "arrays": {name: [array.dtype.str, list(array.shape), digests[name]] for name, array in arrays.items()}}
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def sha256(array: np.ndarray) -> str:
    """The digest of an array's bytes in C order, 64 hexadecimal digits."""
    return hashlib.sha256(array).hexdigest()


def is_sha256(text: object) -> bool:
    """Whether it is a text of 64 hexadecimal digits."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None
