"""A TensorProto → an array, from one of three places.

    raw_data            little-endian bytes
    float_data, …       a list of numbers; 16-bit floats as whole numbers with the same bits
    external_data       a side file

Source: onnx/onnx.proto, TensorProto.
"""
import math

import numpy as np

from npvgg.errors import UnsupportedError
from weights_convert.elements import STORED, widened
from weights_convert.refusals import damaged, hostile, quoted

# data_type → (element as PyTorch calls it, the field with the list of numbers).
ELEMENTS = {
    1: ("float32", "float_data"), 2: ("uint8", "int32_data"), 3: ("int8", "int32_data"), 4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"), 6: ("int32", "int32_data"), 7: ("int64", "int64_data"), 9: ("bool", "int32_data"),
    10: ("float16", "int32_data"), 11: ("float64", "double_data"), 12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"), 16: ("bfloat16", "int32_data"),
}
LISTS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
EXTERNAL = 1                              # of TensorProto.DataLocation
MOST_DIMENSIONS = 8


def array(tensor, side):
    """TensorProto, SideFiles → array, C-contiguous and little-endian; bfloat16 becomes float32 exactly."""
    what, shape = f"tensor {quoted([tensor.name])}", shape_of(tensor)
    element, field = ELEMENTS[tensor.data_type]
    stored = np.dtype("u1") if element == "bool" else STORED[element]
    count = math.prod(shape)
    lists = [name for name in LISTS if len(getattr(tensor, name))]
    is_outside = tensor.data_location == EXTERNAL
    if len(lists) + tensor.HasField("raw_data") + is_outside > 1 or lists and lists != [field]:
        raise hostile(f"{what} has its numbers in several places, or in one for another type")
    if is_outside:
        numbers = side.read(tensor.external_data, count * stored.itemsize, what).view(stored)
    elif lists:
        numbers = listed(getattr(tensor, field), element, stored, what)
    else:
        raw = tensor.raw_data
        if len(raw) != count * stored.itemsize:
            raise damaged(f"{what} has {len(raw):,} bytes for the shape {shape}")
        numbers = np.frombuffer(raw, stored)
    if numbers.size != count:
        raise damaged(f"{what} has {numbers.size:,} numbers for the shape {shape}")
    if element == "bool":
        if count and numbers.max() > 1:
            raise damaged(f"{what} has bools that are neither 0 nor 1")
        numbers = numbers.view(bool)
    return widened(np.array(numbers.reshape(shape), order="C"), element)


def listed(numbers, element, stored, what):
    """A list of numbers → array in the element type, every number of which has to fit it."""
    if element in ("float32", "float64"):
        return np.fromiter(numbers, stored, len(numbers))
    wide = np.fromiter(numbers, "<u8" if element in ("uint32", "uint64") else "<i8", len(numbers))
    bits = np.dtype("<u2") if element == "float16" else stored
    narrow = wide.astype(bits)
    if (narrow != wide).any():
        raise damaged(f"{what} has numbers that {element} does not hold")
    return narrow.view(stored)


def shape_of(tensor):
    """The checked shape; UnsupportedError where the elements are of a type that no VGG has."""
    shape, what = tuple(tensor.dims), f"tensor {quoted([tensor.name])}"
    if tensor.data_type not in ELEMENTS:
        raise UnsupportedError(f"{what} holds elements of ONNX's type {tensor.data_type}; npvgg reads floats, integers and "
                               "bools only")
    if len(shape) > MOST_DIMENSIONS or any(side < 0 for side in shape) or math.prod(shape) >= 1 << 48 or \
            tensor.HasField("segment"):
        raise damaged(f"{what} has the shape {shape[:MOST_DIMENSIONS]}, or is a part of one")
    return shape
