"""A network → an ONNX model: one node a layer, its parameters under the names they have in a weights file.

    input       (N, C, S, S) float32, N open, prepared as the metadata say
    output      logits (N, classes), probabilities with a Softmax or Sigmoid behind, or features without a classifier
    metadata    description.py

Source: onnx/docs/Operators.md, docs/Versioning.md.
"""
import math

import numpy as np

from npvgg.counting import describe
from npvgg.errors import UnsupportedError, UsageError
from npvgg.storage import atomic_file
from npvgg.version import __version__
from weights_convert.formats import description
from weights_convert.formats.onnx import LARGEST_MODEL, imported

OPSETS = {17: 8, 21: 10}                  # opset → the IR version that was current with it
DEFAULT_OPSET = 17
BATCH, INPUT = "N", "input"
ROOM_FOR_GRAPH = 1 << 20                  # bytes; names, nodes and a thousand labels take a tenth of it

# operation → (operator, layer's options → attributes).  What does nothing in inference is not among them.
OPERATORS = {
    "conv2d": ("Conv", lambda padding: {"pads": [padding] * 4}),
    "batchnorm2d": ("BatchNormalization", lambda eps: {"epsilon": eps}),
    "batchnorm1d": ("BatchNormalization", lambda eps: {"epsilon": eps}),
    "relu": ("Relu", dict),
    "maxpool2d": ("MaxPool", lambda size, stride: {"kernel_shape": [size] * 2, "strides": [stride] * 2}),
    "avgpool2d": ("AveragePool", lambda size, stride: {"kernel_shape": [size] * 2, "strides": [stride] * 2}),
    "local_response_norm": ("LRN", lambda size, alpha, beta, k: {"size": size, "alpha": alpha, "beta": beta, "bias": k}),
    "reflection_pad2d": ("Pad", lambda size: {"mode": "reflect"}),
    "flatten": ("Flatten", dict),
    "dense": ("Gemm", lambda: {"transB": 1}),
}
NOTHING = ("dropout",)
POOLINGS = {"adaptive_avgpool2d": "AveragePool", "adaptive_maxpool2d": "MaxPool"}
ENDS = {"softmax": ("Softmax", {"axis": 1}), "sigmoid": ("Sigmoid", {})}


def write(out, vgg, *, opset=None, softmax=False, sigmoid=False, force=False):
    """Write a VGG as the ONNX file `out`.

    UsageError for an opset that is not in OPSETS and for an end that does not belong to the network's answers;
    UnsupportedError where ONNX has no operator for a layer or the file would be too large, or without the package; errors of
    `atomic_file.writing`.
    """
    opset = check_options(opset)
    if sum(array.nbytes for array in vgg.parameters.values()) > LARGEST_MODEL - ROOM_FOR_GRAPH:
        raise UnsupportedError("its parameters do not fit into one ONNX file of 2 GiB; write .safetensors")
    end = end_of(vgg.architecture, softmax, sigmoid)
    atomic_file.write(out, model(vgg, opset, end).SerializeToString(), force=force)


def check_options(opset):
    """The opset to write, DEFAULT_OPSET for None; UsageError for one that is not in OPSETS."""
    if opset not in (None, *OPSETS):
        raise UsageError(f"npvgg does not write opset {opset}; choose one of {', '.join(map(str, OPSETS))}")
    return opset or DEFAULT_OPSET


def end_of(net, softmax, sigmoid):
    """What makes probabilities at the end of the graph: "softmax", "sigmoid" or None."""
    wanted = [name for name, is_wanted in (("softmax", softmax), ("sigmoid", sigmoid)) if is_wanted]
    if wanted and net.num_classes is None:
        raise UsageError(f"a network without a classifier has no classes to take the {wanted[0]} over; leave --{wanted[0]} out")
    if wanted not in ([], [net.output]):
        raise UsageError(f"--{' and --'.join(wanted)} cannot end a network whose probabilities come by {net.output}; give "
                         f"--{net.output}, or --output {wanted[0]}")
    return wanted[0] if wanted else None


def model(vgg, opset=DEFAULT_OPSET, end=None):
    """→ ModelProto; `end` is one of ENDS, or None for logits and features."""
    onnx = imported()
    make, of_array, float32 = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto.FLOAT
    net, flow, nodes, constants = vgg.architecture, INPUT, [], []
    rows = describe(net)
    for row in rows:
        layer, inputs = row.layer, [f"{row.layer.name}/{kind}" for kind, _ in row.layer.shapes]
        constants += [of_array(np.ascontiguousarray(vgg.parameters[path]), path) for path in inputs]
        operator, attributes = node_of(net, row)
        if layer.op == "reflection_pad2d":
            size, inputs = dict(layer.options)["size"], [f"{layer.name}/pads"]
            constants.append(of_array(np.array([0, 0, size, size] * 2), inputs[0]))
        if operator:
            nodes.append(make.make_node(operator, [flow, *inputs], [layer.name], layer.name, **attributes))
            flow = layer.name
    name = "probabilities" if end else "logits" if net.num_classes else "features"
    # Another name for the last layer's own: an output is named for what it gives.
    operator, attributes = ENDS.get(end, ("Identity", {}))
    nodes.append(make.make_node(operator, [flow], [name], name, **attributes))
    entrance = make.make_tensor_value_info(INPUT, float32, [BATCH, net.input_channels, net.input_size, net.input_size])
    answer = make.make_tensor_value_info(name, float32, [BATCH, *rows[-1].output_shape])
    written = make.make_model(
        make.make_graph(nodes, net.name, [entrance], [answer], constants), ir_version=OPSETS[opset],
        opset_imports=[make.make_opsetid("", opset)], producer_name="npvgg", producer_version=__version__)
    make.set_model_props(written, description.entries(
        {"architecture": net, "preset": vgg.preset, "labels": vgg.class_names, "source_output": vgg.source_output}))
    return written


def node_of(net, row):
    """A layer → (operator, attributes); (None, {}) for one that changes nothing.  UnsupportedError where ONNX has none."""
    if row.layer.op in POOLINGS:
        return pooling(net, row)
    if row.layer.op in NOTHING:
        return None, {}
    if row.layer.op not in OPERATORS:
        raise UnsupportedError(f"npvgg writes no ONNX operator for {row.layer.name}, a {row.layer.op}; write .safetensors")
    operator, attributes = OPERATORS[row.layer.op]
    return operator, attributes(**dict(row.layer.options))


def pooling(net, row):
    """Pooling to a fixed side → (operator or None, attributes); the map has to be divided by it."""
    side, pooled = math.isqrt(row.input_elements // row.output_shape[0]), row.output_shape[1]
    window, rest = divmod(side, pooled)
    if rest or not window:
        raise UnsupportedError(f"ONNX has no operator that pools a map of side {side} to one of {pooled}; give another "
                               f"--input-size, for example {net.input_size // side * pooled}")
    attributes = {"kernel_shape": [window] * 2, "strides": [window] * 2}
    return (POOLINGS[row.layer.op], attributes) if window > 1 else (None, {})
