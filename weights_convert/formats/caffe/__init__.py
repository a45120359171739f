"""Caffe's .caffemodel → {"conv1_1.blobs[0]": array, …}: a protocol buffer, read by its wire format.

    NetParameter        name 1, layers 2 (V1), layer 100 (V2)
    bytes → layers with their blobs and numbers         messages.py
    layers → those of a VGG, where the file has all     operators.py

A file that Caffe wrote holds every layer of the network, those without blobs too, so that what follows what is known; the
layers then get the paper's names.  Of a file with blobs alone the names decide.
Source: BVLC/caffe, src/caffe/proto/caffe.proto.
"""
import re

from npvgg.errors import BadFileError
from weights_convert.containers import protobuf
from weights_convert.formats.caffe import messages, operators
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import hostile, quoted

NET_NAME = 1
MOST_LAYERS = 1000
PAPERS_DENSE, CLASSIFIER = re.compile(r"fc\d{1,2}"), "fc8"
HIDDEN = {"fc6", "fc7"}


def is_one(head):
    """Whether the first bytes are those of a named NetParameter: a short text, then a layer, an input or a state."""
    if len(head) < 3 or head[0] != NET_NAME << 3 | protobuf.BYTES or head[1] > 127:
        return False
    name, after = head[2:2 + head[1]], head[2 + head[1]:][:2]
    return name.isascii() and name.decode().isprintable() and after[:1] in b"\x12\x1a\x20\x28\x32\x42" or after == b"\xa2\x06"


def read(file, size):
    """A .caffemodel → FileContents.  Raises BadFileError, and UnsupportedError for layers that no VGG of npvgg has."""
    layers = []
    for number, wire, value in protobuf.fields(memoryview(file.read())):
        if number in messages.NUMBERS and wire == protobuf.BYTES:
            layers.append(messages.layer(value, messages.NUMBERS[number]))
            if len(layers) > MOST_LAYERS:
                raise hostile(f"it has more than {MOST_LAYERS:,} layers")
    operators.refuse_normalisation(layers)
    names = [layer.name for layer in layers if layer.blobs]
    if not names:
        raise BadFileError("it is a Caffe network without weights; give the .caffemodel, not the .prototxt")
    if len(set(names)) != len(names):
        raise BadFileError(f"it has the layer {quoted([max(names, key=names.count)])} twice; give each a name of its own")
    if operators.is_whole(layers):
        network = operators.read(layers)
        return FileContents(tensors={f"{layer}.blobs[{KINDS.index(kind)}]": array
                                     for (layer, kind), array in network.arrays.items()},
                            container="Caffe model", stated=network.stated(), remarks=tuple(network.remarks))
    tensors = {f"{layer.name}.blobs[{at}]": array for layer in layers for at, array in enumerate(operators.arrays(layer))}
    return FileContents(*renamed(tensors, layers))


KINDS = ("W", "B")                        # of a layer's arrays, in the order of its blobs


def renamed(tensors, layers):
    """(tensors, container, …): fine-tuning gives the last dense layer another name, which is fc8 again."""
    *hidden, last = [layer.name for layer in layers if layer.blobs and layer.kind in messages.DENSE] or [""]
    remarks = ()
    if set(hidden) == HIDDEN and not PAPERS_DENSE.fullmatch(last):
        tensors = {key.replace(f"{last}.", f"{CLASSIFIER}.", 1) if key.startswith(f"{last}.") else key: array
                   for key, array in tensors.items()}
        remarks = (f"its last dense layer, {quoted([last])}, was taken for {CLASSIFIER}",)
    return tensors, "Caffe model", "", None, {}, remarks
