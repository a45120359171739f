"""ONNX graphs in all the forms that mean a VGG, and those that do not."""
import sys
from dataclasses import replace

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import convert, formats
from weights_convert.formats import onnx as reader

onnx = pytest.importorskip("onnx")
graphs = pytest.importorskip("witnesses.onnx_graphs")

SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "input_size": 64, "pooled_size": 2}


def arrived(folder, model):
    """ModelProto → convert.Understood, by way of a file."""
    path = folder / "net.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    read = formats.read(path)
    assert read.container.startswith("ONNX graph (opset ")
    return convert.understood(read.tensors, stated=read.stated)


def has_bits_of(found, vgg):
    return found.parameters.keys() == vgg.parameters.keys() and all(
        found.parameters[path].dtype == np.float32 and np.array_equal(found.parameters[path], array)
        for path, array in vgg.parameters.items())


def initialiser(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def without_dropout(net):
    """The Architecture of an exported graph, from which dropout has gone."""
    return replace(net, head=net.head.replace(" drop", ""))


def node(model, operator, number=0):
    return [found for found in model.graph.node if found.op_type == operator][number]


def given(model, operator, attribute, value):
    """Set an attribute of the first node of that kind."""
    found = node(model, operator)
    kept = [other for other in found.attribute if other.name != attribute]
    del found.attribute[:]
    found.attribute.extend([*kept, onnx.helper.make_attribute(attribute, value)])


# ------------------------------------------------------------------------------------------------- whose graph it is


@pytest.mark.parametrize("name, opset", [("vgg16", 7), ("vgg16_bn", 7), ("vgg19", 7), ("vgg19_bn", 7), ("vgg16", 12)])
def test_the_zoos_mxnet_graphs(tmp_path, name, opset):
    vgg = lively(name, **SMALL)
    found = arrived(tmp_path, graphs.mxnet(vgg, opset))
    assert found.architecture == vgg.architecture and has_bits_of(found, vgg)
    assert (found.scheme.name, found.source_output, found.preset) == ("onnx", "logits", vgg.preset)


@pytest.mark.parametrize("opset", [3, 6, 7, 8, 9])
def test_the_zoos_caffe2_graphs(tmp_path, opset):
    vgg = lively("vgg19", **SMALL)
    found = arrived(tmp_path, graphs.caffe2(vgg, opset))
    assert found.architecture == vgg.architecture and has_bits_of(found, vgg)
    assert (found.source_output, found.preset.order) == ("probabilities", "BGR")
    assert found.preset.crop == 64


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_timms_graphs(tmp_path, opset):
    vgg = lively("vgg13", **SMALL)
    found = arrived(tmp_path, graphs.timm(vgg, opset))
    assert found.architecture == without_dropout(vgg.architecture) and has_bits_of(found, vgg)
    assert found.source_output == "logits"


@pytest.mark.parametrize("name, write, opset", [("vgg16_bn", graphs.mxnet, 9), ("vgg16", graphs.mxnet, 12),
                                                ("vgg19", graphs.caffe2, 9), ("c", graphs.timm, 13)],
                         ids=["mxnet 9", "mxnet 12", "caffe2", "timm"])
def test_onnx_runtime_computes_the_same_from_these_graphs(tmp_path, name, write, opset):
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    vgg = lively(name, **SMALL)
    path = tmp_path / "net.onnx"
    model = write(vgg, opset) if name != "c" else with_small_filters(write(vgg, opset))
    path.write_bytes(model.SerializeToString())
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    answer, ours = runtime.run(path, x), vgg.forward(x)
    ours = vgg.probabilities(ours) if write is graphs.caffe2 else ours
    assert abs(answer - ours).max() < 1e-5 * abs(ours).max()
    assert has_bits_of(arrived(tmp_path, model), vgg)


def with_small_filters(model):
    """The 1×1 convolutions of C, in the builder for 3×3."""
    for found in model.graph.node:
        if found.op_type == "Conv" and found.output[0].endswith("_3") and found.output[0][4] in "345":
            del found.attribute[:]
    return model


# ------------------------------------------------------------------------------------------------- where numbers come from


def through(model, operator, make, **attributes):
    """Put a node between each float initialiser and its user; `make(array)` → what that node takes as inputs."""
    first = []
    for tensor in list(model.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor)
        inputs = [onnx.numpy_helper.from_array(np.asarray(part), f"{tensor.name}_{at}") for at, part in enumerate(make(array))]
        first.append(onnx.helper.make_node(operator, [part.name for part in inputs], [tensor.name],
                                           **{key: value(array) for key, value in attributes.items()}))
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(inputs)
    nodes = first + list(model.graph.node)
    del model.graph.node[:], model.graph.input[1:]
    model.graph.node.extend(nodes)


def as_constants(model):
    through(model, "Constant", lambda array: [], value=onnx.numpy_helper.from_array)


def as_identities(model):
    through(model, "Identity", lambda array: [array])


def as_reshaped(model):
    through(model, "Reshape", lambda array: [array.reshape(-1), np.array([*array.shape[:-1], -1])])


def as_transposed(model):
    through(model, "Transpose", lambda array: [array.T], perm=lambda array: list(range(array.ndim))[::-1])


def as_transposed_by_default(model):
    through(model, "Transpose", lambda array: [np.ascontiguousarray(array.T)])


def as_cast(model):
    through(model, "Cast", lambda array: [array.astype(np.float64)], to=lambda array: onnx.TensorProto.FLOAT)


def as_unsqueezed(model):
    through(model, "Squeeze", lambda array: [array[None]], axes=lambda array: [0])


def as_lists(model):
    for tensor in model.graph.initializer:
        tensor.float_data.extend(onnx.numpy_helper.to_array(tensor).reshape(-1).tolist())
        tensor.ClearField("raw_data")


def as_doubles(model):
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


FORMS = [as_constants, as_identities, as_reshaped, as_transposed, as_transposed_by_default, as_cast, as_unsqueezed, as_lists,
         as_doubles]


@pytest.mark.parametrize("change", FORMS, ids=lambda change: change.__name__)
def test_numbers_in_every_form(tmp_path, change):
    vgg = lively("vgg11", **SMALL)
    model = graphs.mxnet(vgg, 12)
    del model.graph.input[1:]
    node(model, "Dropout").input.pop(), node(model, "Dropout", 1).input.pop()
    for tensor in [tensor for tensor in model.graph.initializer if not tensor.dims]:
        model.graph.initializer.remove(tensor)
    change(model)
    assert has_bits_of(arrived(tmp_path, model), vgg)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("is_list", [False, True], ids=["raw", "list"])
def test_16_bit_floats_become_float32_exactly(tmp_path, dtype, is_list):
    vgg = lively("vgg11", **SMALL)
    code = onnx.TensorProto.FLOAT16 if dtype == "float16" else onnx.TensorProto.BFLOAT16
    vgg = vgg.with_parameters({path: rounded(array, dtype) for path, array in vgg.parameters.items()})
    model = graphs.mxnet(vgg, 13)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        bits = array.astype("f2").view("<u2") if dtype == "float16" else (array.view("<u4") >> 16).astype("<u2")
        tensor.data_type = code
        tensor.ClearField("raw_data")
        if is_list:
            tensor.int32_data.extend(bits.reshape(-1).tolist())
        else:
            tensor.raw_data = bits.tobytes()
    assert has_bits_of(arrived(tmp_path, model), vgg)


def rounded(array, dtype):
    return array.astype("f2").astype("f4") if dtype == "float16" else (array.view("<u4") & 0xFFFF0000).view("<f4")


def test_a_bias_of_zeros_from_a_shape_and_one_that_is_left_out(tmp_path):
    vgg = lively("vgg11", **SMALL)
    vgg = vgg.with_parameters({path: 0 * vgg.parameters[path] for path in ("conv1_1/bias", "fc7/bias")})
    model = graphs.mxnet(vgg, 12)
    node(model, "Gemm", 1).input.pop()
    bias = initialiser(model, node(model, "Conv").input[2])
    model.graph.initializer.remove(bias)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([len(vgg.parameters["conv1_1/bias"])]), "shape"))
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["shape"], [bias.name]))
    left = [tensor for tensor in model.graph.initializer if tensor.name == "vgg0_dense1_fwd_1"]
    model.graph.initializer.remove(*left)
    del model.graph.input[1:]
    assert has_bits_of(arrived(tmp_path, model), vgg)


def test_one_tensor_may_serve_two_layers(tmp_path):
    vgg = lively("vgg11", **SMALL)
    vgg = vgg.with_parameters({"conv3_2/bias": vgg.parameters["conv3_1/bias"]})
    model = graphs.timm(vgg)
    model.graph.initializer.remove(initialiser(model, node(model, "Conv", 3).input[2]))
    node(model, "Conv", 3).input[2] = node(model, "Conv", 2).input[2]
    assert has_bits_of(arrived(tmp_path, model), vgg)


# ------------------------------------------------------------------------------------------------- other nodes, same network


def dense(model, *new):
    """Replace the last Gemm by other nodes; "x" stands for what comes in, "y" for the output."""
    last = node(model, "Gemm", -1)
    names = {"x": last.input[0], "y": last.output[0], "W": last.input[1], "B": last.input[2]}
    model.graph.node.remove(last)
    for found in new:
        found.input[:], found.output[:] = ([names.get(name, name) for name in side] for side in (found.input, found.output))
    model.graph.node.extend(new)


def constant(model, name, array):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(array, order="C"), name))


def gemm_not_transposed(model, weight, bias):
    constant(model, "T", weight.T)
    dense(model, onnx.helper.make_node("Gemm", ["x", "T", "B"], ["y"]))


def gemm_with_factors(model, weight, bias):
    constant(model, "half", weight / 2)
    constant(model, "quarter", bias / 4)
    dense(model, onnx.helper.make_node("Gemm", ["x", "half", "quarter"], ["y"], transB=1, alpha=2.0, beta=4.0))


def matmul_and_add(model, weight, bias):
    constant(model, "T", weight.T)
    dense(model, onnx.helper.make_node("MatMul", ["x", "T"], ["product"]),
          onnx.helper.make_node("Add", ["product", "B"], ["y"]))


def add_before_matmul(model, weight, bias):
    """The bias is the first input, a row, and the weight is turned by a node."""
    constant(model, "row", bias[None])
    dense(model, onnx.helper.make_node("Transpose", ["W"], ["turned"], perm=[1, 0]),
          onnx.helper.make_node("MatMul", ["x", "turned"], ["product"]),
          onnx.helper.make_node("Add", ["row", "product"], ["y"]))


@pytest.mark.parametrize("change", [gemm_not_transposed, gemm_with_factors, matmul_and_add, add_before_matmul],
                         ids=lambda change: change.__name__)
def test_dense_layers_in_every_form(tmp_path, change):
    vgg = lively("vgg11", **SMALL)
    model = graphs.timm(vgg)
    weight, bias = (vgg.parameters[f"fc8/{kind}"] for kind in ("weight", "bias"))
    used = {"gemm_not_transposed": ["fc8_0"], "gemm_with_factors": ["fc8_0", "fc8_1"], "matmul_and_add": ["fc8_0"],
            "add_before_matmul": ["fc8_1"]}[change.__name__]
    change(model, weight, bias)
    for name in used:
        model.graph.initializer.remove(initialiser(model, name))
    assert has_bits_of(arrived(tmp_path, model), vgg)


def flattened(model, *new):
    """Replace the first Flatten of a mxnet graph, and leave the others out."""
    every = [found for found in model.graph.node if found.op_type == "Flatten"]
    names = {"x": every[0].input[0], "y": every[0].output[0]}
    for found in new:
        found.input[:], found.output[:] = ([names.get(name, name) for name in side] for side in (found.input, found.output))
    place = list(model.graph.node).index(every[0])
    model.graph.node.remove(every[0])
    for at, found in enumerate(new):
        model.graph.node.insert(place + at, found)


def by_a_size(model, *size):
    constant(model, "size", np.array(size))
    flattened(model, onnx.helper.make_node("Reshape", ["x", "size"], ["y"]))


def by_the_batch(model):
    """x.view(x.size(0), -1) as PyTorch wrote it."""
    constant(model, "zero", np.array(0))
    constant(model, "rest", np.array([-1]))
    make = onnx.helper.make_node
    flattened(model, make("Shape", ["x"], ["shape"]), make("Gather", ["shape", "zero"], ["batch"], axis=0),
              make("Unsqueeze", ["batch"], ["first"], axes=[0]), make("Concat", ["first", "rest"], ["size"], axis=0),
              make("Reshape", ["x", "size"], ["y"]))


def by_a_slice(model, measured="x"):
    for name, value in {"from": [0], "to": [1], "rest": [-1]}.items():
        constant(model, name, np.array(value))
    make = onnx.helper.make_node
    flattened(model, make("Shape", [measured], ["shape"]), make("Slice", ["shape", "from", "to"], ["first"]),
              make("Concat", ["first", "rest"], ["size"], axis=0), make("Reshape", ["x", "size"], ["y"]))


def by_a_part_of_the_shape(model):
    model.opset_import[0].version = 15
    constant(model, "rest", np.array([-1]))
    make = onnx.helper.make_node
    flattened(model, make("Shape", ["data"], ["first"], start=0, end=1),
              make("Concat", ["first", "rest"], ["size"], axis=0), make("Reshape", ["x", "size"], ["y"]))


def by_the_size_of_a_weight(model):
    by_a_slice(model, "vgg0_conv0_fwd_0")


@pytest.mark.parametrize("change", [lambda model: by_a_size(model, -1, 128), lambda model: by_a_size(model, 0, -1),
                                    lambda model: by_a_size(model, 1, -1), by_the_batch, by_a_slice,
                                    by_a_part_of_the_shape],
                         ids=["-1, I", "0, -1", "1, -1", "batch", "slice", "part of the shape"])
def test_flattening_in_every_form(tmp_path, change):
    vgg = lively("vgg11", **SMALL)
    model = graphs.mxnet(vgg, 11)
    change(model)
    assert has_bits_of(arrived(tmp_path, model), vgg)


@pytest.mark.parametrize("size, flat", [((-1, 64), "reshapes 128 numbers a picture to 64"), ((-1, -1), "reshapes to"),
                                        ((2, 2, -1), "reshapes to"), ((-1, 0), "reshapes to")], ids=str)
def test_a_reshape_that_is_no_flattening_is_refused(tmp_path, size, flat):
    model = graphs.mxnet(lively("vgg11", **SMALL), 11)
    by_a_size(model, *size)
    with pytest.raises(NpvggError, match=flat):
        arrived(tmp_path, model)


def test_a_reshape_to_the_size_of_something_else_is_refused(tmp_path):
    model = graphs.mxnet(lively("vgg11", **SMALL), 11)
    by_the_size_of_a_weight(model)
    with pytest.raises(UnsupportedError, match="reshapes to the size of something beside its way"):
        arrived(tmp_path, model)


def before_flatten(model, *new):
    """Insert nodes between the last pooling and the first Flatten of a mxnet graph."""
    flatten = node(model, "Flatten")
    names = {"x": flatten.input[0], "y": "pooled"}
    for found in new:
        found.input[:], found.output[:] = ([names.get(name, name) for name in side] for side in (found.input, found.output))
        model.graph.node.insert(list(model.graph.node).index(flatten), found)
    flatten.input[0] = "pooled"


def average(side):
    return onnx.helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[side] * 2, strides=[side] * 2)


POOLINGS = {
    "average of one": (2, 64, lambda: average(1)), "average of four": (2, 128, lambda: average(2)),
    "global": (1, 96, lambda: onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])),
    "mean": (1, 96, lambda: onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[-1, -2], keepdims=1)),
    "identity": (2, 64, lambda: onnx.helper.make_node("Identity", ["x"], ["y"])),
    "cast": (2, 64, lambda: onnx.helper.make_node("Cast", ["x"], ["y"], to=1)),
}


@pytest.mark.parametrize("pooled_size, size, make", POOLINGS.values(), ids=POOLINGS)
def test_pooling_before_the_classifier(tmp_path, pooled_size, size, make):
    vgg = lively("vgg11", **SMALL | {"pooled_size": pooled_size, "input_size": size})
    model = graphs.mxnet(vgg, 11)
    before_flatten(model, make())
    found = arrived(tmp_path, model)
    assert found.architecture == vgg.architecture and has_bits_of(found, vgg)
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    x = np.random.default_rng(1).standard_normal((1, 3, size, size), np.float32)
    ours = vgg.forward(x)
    assert abs(runtime.run(tmp_path / "net.onnx", x) - ours).max() < 1e-5 * abs(ours).max()


def test_without_a_fixed_size_the_classifier_tells_it(tmp_path):
    vgg = lively("vgg11", **SMALL)
    model = graphs.mxnet(vgg, 11)
    for extent in model.graph.input[0].type.tensor_type.shape.dim:
        extent.dim_param = "any"
    assert arrived(tmp_path, model).architecture == vgg.architecture


def with_epsilons(model, *values):
    """Give the batch norms of a graph these ε in turn; None leaves the attribute out."""
    norms = [found for found in model.graph.node if found.op_type == "BatchNormalization"]
    for number, found in enumerate(norms):
        kept = [entry for entry in found.attribute if entry.name != "epsilon"]
        value = values[number % len(values)]
        del found.attribute[:]
        found.attribute.extend(kept + ([] if value is None else [onnx.helper.make_attribute("epsilon", value)]))


@pytest.mark.parametrize("value, eps", [(1e-3, 1e-3), (0.05, 0.05), (0.0, 0.0), (None, 1e-5)])
def test_epsilon_is_kept(tmp_path, value, eps):
    vgg = lively("vgg11_bn", **SMALL)
    model = graphs.mxnet(vgg, 11)
    with_epsilons(model, value)
    found = arrived(tmp_path, model)
    assert found.architecture == replace(vgg.architecture, eps=eps) and has_bits_of(found, vgg) and not found.remarks[1:]


def test_what_some_batch_norms_lack_of_epsilon_moves_into_their_variances(tmp_path):
    vgg = lively("vgg11_bn", **SMALL)
    model = graphs.mxnet(vgg, 11)
    with_epsilons(model, 1e-3, 1e-3, 0.02)
    found = arrived(tmp_path, model)
    assert found.architecture.eps == 1e-3
    others = [layer.name for layer in vgg.architecture.layers if layer.op == "batchnorm2d"][2::3]
    for path, array in vgg.parameters.items():
        is_moved = path.removesuffix("/var") in others
        expected = (array.astype(np.float64) + (0.02 - 1e-3)).astype("f4") if is_moved else array
        assert np.array_equal(found.parameters[path], expected), path
    assert "have the epsilon 0.001; what others (0.02) have more" in formats.read(tmp_path / "net.onnx").remarks[0]


@pytest.mark.parametrize("size", [64, 224])
def test_features_without_a_classifier(tmp_path, size):
    vgg = lively("vgg11", width=1 / 16, head="", input_size=size)
    found = arrived(tmp_path, graphs.mxnet(vgg, 11))
    assert found.architecture == vgg.architecture and has_bits_of(found, vgg)


# ------------------------------------------------------------------------------------------------- what no VGG has


def renamed(operator, new):
    def change(model):
        node(model, operator).op_type = new
    return change


def setting(operator, attribute, value):
    return lambda model: given(model, operator, attribute, value)


def without_the_second_relu(model):
    gone = node(model, "Relu", 1)
    after = next(found for found in model.graph.node if gone.output[0] in found.input)
    after.input[0] = gone.input[0]
    model.graph.node.remove(gone)


def second_output(model):
    model.graph.output.append(onnx.helper.make_tensor_value_info("vgg0_relu0_fwd", 1, None))


def second_input(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", 1, [1]))


def branch(model):
    found = node(model, "Relu", 2)
    found.op_type = "Add"
    found.input.append(node(model, "Relu", 1).output[0])


def mask_is_used(model):
    found = node(model, "Dropout")
    found.output.append("mask")
    node(model, "Flatten", 1).input[0] = "mask"


def in_training(model):
    found = node(model, "Dropout")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "training"))
    found.input.append("training")


REFUSED = {
    "stride": (setting("Conv", "strides", [2, 2]), r"has strides \[2, 2\] where a VGG has \[1, 1\]"),
    "groups": (setting("Conv", "group", 2), "has group 2 where a VGG has 1"),
    "dilation": (setting("Conv", "dilations", [2, 2]), "has dilations"),
    "padding": (setting("Conv", "pads", [0, 0, 0, 0]), r"has the padding \[0, 0, 0, 0\] with filters of 3×3"),
    "uneven padding": (setting("Conv", "pads", [0, 1, 1, 1]), "has the padding"),
    "auto_pad": (setting("Conv", "auto_pad", "VALID"), "has the padding"),
    "kernel_shape": (setting("Conv", "kernel_shape", [5, 5]), "has kernel_shape"),
    "attribute": (setting("Conv", "activation", "Relu"), "has the attribute 'activation', which npvgg does not know"),
    "window": (setting("MaxPool", "kernel_shape", [3, 3]), "pools with .*where a VGG has"),
    "pool stride": (setting("MaxPool", "strides", [1, 1]), "pools with"),
    "pool padding": (setting("MaxPool", "pads", [1, 1, 1, 1]), "has pads"),
    "leaky": (renamed("Relu", "LeakyRelu"), "is none of a VGG's; npvgg knows Conv, "),
    "no ReLU": (without_the_second_relu, "its graph has pool2 behind conv2_1, where vgg11 has relu2_1"),
    "ReLU twice": (renamed("MaxPool", "Relu"), "its graph has relu1_1 twice; a VGG has one"),
    "outputs": (second_output, "it has 2 outputs"), "inputs": (second_input, "it has 2 inputs"),
    "branch": (branch, "joins 2 branches"), "mask": (mask_is_used, "uses a second output"),
    "dropout in training": (in_training, "is in training; export the network in evaluation mode"),
    "int8": (renamed("Conv", "QLinearConv"), r"it is a network in int8 \(QLinearConv\)"),
    "alpha": (setting("Gemm", "transA", 1), "has transA 1 where a VGG has 0"),
    "flatten": (setting("Flatten", "axis", 2), "flattens from axis 2"),
    "domain": (lambda model: setattr(node(model, "Conv"), "domain", "com.microsoft"), "com.microsoft.Conv"),
    "opset": (lambda model: setattr(model.opset_import[0], "version", 99), r"its opset is \[99\]; npvgg reads 1 to"),
    "whole numbers": (lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 2), "does not take floating"),
    "five channels": (lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 5), "the shape"),
    "oblong": (lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[3], "dim_value", 96), "the shape"),
    "another operator": (renamed("Relu", "Tanh"), "is none of a VGG's"),
    "the batch moved": (renamed("Relu", "Transpose"), "moves the axes of NCHW"),
    "another activation": (renamed("Relu", "Elu"), "is none of a VGG's"),
}


@pytest.mark.parametrize("change, text", REFUSED.values(), ids=REFUSED)
def test_what_no_vgg_has_is_not_supported(tmp_path, change, text):
    model = graphs.mxnet(lively("vgg11", **SMALL), 12)
    change(model)
    with pytest.raises(UnsupportedError, match=text) as caught:
        arrived(tmp_path, model)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize("operator, attribute, value, text", [
    ("BatchNormalization", "training_mode", 1, "has training_mode 1"),
    ("BatchNormalization", "epsilon", 2.0, "the epsilon 2.0"),
    ("Softmax", "axis", 0, "is taken along axis 0"), ("Softmax", "axis", 2, "is taken along axis 2"),
])
def test_options_that_change_the_answer_are_not_supported(tmp_path, operator, attribute, value, text):
    model = graphs.caffe2(lively("vgg11", **SMALL)) if operator == "Softmax" else graphs.mxnet(lively("vgg11_bn", **SMALL), 14)
    given(model, operator, attribute, value)
    with pytest.raises(UnsupportedError, match=text):
        arrived(tmp_path, model)


def extra(model):
    constant(model, "extra", np.zeros((2, 3), "f4"))


def extra_with_a_name_of_ours(model):
    constant(model, "conv1_1.W", np.zeros((4, 3, 3, 3), "f4"))


def not_a_number(model):
    tensor = initialiser(model, "vgg0_conv0_fwd_0")
    tensor.raw_data = b"\xff" * len(tensor.raw_data)


def misshapen(model):
    tensor = initialiser(model, "vgg0_conv0_fwd_1")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(7, "f4"), tensor.name))


def whole_numbers(model):
    tensor = initialiser(model, "vgg0_conv0_fwd_1")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(4, "i8"), tensor.name))


MISFITS = {
    "left over under a name of ours": (extra_with_a_name_of_ours, r"tensor conv1_1.W \(4, 3, 3, 3\) has no place"),
    "left over": (extra, r"tensor extra \(2, 3\) has no place"), "NaN": (not_a_number, "conv1_1.W holds NaN or infinity"),
    "misshapen": (misshapen, r"conv1_1.B has shape \(7,\) where \(4,\) belongs"),
    "whole numbers": (whole_numbers, "conv1_1.B is int64 where floating point belongs"),
}


@pytest.mark.parametrize("change, text", MISFITS.values(), ids=MISFITS)
def test_misfits_are_listed_and_nothing_is_written(tmp_path, change, text):
    model = graphs.mxnet(lively("vgg11", **SMALL), 11)
    change(model)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadFileError, match=f"net.onnx: {text}"):
        convert.convert(tmp_path / "net.onnx", tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_without_the_package_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r'pip install "npvgg\[onnx\]"'):
        formats.read(tmp_path / "net.onnx")


def test_it_is_told_by_its_first_bytes():
    assert reader.is_one(graphs.mxnet(lively("vgg11", **SMALL)).SerializeToString()[:512])
    assert not reader.is_one(b"") and not reader.is_one(b"\x08") and not reader.is_one(b"\x0a\x04name")
