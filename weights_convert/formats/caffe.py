"""Caffe's .caffemodel → {"conv1_1.blobs[0]": array, …}: a protocol buffer, read by its wire format.

    NetParameter        name 1, layers 2 (V1), layer 100 (V2)
    V1LayerParameter    name 4, type 5 (a number), blobs 6, convolution_param 10, inner_product_param 17
    LayerParameter      name 1, type 2 (a text), blobs 7, convolution_param 106, inner_product_param 117
    BlobProto           num, channels, height, width 1 … 4, data 5, shape 7, double_data 8
    ConvolutionParameter    pad 3, kernel_size 4, group 5, stride 6, dilation 18

A blob without a shape has four sizes, of which those of a matrix or a vector begin with ones.
Source: BVLC/caffe, src/caffe/proto/caffe.proto.
"""
import math

import numpy as np

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers import protobuf
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import damaged, hostile, quoted

NET_NAME, V1_LAYERS, V2_LAYER = 1, 2, 100
MOST_LAYERS = 1000
LARGEST_SIDE = 1 << 31

# Of a layer in each version: its name, type, blobs, and the parameters of a convolution and of a dense layer.
NUMBERS = {V1_LAYERS: (4, 5, 6, 10, 17), V2_LAYER: (1, 2, 7, 106, 117)}
CONVOLUTION, DENSE, LRN = ("Convolution", 4), ("InnerProduct", 14), ("LRN", 15)
DIMENSIONS = {**dict.fromkeys(CONVOLUTION, (4, 1)), **dict.fromkeys(DENSE, (2, 1))}      # of its weight and its bias
PAD, GROUP, STRIDE, DILATION, TRANSPOSE = 3, 5, 6, 18, 6


def is_one(head):
    """Whether the first bytes are those of a named NetParameter: a short text, then a layer, an input or a state."""
    if len(head) < 3 or head[0] != NET_NAME << 3 | protobuf.BYTES or head[1] > 127:
        return False
    name, after = head[2:2 + head[1]], head[2 + head[1]:][:2]
    return name.isascii() and name.decode().isprintable() and after[:1] in b"\x12\x1a\x20\x28\x32\x42" or after == b"\xa2\x06"


def read(file, size):
    """A .caffemodel → FileContents.  Raises BadFileError, and UnsupportedError for layers that no VGG of npvgg has."""
    tensors, layers = {}, 0
    for number, wire, value in protobuf.fields(memoryview(file.read())):
        if number not in NUMBERS or wire != protobuf.BYTES:
            continue
        layers += 1
        if layers > MOST_LAYERS:
            raise hostile(f"it has more than {MOST_LAYERS:,} layers")
        blobs = blobs_of(value, *NUMBERS[number])
        if blobs.keys() & tensors.keys():
            raise hostile(f"it has the layer {quoted(sorted(blobs)[:1])} twice")
        tensors |= blobs
    if not tensors:
        raise BadFileError("it is a Caffe network without weights; give the .caffemodel, not the .prototxt")
    return FileContents(tensors=tensors, container="Caffe model")


def blobs_of(layer, name_at, type_at, blobs_at, convolution_at, dense_at):
    """One layer → {"conv1_1.blobs[0]": array, …}."""
    name, kind, blobs, options = "", None, [], {}
    for number, wire, value in protobuf.fields(layer):
        if number == name_at and wire == protobuf.BYTES:
            name = protobuf.text(value)
        elif number == type_at:
            kind = value if wire == protobuf.VARINT else protobuf.text(value)
        elif number == blobs_at and wire == protobuf.BYTES:
            blobs.append(value)
        elif number in (convolution_at, dense_at) and wire == protobuf.BYTES:
            options[number] = numbers_of(value)
    if kind in LRN:
        raise UnsupportedError(f"its layer {quoted([name])} is a local response normalisation, whose k is 1 in Caffe and 2 in "
                               "npvgg's A-LRN")
    if not blobs:
        return {}
    if kind not in DIMENSIONS or len(blobs) > 2:
        raise UnsupportedError(f"its layer {quoted([name])} has parameters and is neither a convolution nor a dense layer")
    arrays = [array(name, blob, dimensions) for blob, dimensions in zip(blobs, DIMENSIONS[kind])]
    if kind in CONVOLUTION and convolution_at in options:
        check_convolution(name, arrays[0].shape, options[convolution_at])
    if kind in DENSE and options.get(dense_at, {}).get(TRANSPOSE, [0]) != [0]:
        raise UnsupportedError(f"its dense layer {quoted([name])} is transposed; npvgg cannot read that")
    return {f"{name}.blobs[{number}]": blob for number, blob in enumerate(arrays)}


def numbers_of(message):
    """{field number: [number, …]} of the whole numbers in a message."""
    numbers = {}
    for number, wire, value in protobuf.fields(message):
        if wire == protobuf.VARINT or wire == protobuf.BYTES and number in (PAD, STRIDE, DILATION) and len(value) <= 20:
            numbers.setdefault(number, []).extend(protobuf.varints(wire, value))
    return numbers


def check_convolution(name, shape, options):
    """Refuse a stride, a group, a dilation or a padding that no VGG has."""
    expected = {PAD: ("padding", shape[2] // 2, 0), GROUP: ("groups", 1, 1), STRIDE: ("stride", 1, 1),
                DILATION: ("dilation", 1, 1)}
    for number, (what, right, default) in expected.items():
        values = options.get(number, [default])
        if set(values) != {right}:
            raise UnsupportedError(f"its convolution {quoted([name])} has the {what} {values[:2]} where a VGG has {right}")


def array(name, blob, dimensions):
    """A BlobProto → float32 or float64 array of so many dimensions."""
    legacy, shape, data = [1, 1, 1, 1], None, {5: [], 8: []}
    for number, wire, value in protobuf.fields(blob):
        if 1 <= number <= 4 and wire == protobuf.VARINT:
            legacy[number - 1] = value
        elif number == 7 and wire == protobuf.BYTES:
            shape = [side for inner, kind, part in protobuf.fields(value) if inner == 1 and kind in (0, 2)
                     for side in protobuf.varints(kind, part)]
        elif number in data and wire != protobuf.VARINT:
            data[number].append(value)
    if bool(data[5]) == bool(data[8]):
        raise damaged(f"its layer {quoted([name])} has a blob without numbers, or with both kinds")
    stored = np.dtype("<f4" if data[5] else "<f8")
    raw = data[5] or data[8]
    raw = raw[0] if len(raw) == 1 else b"".join(raw)
    shape = legacy if shape is None else shape
    while len(shape) > dimensions and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != dimensions or any(side >= LARGEST_SIDE for side in shape) \
            or math.prod(shape) * stored.itemsize != len(raw):
        raise damaged(f"its layer {quoted([name])} has {len(raw):,} bytes for the shape {tuple(shape)[:8]}")
    return np.frombuffer(raw, stored).reshape(shape).copy()
