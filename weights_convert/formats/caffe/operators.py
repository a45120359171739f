"""The layers of a .caffemodel → those of a VGG.

    features    (Convolution ReLU)… Pooling, five times
    head        Pooling, Flatten, InnerProduct, ReLU, Dropout, or a Convolution that covers the map
    end         Softmax or SoftmaxWithLoss, Sigmoid or SigmoidCrossEntropyLoss, or nothing

Every layer and every option of it has to be one that a VGG has.
Source: BVLC/caffe, src/caffe/proto/caffe.proto; src/caffe/layers.
"""
import math

import numpy as np

from npvgg.errors import NpvggError, UnsupportedError
from weights_convert.formats.caffe import messages
from weights_convert.formats.layers import Layers
from weights_convert.refusals import damaged, quoted

DIMENSIONS = {"Convolution": (4, 1), "InnerProduct": (2, 1)}         # of its weight and its bias
SOURCES = ("Data", "Input", "ImageData", "HDF5Data", "MemoryData", "DummyData", "WindowData")
LOSSES = {"SoftmaxWithLoss": "softmax", "SigmoidCrossEntropyLoss": "sigmoid"}
ASIDE = ("Accuracy", "Silence", "ArgMax")                            # they look at an answer and change nothing


def is_whole(layers):
    """Whether the file has the layers without blobs too."""
    return any(layer.kind not in (*DIMENSIONS, *SOURCES) for layer in layers)


def refuse_normalisation(layers):
    """UnsupportedError for LRN, which npvgg has with another constant."""
    name = next((layer.name for layer in layers if layer.kind == "LRN"), None)
    if name is not None:
        raise UnsupportedError(f"its layer {quoted([name])} is a local response normalisation, whose k is 1 in Caffe and 2 in "
                               "npvgg's A-LRN")


def arrays(layer):
    """A layer → [weight, bias], or [weight], or []; UnsupportedError for other kinds with blobs."""
    if not layer.blobs:
        return []
    if layer.kind not in DIMENSIONS or len(layer.blobs) > 2:
        raise UnsupportedError(f"its layer {quoted([layer.name])} has parameters and is neither a convolution nor a "
                               "dense layer")
    found = [messages.array(layer.name, blob, dimensions) for blob, dimensions in zip(layer.blobs, DIMENSIONS[layer.kind])]
    if layer.kind == "Convolution":
        check_convolution(layer, found[0].shape[2])
    elif layer.options.get("dense", {}).get(TRANSPOSE, [0]) != [0]:
        raise UnsupportedError(f"its dense layer {quoted([layer.name])} is transposed; npvgg cannot read that")
    return found


PAD, KERNEL, GROUP, STRIDE, DILATION, CONVOLVED, TRANSPOSE = 3, 4, 5, 6, 18, 16, 6


def check_convolution(layer, side):
    """Refuse a stride, a group, a dilation or a padding that no VGG has."""
    options = layer.options.get("convolution")
    if options is None:
        return
    # A convolution that covers the map, as fc6 may be one, has no padding.
    expected = {PAD: ("padding", (side // 2, 0) if side > 3 else (side // 2,), 0), GROUP: ("groups", (1,), 1),
                STRIDE: ("stride", (1,), 1), DILATION: ("dilation", (1,), 1), CONVOLVED: ("axis", (1,), 1)}
    for number, (what, right, default) in expected.items():
        values = options.get(number, [default])
        if set(values) - set(right):
            raise UnsupportedError(f"its convolution {quoted([layer.name])} has the {what} {values[:2]} where a VGG has "
                                   f"{right[0]}")
    others = sorted(options.keys() & UNEXPECTED)
    if others:
        raise UnsupportedError(f"its convolution {quoted([layer.name])} has the option {others[0]}, which no VGG has")


UNEXPECTED = {9, 10, 11, 12, 13, 14}      # pad, kernel and stride of height and width on their own


def read(layers):
    """[Layer, …] in the file's order → Layers, finished.  BadFileError, UnsupportedError."""
    network, flow = Layers(), set()
    for layer in layers:
        if layer.kind in SOURCES:
            flow |= set(layer.tops)
            continue
        if layer.kind in ASIDE or layer.kind == "Split" and not flow & set(layer.bottoms):
            continue
        if layer.kind not in OPERATORS:
            raise unsupported(layer, "is none of a VGG's; npvgg knows " + ", ".join(OPERATORS))
        data = layer.bottoms[:1] if layer.kind in LOSSES else layer.bottoms
        if len(data) != 1 or flow and data[0] not in flow:
            raise unsupported(layer, f"takes {quoted(layer.bottoms) or 'nothing'} where a VGG has no branches")
        if network.has_ended and layer.kind not in LOSSES:
            raise unsupported(layer, "stands behind the end of a VGG")
        try:
            OPERATORS[layer.kind](network, layer)
        except NpvggError:
            raise
        except (TypeError, ValueError, IndexError, OverflowError):
            raise damaged(f"its layer {quoted([layer.name])} has options or weights that do not fit it") from None
        flow = set(layer.tops) or flow
    network.finish(None)
    return network


def unsupported(layer, what):
    """The UnsupportedError for a layer: its name and what it does."""
    return UnsupportedError(f"its layer {quoted([layer.name])} ({quoted([layer.kind])}) {what}")


def convolution(network, layer):
    """Convolution, or behind pool5 one that covers the map, which is a dense layer."""
    weight, *bias = weights(layer)
    if weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0 and not network.is_head:
        raise unsupported(layer, f"has filters of the shape {weight.shape}; a VGG's are square, with an odd side")
    pads = layer.options.get("convolution", {}).get(PAD, [0])
    if set(pads) != {0 if network.is_head else weight.shape[2] // 2}:
        raise unsupported(layer, f"has the padding {pads[:2]} with filters of {weight.shape[2]}×{weight.shape[2]}; a VGG keeps "
                                 "the size of the map, and behind pool5 covers it")
    if network.is_head:
        network.begin_features()
        network.dense(weight.reshape(len(weight), -1), bias[0] if bias else np.zeros(len(weight), np.float32))
        network.side = 1
    else:
        named(network, layer, "conv")
        network.convolution(weight, bias[0] if bias else None)


def weights(layer):
    """Its weight, and its bias where it has one; a layer without is no layer of a VGG."""
    found = arrays(layer)
    if not found:
        raise damaged(f"its layer {quoted([layer.name])} lacks its weights")
    return found


def named(network, layer, kind):
    """Say where a layer has another name than the paper's."""
    place = f"conv{network.block}_{network.position + 1}" if kind == "conv" else \
        f"fc{6 + sum(step == 'dense' for step, _ in network.steps)}"
    if layer.name != place:
        network.remarks.append(f"its layer {quoted([layer.name])} was taken for {place}")


def dense(network, layer):
    """InnerProduct, which flattens what it takes."""
    weight, *bias = weights(layer)
    if layer.options.get("dense", {}).get(AXIS, [1]) != [1]:
        raise unsupported(layer, "runs along another axis than the channels'")
    if not network.is_head:
        raise unsupported(layer, "stands before the last of five poolings, where a VGG has none")
    network.flatten()
    named(network, layer, "fc")
    network.dense(weight, bias[0] if bias else np.zeros(len(weight), np.float32))


AXIS = 5


def relu(network, layer):
    """ReLU without a slope."""
    slope = layer.options.get("relu", {}).get(1, [0])
    if slope != [0]:
        raise unsupported(layer, f"has the slope {slope[0]:g} below zero; a VGG has none")
    network.relu()


POOL, POOL_KERNEL, POOL_STRIDE, POOL_PAD, ENGINE, GLOBAL = 1, 2, 3, 4, 11, 12


def pool(network, layer):
    """Pooling of 2×2 that ends a block, or a global one behind pool5."""
    options = layer.options.get("pooling", {})
    kind = {0: "max", 1: "avg"}.get(*options.get(POOL, [0]))
    is_global = options.get(GLOBAL, [0]) != [0]
    window = [*options.get(POOL_KERNEL, [0]), *options.get(POOL_STRIDE, [1]), *options.get(POOL_PAD, [0])]
    if kind is None or options.keys() - {POOL, POOL_KERNEL, POOL_STRIDE, POOL_PAD, ENGINE, GLOBAL}:
        raise unsupported(layer, "pools in a way that no VGG does")
    if network.is_head and is_global and not network.is_flat:
        network.side = 1
        network.step(f"{kind}1")
    elif network.is_head or is_global or window != [2, 2, 0]:
        raise unsupported(layer, f"pools with window, step and border {window} where a VGG has [2, 2, 0]")
    else:
        network.pool(kind)


def flatten(network, layer):
    """Flatten."""
    if not network.is_head:
        raise unsupported(layer, "stands before the last of five poolings, where a VGG has none")
    first, last = (layer.options.get("flatten", {}).get(number, [usual]) for number, usual in ((1, 1), (2, LAST)))
    if first != [1] or last not in ([3], [LAST]):
        raise unsupported(layer, "flattens other axes than a map's")
    network.flatten()


LAST = (1 << 64) - 1                      # −1, as a protocol buffer has it


def dropout(network, layer):
    """In inference it hands on what it gets."""
    ratio = layer.options.get("dropout", {}).get(1, [0.5])[0]
    network.dropout(float(str(np.float32(ratio))) if math.isfinite(ratio) else 0.5)


def end(network, layer):
    """What makes probabilities of a dense layer's outputs, or the loss in its place."""
    if [kind for kind, _ in network.steps if not kind.startswith("drop")][-1:] != ["dense"]:
        raise unsupported(layer, "makes probabilities of something other than a dense layer's outputs")
    if layer.options.get("softmax", {}).get(2, [1]) not in ([1], [LAST]):
        raise unsupported(layer, "runs along another axis than the classes")
    output = LOSSES.get(layer.kind, layer.kind.lower())
    if network.has_ended and network.output != output:
        raise unsupported(layer, f"makes probabilities by {output} where another layer does by {network.output}")
    # Caffe's convolutional heads end with a map of answers, one where pictures have the size it was trained for.
    network.flatten()
    network.output, network.source_output, network.has_ended = output, "probabilities", True


def nothing(network, layer):
    """It hands on what it gets."""


OPERATORS = {"Convolution": convolution, "ReLU": relu, "Pooling": pool, "InnerProduct": dense, "Dropout": dropout,
             "Flatten": flatten, "Split": nothing, "Softmax": end, "Sigmoid": end} | dict.fromkeys(LOSSES, end)
