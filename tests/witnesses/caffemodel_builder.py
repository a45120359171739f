"""Caffe models, written byte by byte after caffe.proto: V1 as in 2014, V2 as Caffe upgrades them."""
import struct

import numpy as np


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def piece(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(array, version, packed=True, double=False):
    """BlobProto: four sizes in V1, a BlobShape in V2."""
    field, code = (8, "d") if double else (5, "f")
    array = np.asarray(array, f"<{code}{8 if double else 4}".replace("d8", "f8"))
    if version == 1:
        shape = b"".join(number(k, n) for k, n in enumerate((1,) * (4 - array.ndim) + array.shape, start=1))
    else:
        shape = piece(7, piece(1, b"".join(map(varint, array.shape))))
    if packed:
        return shape + piece(field, array.tobytes())
    wire = 1 if double else 5
    return shape + b"".join(varint(field << 3 | wire) + struct.pack(f"<{code}", x) for x in array.ravel())


def layer(name, kind, arrays, version, options=b"", bottom="bottom", top=None, **how):
    """A convolution ("Convolution") or a dense layer ("InnerProduct"), or one without blobs."""
    top = top or name
    blobs = [blob(array, version, **how) for array in arrays]
    if version == 1:
        types = {"Convolution": 4, "InnerProduct": 14, "ReLU": 18, "Pooling": 17, "Softmax": 20, "LRN": 15, "Bias": 2,
                 "Dropout": 6, "TanH": 23, "Data": 5, "SoftmaxWithLoss": 21, "Split": 22, "Sigmoid": 19}
        at = {"Convolution": 10, "InnerProduct": 17, "Pooling": 19, "Dropout": 12, "Softmax": 39}.get(kind, 30)
        return piece(2, piece(2, bottom) + piece(3, top) + piece(4, name) + number(5, types[kind])
                     + b"".join(piece(6, content) for content in blobs) + (piece(at, options) if options else b""))
    at = {"Convolution": 106, "InnerProduct": 117, "Pooling": 121, "Dropout": 108, "Softmax": 125, "Flatten": 135}.get(
        kind, 123)
    return piece(100, piece(1, name) + piece(2, kind) + piece(3, bottom) + piece(4, top)
                 + b"".join(piece(7, content) for content in blobs) + (piece(at, options) if options else b""))


def convolution_options(shape, version, pad=None, group=1, stride=1, dilation=1, axis=1):
    pad = shape[2] // 2 if pad is None else pad
    parts = [number(1, shape[0]), number(3, pad) if version == 1 else piece(3, varint(pad)), number(4, shape[2])]
    parts += [number(5, group)] * (group != 1) + [number(6, stride)] * (stride != 1) + [number(18, dilation)] * (dilation != 1)
    parts += [number(16, axis)] * (axis != 1)
    return b"".join(parts)


def model(vgg, version, *, names=None, change=lambda parts: parts, **how):
    """A VGG → the bytes of its .caffemodel, in which ReLU and dropout write where they read.

    `names` are other names for layers; `change` gets [(kind, name, arrays, options), …] and returns the like.
    """
    parts = []
    for step in vgg.architecture.layers:
        arrays = [vgg.parameters[f"{step.name}/{kind}"] for kind, _ in step.shapes]
        name = (names or {}).get(step.name, step.name)
        if step.op == "conv2d":
            parts.append(("Convolution", name, arrays, convolution_options(arrays[0].shape, version)))
        elif step.op == "dense":
            parts.append(("InnerProduct", name, arrays, number(1, len(arrays[1]))))
        elif step.op == "relu":
            parts.append(("ReLU", name, [], b""))
        elif step.op == "dropout":
            parts.append(("Dropout", name, [], b""))
        elif step.op in ("maxpool2d", "avgpool2d"):
            parts.append(("Pooling", name, [], number(1, int(step.op == "avgpool2d")) + number(2, 2) + number(3, 2)))
    flow, written = "data", [piece(1, "VGG_ILSVRC_layers")]
    for kind, name, arrays, options in change([*parts, ("Softmax", "prob", [], b"")]):
        top = flow if kind in ("ReLU", "Dropout") else name
        written.append(layer(name, kind, arrays, version, options, bottom=flow, top=top, **how))
        flow = top
    return b"".join(written)
