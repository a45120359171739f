"""ONNX models as others lay them out, node by node with onnx.helper: the zoo's of MXNet and of Caffe2, and timm's."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from npvgg.counting import describe

IR_VERSIONS = {3: 3, 6: 3, 7: 3, 8: 3, 9: 4, 11: 6, 12: 7, 13: 7, 14: 7, 17: 8, 21: 10}


class Writing:
    """A graph that grows at its end: `flow` is the name of the last output."""

    def __init__(self, entrance):
        self.nodes, self.constants, self.flow = [], [], entrance

    def constant(self, array, name=None):
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def node(self, operator, output, *arrays, outputs=(), **attributes):
        """Append a node; `arrays` are its constants, arrays or names of what is there."""
        names = [given if isinstance(given, str) else self.constant(given, f"{output}_{at}") for at, given in enumerate(arrays)]
        self.nodes.append(helper.make_node(operator, [self.flow, *names], [output, *outputs], output, **attributes))
        self.flow = output

    def model(self, net, opset, entrance, *, is_listed=False, batch=1, producer="", size=None):
        """`is_listed`: initialisers are inputs too, as before IR version 4."""
        side, classes = size or net.input_size, describe(net)[-1].output_shape
        inputs = [helper.make_tensor_value_info(entrance, TensorProto.FLOAT, [batch, 3, side, side])]
        listed = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in self.constants]
        graph = helper.make_graph(
            self.nodes, "vgg", inputs + listed * is_listed,
            [helper.make_tensor_value_info(self.flow, TensorProto.FLOAT, [batch, *classes])], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name=producer,
                                 ir_version=IR_VERSIONS[opset])


def mxnet(vgg, opset=7):
    """The zoo's vgg16-7, vgg19-bn-7, vgg16-12: Gluon's names, dropout kept, a Flatten before each dense layer, logits."""
    out, counts = Writing("data"), {"conv": 0, "pool": 0, "dense": 0}
    for layer in vgg.architecture.layers:
        arrays = layer.arrays(vgg.parameters)
        if layer.op == "conv2d":
            out.node("Conv", f"vgg0_conv{counts['conv']}_fwd", *arrays, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1],
                     dilations=[1, 1], group=1)
        elif layer.op == "batchnorm2d":
            # Its exporter says "per feature" by spatial=0 and gives one number a channel all the same.
            options = {"epsilon": 1e-5, "momentum": 0.9} | ({"spatial": 0} if opset < 9 else {})
            out.node("BatchNormalization", f"vgg0_batchnorm{counts['conv']}_fwd", *arrays, **options)
        elif layer.op == "relu" and not counts["dense"]:
            out.node("Relu", f"vgg0_relu{counts['conv']}_fwd")
            counts["conv"] += 1
        elif layer.op == "relu":
            out.node("Relu", f"vgg0_dense{counts['dense'] - 1}_relu_fwd")
        elif layer.op == "maxpool2d":
            out.node("MaxPool", f"vgg0_pool{counts['pool']}_fwd", kernel_shape=[2, 2], pads=[0] * 4, strides=[2, 2])
            counts["pool"] += 1
        elif layer.op == "dropout":
            ratio = [np.float32(0.5)] if opset >= 12 else []
            out.node("Dropout", f"vgg0_dropout{counts['dense'] - 1}_fwd", *ratio, **({} if ratio else {"ratio": 0.5}))
        elif layer.op == "dense":
            out.node("Flatten", f"flatten_{60 + 5 * counts['dense']}")
            out.node("Gemm", f"vgg0_dense{counts['dense']}_fwd", *arrays, alpha=1.0, beta=1.0, transA=0, transB=1)
            counts["dense"] += 1
    return out.model(vgg.architecture, opset, "data", is_listed=True)


def caffe2(vgg, opset=9):
    """The zoo's vgg19-caffe2: Reshape by an attribute or a tensor, dropout with its mask, probabilities."""
    out, old = Writing("data_0"), {"broadcast": 1} if opset < 7 else {}
    for layer in vgg.architecture.layers:
        arrays = layer.arrays(vgg.parameters)
        if layer.op == "conv2d":
            out.node("Conv", f"{layer.name}_1", *arrays, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
        elif layer.op == "relu":
            out.node("Relu", f"{layer.name}_2")
        elif layer.op == "maxpool2d":
            out.node("MaxPool", f"{layer.name}_1", kernel_shape=[2, 2], pads=[0] * 4, strides=[2, 2])
        elif layer.op == "flatten":
            shape = np.array([1, vgg.parameters["fc6/weight"].shape[1]])
            if opset < 5:
                out.node("Reshape", "OC2_DUMMY_0", shape=shape.tolist())
            else:
                out.node("Reshape", "OC2_DUMMY_0", out.constant(shape, "OC2_DUMMY_1"))
        elif layer.op == "dense":
            out.node("Gemm", f"{layer.name}_1", *arrays, transB=1, **old)
        elif layer.op == "dropout":
            options = {"ratio": 0.5} | ({"is_test": 1} if old else {})
            out.node("Dropout", f"{layer.name}_3", outputs=[f"_{layer.name}_mask_1"], **options)
    out.node("Softmax", "prob_1", axis=1)
    return out.model(vgg.architecture, opset, "data_0", is_listed=True, producer="onnx-caffe2")


def timm(vgg, opset=13):
    """timm's: the hidden dense layers are convolutions, then one mean over the map of 1×1; any batch."""
    out, net = Writing("input"), vgg.architecture
    for layer in net.layers:
        arrays = layer.arrays(vgg.parameters)
        if layer.op == "conv2d":
            out.node("Conv", layer.name, *arrays, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1], dilations=[1, 1], group=1)
        elif layer.op == "relu":
            out.node("Relu", layer.name)
        elif layer.op == "maxpool2d":
            out.node("MaxPool", layer.name, kernel_shape=[2, 2], strides=[2, 2])
        elif layer.op == "dense" and layer.name != f"fc{5 + len(net.dense_sizes)}":
            side = net.pooled_size if layer.name == "fc6" else 1
            out.node("Conv", layer.name, arrays[0].reshape(len(arrays[0]), -1, side, side), arrays[1], kernel_shape=[side] * 2)
        elif layer.op == "dense":
            out.node("GlobalAveragePool", "head_pool")
            out.node("Flatten", "head_flatten", axis=1)
            out.node("Gemm", layer.name, *arrays, transB=1)
    return out.model(net, opset, "input", batch="batch")


def channels_last(array, side):
    """Numbers for features in the order (c, h, w) → for (h, w, c)."""
    return np.moveaxis(array.reshape(*array.shape[:-1], -1, side, side), -3, -1).reshape(array.shape)


def tf2onnx(vgg, opset=13):
    """Keras' channels-last networks by tf2onnx: pictures and the flattened map are turned, the size of the batch is asked for,
    dense layers are MatMul and Add, batch norm behind them Mul and Add.
    """
    out, net, side = Writing("input"), vgg.architecture, vgg.architecture.pooled_size
    out.node("Transpose", "turned", perm=[0, 3, 1, 2])
    for layer in net.layers:
        arrays = layer.arrays(vgg.parameters)
        if layer.op == "conv2d":
            out.node("Conv", layer.name, *arrays, pads=[1] * 4, strides=[1, 1], dilations=[1, 1], group=1, kernel_shape=[3, 3])
        elif layer.op == "relu":
            out.node("Relu", layer.name)
        elif layer.op == "maxpool2d":
            out.node("MaxPool", layer.name, kernel_shape=[2, 2], strides=[2, 2])
        elif layer.op == "flatten":
            measured = out.flow
            out.node("Transpose", "back", perm=[0, 2, 3, 1])
            make = helper.make_node
            start, end, order, rest = (out.constant(np.array(value)) for value in ([0], [1], [0, 2, 3, 1], [-1]))
            out.nodes += [make("Shape", [measured], ["shape"]), make("Gather", ["shape", order], ["theirs"]),
                          make("Cast", ["theirs"], ["short"], to=TensorProto.INT32),
                          make("Slice", ["short", start, end, start], ["batch"]),
                          make("Cast", [rest], ["minus"], to=TensorProto.INT32),
                          make("Concat", ["batch", "minus"], ["size"], axis=0),
                          make("Cast", ["size"], ["long"], to=TensorProto.INT64)]
            out.node("Reshape", "flat", "long")
        elif layer.op == "dense":
            weight = channels_last(arrays[0], side) if layer.name == "fc6" else arrays[0]
            out.node("MatMul", f"{layer.name}/product", weight.T)
            out.node("Add", layer.name, arrays[1])
        elif layer.op == "batchnorm1d":
            arrays = [channels_last(array, side) for array in arrays] if layer.name == "bn5" else arrays
            out.node("Mul", f"{layer.name}/scaled", arrays[0])
            out.node("Add", layer.name, arrays[1])
    model = out.model(net, opset, "input", producer="tf2onnx", batch=0)
    size = model.graph.input[0].type.tensor_type.shape.dim
    for extent, value in zip(size, ("N", net.input_size, net.input_size, 3)):
        extent.Clear()
        if value == "N":
            extent.dim_param = value
        else:
            extent.dim_value = value
    return model
