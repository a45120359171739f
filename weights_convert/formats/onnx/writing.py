"""A network → an ONNX model: one node a layer, its parameters under the names they have in a weights file.

    input       (N, 3, S, S) float32, N open, prepared as the metadata say
    output      logits (N, classes), probabilities with a Softmax behind, or features (N, C, s, s) without a classifier
    metadata    description.py

Source: onnx/docs/Operators.md, docs/Versioning.md.
"""
import math

import numpy as np

from npvgg import __version__
from npvgg.counting import describe
from npvgg.errors import UnsupportedError, UsageError
from npvgg.storage import atomic_file
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
    "relu": ("Relu", dict),
    "maxpool2d": ("MaxPool", lambda size, stride: {"kernel_shape": [size] * 2, "strides": [stride] * 2}),
    "local_response_norm": ("LRN", lambda size, alpha, beta, k: {"size": size, "alpha": alpha, "beta": beta, "bias": k}),
    "reflection_pad2d": ("Pad", lambda size: {"mode": "reflect"}),
    "flatten": ("Flatten", dict),
    "dense": ("Gemm", lambda: {"transB": 1}),
}


def write(out, vgg, *, opset=None, softmax=False, force=False):
    """Write a VGG as the ONNX file `out`.

    UsageError for an opset that is not in OPSETS and for a soft-max without a classifier; UnsupportedError where ONNX
    has no operator for a layer or the file would be too large, or without the package; errors of `atomic_file.writing`.
    """
    opset = check_options(opset)
    if softmax and vgg.architecture.num_classes is None:
        raise UsageError("a network without a classifier has no classes to take the soft-max over; leave --softmax out")
    if sum(array.nbytes for array in vgg.parameters.values()) > LARGEST_MODEL - ROOM_FOR_GRAPH:
        raise UnsupportedError("its parameters do not fit into one ONNX file of 2 GiB; write .safetensors")
    atomic_file.write(out, model(vgg, opset, softmax).SerializeToString(), force=force)


def check_options(opset):
    if opset not in (None, *OPSETS):
        raise UsageError(f"npvgg does not write opset {opset}; choose one of {', '.join(map(str, OPSETS))}")
    return opset or DEFAULT_OPSET


def model(vgg, opset, softmax):
    """→ ModelProto."""
    onnx = imported()
    make, of_array, float32 = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto.FLOAT
    net, flow, nodes, constants = vgg.architecture, INPUT, [], []
    rows = describe(net)
    for row in rows:
        layer, inputs = row.layer, [f"{row.layer.name}/{kind}" for kind, _ in row.layer.shapes]
        constants += [of_array(np.ascontiguousarray(vgg.parameters[path]), path) for path in inputs]
        if layer.op == "adaptive_avgpool2d":
            operator, attributes = pooling(net, row)
        else:
            operator, attributes = OPERATORS.get(layer.op, (None, None))
            attributes = attributes and attributes(**dict(layer.options))
        if layer.op == "reflection_pad2d":
            size, inputs = dict(layer.options)["size"], [f"{layer.name}/pads"]
            constants.append(of_array(np.array([0, 0, size, size] * 2), inputs[0]))
        if operator:
            nodes.append(make.make_node(operator, [flow, *inputs], [layer.name], layer.name, **attributes))
            flow = layer.name
    end = "probabilities" if softmax else "logits" if net.num_classes else "features"
    # Another name for the last layer's own: an output is named for what it gives.
    nodes.append(make.make_node("Softmax" if softmax else "Identity", [flow], [end], end, **({"axis": 1} if softmax else {})))
    entrance = make.make_tensor_value_info(INPUT, float32, [BATCH, 3, net.input_size, net.input_size])
    answer = make.make_tensor_value_info(end, float32, [BATCH, *rows[-1].output_shape])
    found = make.make_model(
        make.make_graph(nodes, net.name, [entrance], [answer], constants), ir_version=OPSETS[opset],
        opset_imports=[make.make_opsetid("", opset)], producer_name="npvgg", producer_version=__version__)
    make.set_model_props(found, description.entries(
        {"architecture": net, "preset": vgg.preset, "labels": vgg.class_names, "source_output": vgg.source_output}))
    return found


def pooling(net, row):
    """The average pooling before the classifier → (operator or None, attributes)."""
    side = math.isqrt(row.input_elements // row.output_shape[0])
    window, rest = divmod(side, net.pooled_size)
    if rest or not window:
        raise UnsupportedError(f"ONNX has no operator that pools a map of side {side} to one of {net.pooled_size}; give "
                               f"another --input-size, for example {32 * net.pooled_size}")
    return ("AveragePool", {"kernel_shape": [window] * 2, "strides": [window] * 2}) if window > 1 else (None, {})
