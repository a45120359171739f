"""One array in a file, as ONNX keeps the inputs and outputs of a test: a TensorProto, read by its bytes.

    1   dims            [size, …]
    2   data_type       1 float32, 11 float64
    9   raw_data        little-endian bytes; or
    4   float_data      float32 numbers, packed or one by one
    10  double_data     float64 numbers likewise

Source: onnx/onnx.proto, message TensorProto.
"""
import math

import numpy as np

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert import opened_file
from weights_convert.containers import protobuf
from weights_convert.refusals import damaged

DIMS, DATA_TYPE, RAW = 1, 2, 9
NUMBERS = {4: (protobuf.FOUR_BYTES, np.dtype("<f4")), 10: (protobuf.EIGHT_BYTES, np.dtype("<f8"))}
TYPES = {1: 4, 11: 10}                    # data_type → the field with the numbers where there are no raw bytes
ELSEWHERE = (3, 13, 14)                   # segment, external_data, data_location: the numbers are not, or not all, here
LARGEST_FILE = 1 << 30                    # 1,700 pictures of 224 × 224
MOST_DIMENSIONS = 8


def read(path):
    """Path → float32 or float64 array, C-contiguous.

    Raises BadFileError (damaged, or no TensorProto), UnsupportedError (other elements), StorageError; each names the path.
    """
    with opened_file.opened(path) as (file, size):
        if size > LARGEST_FILE:
            raise BadFileError(f"it is {size:,} bytes long; a test has at most {LARGEST_FILE:,} (check the file)")
        return array(memoryview(file.read()))


def array(message):
    """The bytes of a TensorProto → its array."""
    shape, kind, pieces = [], None, {}
    for number, wire, value in protobuf.fields(message):
        if number == DIMS and wire in (protobuf.VARINT, protobuf.BYTES) and len(shape) <= MOST_DIMENSIONS:
            # A size below 2⁶³ has at most nine bytes; a longer list is refused below without being read.
            shape += protobuf.varints(wire, value if wire == protobuf.VARINT else value[:9 * (MOST_DIMENSIONS + 1)])
        elif number == DATA_TYPE and wire == protobuf.VARINT:
            kind = value
        elif number in ELSEWHERE and value != 0:
            raise UnsupportedError("its numbers are in another file; give a tensor that holds them itself")
        elif number == RAW and wire == protobuf.BYTES or number in NUMBERS and wire in (NUMBERS[number][0], protobuf.BYTES):
            pieces.setdefault(number, []).append(value)
    if kind is None:
        raise BadFileError("it is no TensorProto, for it names no type of element; give what ONNX calls input_0.pb or "
                           "output_0.pb")
    if kind not in TYPES:
        raise UnsupportedError(f"it holds elements of ONNX's type {kind}; npvgg reads tests in float32 and float64 only")
    if len(pieces) > 1 or not pieces.keys() <= {RAW, TYPES[kind]}:
        raise damaged("it has its numbers in two places, or in one for another type")
    raw = b"".join(piece for parts in pieces.values() for piece in parts)
    stored = NUMBERS[TYPES[kind]][1]
    if len(shape) > MOST_DIMENSIONS or math.prod(shape) * stored.itemsize != len(raw):
        raise damaged(f"it has {len(raw):,} bytes for the shape {tuple(shape[:MOST_DIMENSIONS])}")
    return np.frombuffer(raw, stored).reshape(shape)
