"""A network as ONNX: the graph in one file, the weights beside it, where ONNX Runtime can map them into memory."""
import onnx
from onnx import TensorProto, helper, numpy_helper

from npvgg.architecture import describe
from npvgg.errors import UnsupportedError

FILE, INPUT = "vgg.onnx", "input"

# Opset 17 is read by every release of the last years; nothing here needs a newer one.
OPSET, IR_VERSION = 17, 8

# operation → (ONNX operator, layer's options → attributes).  What does nothing in inference is not among them.
OPERATORS = {
    "conv2d": ("Conv", lambda padding: {"pads": [padding] * 4}),
    "batchnorm2d": ("BatchNormalization", lambda eps: {"epsilon": eps}),
    "relu": ("Relu", dict),
    "maxpool2d": ("MaxPool", lambda size, stride: {"kernel_shape": [size] * 2, "strides": [stride] * 2}),
    "local_response_norm": ("LRN", lambda size, alpha, beta, k: {"size": size, "alpha": alpha, "beta": beta, "bias": k}),
    "flatten": ("Flatten", dict),
    "dense": ("Gemm", lambda: {"transB": 1}),
}


def write(vgg, folder):
    """Write `FILE` into the folder unless another runtime's turn has done so; → its path."""
    path = folder / FILE
    if path.exists():
        return path
    nodes, constants, flow = [], [], INPUT
    for row in describe(vgg.architecture):
        layer = row.layer
        names = [f"{layer.name}/{kind}" for kind, _ in layer.shapes]
        constants += [numpy_helper.from_array(array, name) for name, array in zip(names, vgg.arguments(layer))]
        if layer.op == "adaptive_avgpool2d":
            require_identity(vgg.architecture, row)
        elif layer.op in OPERATORS:
            operator, attributes = OPERATORS[layer.op]
            nodes.append(helper.make_node(operator, [flow, *names], [layer.name], layer.name,
                                          **attributes(**dict(layer.options))))
            flow = layer.name
    size = vgg.architecture.input_size
    graph = helper.make_graph(
        nodes, vgg.architecture.name, [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(flow, TensorProto.FLOAT, ["N", vgg.architecture.num_classes])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save_model(model, path, save_as_external_data=True, location=f"{FILE}.data")
    return path


def require_identity(net, row):
    """ONNX has no adaptive pooling; in VGG it changes nothing where the last map has the size of its answer."""
    channels, *_ = row.output_shape
    if row.input_elements != row.output_elements:
        side = int((row.input_elements / channels) ** 0.5)
        raise UnsupportedError(f"ONNX cannot say that a {side}×{side} map is pooled to {net.pooled_size}×{net.pooled_size}; "
                               f"give pooled_size={side}")
