"""ONNX → {"conv1_1.W": array, …}: the graph is walked from its input to its output, and every step has to be one of a VGG's.

    model     metadata, opset, one input and one output         below
    numbers   raw bytes, lists, or a side file                  tensors.py, side_file.py
              through Constant, Identity, Transpose, Cast, …    constants.py
    nodes     those between input and output, in order          chain.py
    layers    nodes → layers under the paper's names            operators.py, features.py, classifier.py
    the way back                                                writing.py

What tensors and nodes are called does not matter.  The package onnx parses the file (extra [onnx]); nothing is run.
Source: onnx/onnx.proto, docs/Operators.md, docs/ExternalData.md.
"""
import os

from npvgg import images
from npvgg.architecture import CHANNELS
from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import signatures
from weights_convert.formats import description
from weights_convert.formats.contents import FileContents
from weights_convert.formats.layers import CHANNELS_LAST, MAPS
from weights_convert.formats.onnx import chain, operators
from weights_convert.formats.onnx.constants import Constants
from weights_convert.formats.onnx.side_file import SideFiles
from weights_convert.refusals import damaged, hostile, quoted, quoted_error

INSTALL = 'pip install "npvgg[onnx]"'
LARGEST_MODEL = (1 << 31) - 1             # bytes of a protocol buffer
MOST_NODES = 20_000
NEWEST_OPSET = 27
FLOATS = (1, 10, 11, 16)                  # float, float16, double, bfloat16

# The tags of ModelProto that may come after ir_version: producer_name … opset_import, metadata_props, functions.
SECOND_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca"

QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QLinearAdd",
             "QGemm", "ConvInteger", "MatMulInteger")
# What Caffe2's exporter leaves in the zoo's VGG-19: its own name, or its names of the input and the output.
CAFFE2, CAFFE2_ENDS = "caffe2", ("data_0", "prob_1")


def is_one(head):
    """Whether the first bytes are those of a ModelProto: a small ir_version, then another of its fields."""
    return not signatures.of_a_protobuf(head) and \
        len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x20 and head[2] in SECOND_TAGS


def read(file, size):
    """An ONNX file → FileContents.

    Raises BadFileError, UnsupportedError (a graph that is no VGG of npvgg's, or without the package), StorageError (a
    side file that cannot be read).
    """
    onnx = imported()
    if size > LARGEST_MODEL:
        raise BadFileError(f"it is {size:,} bytes long, and no ONNX model has more than {LARGEST_MODEL:,} (check the file)")
    data = file.read()
    try:
        model = onnx.ModelProto.FromString(data)
        del data
        check(model)
        name = getattr(file, "name", None)
        return read_network(model, SideFiles(name and os.path.dirname(os.path.abspath(os.fsdecode(name)))))
    except NpvggError:
        raise
    except UnicodeDecodeError:
        raise damaged("it has a name that is not UTF-8") from None
    except (parsing_error(), ValueError, RecursionError) as error:
        raise damaged(f"its protocol buffer cannot be read ({quoted_error(error, 80)})") from None


def check(model):
    """Refuse what the walk need not look at."""
    if not all(isinstance(text, str) for text in texts(model)):
        raise damaged("it has a name that is not UTF-8")
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if len(versions) > 1 or versions and not 0 < versions[0] <= NEWEST_OPSET:
        raise UnsupportedError(f"its opset is {versions[:3]}; npvgg reads 1 to {NEWEST_OPSET}: export it at one of these, "
                               "for example 17")
    if len(model.graph.node) > MOST_NODES:
        raise hostile(f"it has {len(model.graph.node):,} nodes")
    quantised = sorted({node.op_type for node in model.graph.node if node.op_type in QUANTISED})
    if quantised:
        raise UnsupportedError(f"it is a network in int8 ({', '.join(quantised[:3])}), which npvgg does not read yet; give "
                               "the float32 file that it was made of")
    if model.graph.sparse_initializer or model.training_info:
        raise UnsupportedError("it has sparse tensors or steps of training; export the network alone, with dense tensors")


def texts(model):
    """Every name in a model.  Where one is not UTF-8, protobuf gives bytes, or raises UnicodeDecodeError."""
    graph = model.graph
    yield model.producer_name
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    yield from (opset.domain for opset in model.opset_import)
    yield from (named.name for named in (*graph.initializer, *graph.input, *graph.output))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def read_network(model, side):
    """ModelProto, side files → FileContents."""
    graph = model.graph
    opset = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)
    constants = Constants(graph, side)
    entrance, layouts = entrance_of(graph, constants)
    if len(graph.output) != 1:
        raise UnsupportedError(f"it has {len(graph.output)} outputs ({quoted([value.name for value in graph.output])}); export "
                               "the network with its last layer as its only output")
    nodes = chain.between(entrance, graph.output[0].name, constants)
    layout = CHANNELS_LAST if MAPS not in layouts or CHANNELS_LAST in layouts and turns(nodes) else MAPS
    size = layouts[layout]
    network = operators.read(nodes, opset, layout, size)
    network.finish(size)
    metadata, stated = description.read({entry.key: entry.value for entry in model.metadata_props})
    remarks = list(network.remarks) + side.remarks()
    if "architecture" not in stated and (CAFFE2 in model.producer_name or (entrance, graph.output[0].name) == CAFFE2_ENDS):
        preset = images.preset("caffe")
        stated["preset"] = preset.resized(network.input_size) if network.input_size != preset.crop else preset
    elif "architecture" not in stated:
        remarks.append("the graph does not say how pictures are prepared; without --preset it is as torchvision does")
    stated |= network.stated()
    tensors = {f"{layer}.{kind}": array for (layer, kind), array in network.arrays.items()} | constants.unused()
    return FileContents(tensors=tensors, container=f"ONNX graph (opset {opset})", metadata=metadata,
                      remarks=tuple(remarks), stated=stated)


def entrance_of(graph, constants):
    """→ (name of the one input that is no initialiser, {layout that it may have: the side of its pictures, or None})."""
    entrances = [value for value in graph.input if value.name not in constants.tensors]
    if len(entrances) != 1:
        raise UnsupportedError(f"it has {len(entrances)} inputs ({quoted([value.name for value in entrances])}); a VGG has one")
    kind = entrances[0].type.tensor_type
    if kind.elem_type not in FLOATS:
        raise UnsupportedError(f"its input {quoted([entrances[0].name])} does not take floating point; export the network "
                               "without the preparation of pictures")
    sizes = [extent.dim_value or None for extent in kind.shape.dim]
    layouts = {layout: side_of(layout, sizes or [None] * 4) for layout in (MAPS, CHANNELS_LAST)}
    layouts = {layout: side for layout, side in layouts.items() if side != 0}
    if not layouts:
        raise UnsupportedError(f"its input has the shape {tuple(extent or '?' for extent in sizes[:8])}; npvgg's VGGs take "
                               f"(N, C, S, S) or (N, S, S, C) with C one of {', '.join(map(str, CHANNELS))}")
    return entrances[0].name, layouts


def side_of(layout, sizes):
    """The side of the pictures in a layout, None where the file leaves it open, and 0 where they cannot lie so."""
    if len(sizes) != len(layout):
        return 0
    channels, height, width = (sizes[layout.index(letter)] for letter in "CHW")
    is_picture = channels in (*CHANNELS, None) and height == width and (height is None or 0 < height <= 16384)
    return height if is_picture else 0


def turns(nodes):
    """Whether the first node that does anything turns (N, H, W, C) to (N, C, H, W)."""
    first = next((node for node in nodes if node.op not in ("Identity", "Cast")), None)
    return first is not None and first.op == "Transpose" and first.attributes.get("perm") == [0, 3, 1, 2]


def imported():
    """The module onnx; UnsupportedError that says how to install it where it is missing."""
    try:
        import onnx
    except ImportError:
        raise UnsupportedError(f"an ONNX file needs the package onnx; `{INSTALL}` installs it") from None
    return onnx


def parsing_error():
    """The exception that protobuf raises for bytes that are no message."""
    from google.protobuf.message import Error

    return Error
