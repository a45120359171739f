"""One layer of a .caffemodel: its message → a Layer.

    V1LayerParameter    bottom 2, top 3, name 4, type 5 (a number), blobs 6, convolution_param 10, dropout_param 12,
                        inner_product_param 17, pooling_param 19, relu_param 30
    LayerParameter      name 1, type 2 (a text), bottom 3, top 4, blobs 7, convolution_param 106, dropout_param 108,
                        inner_product_param 117, pooling_param 121, relu_param 123
    BlobProto           num, channels, height, width 1 … 4, data 5, shape 7, double_data 8

A blob without a shape has four sizes, of which those of a matrix or a vector begin with ones.
"""
import math
import struct
from dataclasses import dataclass, field

import numpy as np

from weights_convert.containers import protobuf
from weights_convert.refusals import damaged, quoted

LARGEST_SIDE = 1 << 31
MOST_DIMENSIONS = 32                      # as Caffe has it
LONGEST_LIST = 100                        # bytes of numbers in an option; a convolution has two or three

# The numbers of a layer's fields in each version; the options by what they are of.
V1_LAYERS, V2_LAYER = 2, 100
NUMBERS = {V1_LAYERS: {"name": 4, "type": 5, "bottom": 2, "top": 3, "blobs": 6, 10: "convolution", 12: "dropout", 17: "dense",
                       19: "pooling", 30: "relu", 39: "softmax"},
           V2_LAYER: {"name": 1, "type": 2, "bottom": 3, "top": 4, "blobs": 7, 106: "convolution", 108: "dropout",
                      117: "dense", 121: "pooling", 123: "relu", 125: "softmax", 135: "flatten"}}
# V1's numbers of types that V2 names.
TYPES = {1: "Accuracy", 4: "Convolution", 5: "Data", 6: "Dropout", 8: "Flatten", 9: "HDF5Data", 12: "ImageData",
         14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU", 19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss",
         22: "Split", 23: "TanH", 24: "WindowData", 27: "SigmoidCrossEntropyLoss", 29: "MemoryData", 30: "ArgMax",
         32: "DummyData", 36: "Silence"}
DENSE = ("InnerProduct",)
PACKED = {"convolution": (3, 4, 6, 18)}   # pad, kernel_size, stride, dilation


@dataclass
class Layer:
    """Its name, its type as V2 names it, the blobs it takes and makes, its own blobs, its options as numbers."""

    name: str = ""
    kind: str = ""
    bottoms: list = field(default_factory=list)
    tops: list = field(default_factory=list)
    blobs: list = field(default_factory=list)           # messages
    options: dict = field(default_factory=dict)         # "convolution" → {field number: [number, …]}


def layer(message, numbers):
    """The bytes of a layer → Layer."""
    read = Layer()
    for number, wire, value in protobuf.fields(message):
        if number == numbers["type"]:
            read.kind = TYPES.get(value, f"type {value}") if wire == protobuf.VARINT else protobuf.text(value)
        elif wire != protobuf.BYTES:
            continue
        elif number == numbers["name"]:
            read.name = protobuf.text(value)
        elif number == numbers["bottom"]:
            read.bottoms.append(protobuf.text(value))
        elif number == numbers["top"]:
            read.tops.append(protobuf.text(value))
        elif number == numbers["blobs"]:
            read.blobs.append(value)
        elif number in numbers:
            read.options[numbers[number]] = numbers_of(value, PACKED.get(numbers[number], ()))
    return read


def numbers_of(message, packed):
    """{field number: [number, …]} of the numbers in a message; `packed` are the fields that may hold several in one."""
    numbers = {}
    for number, wire, value in protobuf.fields(message):
        if wire == protobuf.FOUR_BYTES:
            numbers.setdefault(number, []).append(*struct.unpack("<f", value))
        elif wire == protobuf.VARINT:
            numbers.setdefault(number, []).append(value)
        elif wire == protobuf.BYTES and number in packed:
            if len(value) > LONGEST_LIST:
                raise damaged(f"it has an option of {len(value):,} bytes")
            numbers.setdefault(number, []).extend(protobuf.varints(wire, value))
    return numbers


def array(name, blob, dimensions):
    """A BlobProto → float32 or float64 array of so many dimensions."""
    legacy, shape, data = [1, 1, 1, 1], None, {5: [], 8: []}
    for number, wire, value in protobuf.fields(blob):
        if 1 <= number <= 4 and wire == protobuf.VARINT:
            legacy[number - 1] = value
        elif number == 7 and wire == protobuf.BYTES:
            shape = shape_of(name, value)
        elif number in data and wire != protobuf.VARINT:
            data[number].append(value)
    if bool(data[5]) == bool(data[8]):
        raise damaged(f"its layer {quoted([name])} has a blob without numbers, or with both kinds")
    stored = np.dtype("<f4" if data[5] else "<f8")
    raw = data[5] or data[8]
    raw = raw[0] if len(raw) == 1 else b"".join(raw)
    shape = legacy if shape is None else shape
    ones = next((at for at, side in enumerate(shape) if side != 1), len(shape))
    shape = shape[max(0, min(ones, len(shape) - dimensions)):]
    if len(shape) != dimensions or any(side >= LARGEST_SIDE for side in shape) \
            or math.prod(shape) * stored.itemsize != len(raw):
        raise damaged(f"its layer {quoted([name])} has {len(raw):,} bytes for the shape {tuple(shape)[:8]}")
    return np.frombuffer(raw, stored).reshape(shape).copy()


def shape_of(name, message):
    """A BlobShape → [size, …]."""
    shape = []
    for number, wire, value in protobuf.fields(message):
        if number == 1 and wire in (protobuf.VARINT, protobuf.BYTES):
            # A size has at most ten bytes; longer lists are refused without being read.
            shape += protobuf.varints(wire, value if wire == protobuf.VARINT else value[:10 * (MOST_DIMENSIONS + 1)])
        if len(shape) > MOST_DIMENSIONS:
            raise damaged(f"its layer {quoted([name])} has a blob of more than {MOST_DIMENSIONS} dimensions")
    return shape
