"""ONNX graphs as exporters and optimisers leave them: other axes, other nodes for batch norm, constants that are computed."""
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert import convert, formats

onnx = pytest.importorskip("onnx")
graphs = pytest.importorskip("witnesses.onnx_graphs")
runtime = pytest.importorskip("witnesses.onnx_runtime")
make, of_array = onnx.helper.make_node, onnx.numpy_helper.from_array

SMALL = {"width": 1 / 16, "head": "avg2 flatten 12 relu 5", "input_size": 64}


def arrived(folder, model):
    """ModelProto → convert.Understood, by way of a file."""
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    read = formats.read(folder / "net.onnx")
    return convert.understood(read.tensors, stated=read.stated)


def gap_to_onnx_runtime(folder, model, found, is_channels_last=False):
    """Of the largest answer."""
    from npvgg import network

    vgg = network.VGG(found.architecture, found.parameters, found.preset)
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 64), np.float32)
    theirs = runtime.run(folder / "net.onnx", np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if is_channels_last else x)
    return abs(vgg.forward(x) - theirs).max() / abs(theirs).max()


def plain(vgg):
    """The zoo's graph with a batch of any size and without its initialisers among the inputs."""
    model = graphs.mxnet(vgg, 13)
    del model.graph.input[1:]
    for value in (model.graph.input[0], *model.graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


def nodes(model, operator):
    return [node for node in model.graph.node if node.op_type == operator]


def constant(model, name, array):
    model.graph.initializer.append(of_array(np.array(array, order="C"), name))
    return name


def put(model, at, *new):
    """Insert nodes before the one with that number."""
    for number, node in enumerate(new):
        model.graph.node.insert(at + number, node)


def place(model, node):
    return list(model.graph.node).index(node)


def behind(model, node, *new):
    """Nodes between one and its users; "x" is what the first takes, "y" what the last makes."""
    output, inner = node.output[0], node.output[0] + "/before"
    node.output[0] = inner
    for step in new:
        step.input[:] = [{"x": inner}.get(name, name) for name in step.input]
        step.output[:] = [{"y": output}.get(name, name) for name in step.output]
    put(model, place(model, node) + 1, *new)


# ------------------------------------------------------------------------------------------------- axes


def tf2onnx_network(head):
    """A network whose batch norms are what Mul and Add are: mean 0, variance 1 and no ε."""
    vgg = lively("vgg16", width=1 / 16, head=head, input_size=64)
    trivial = {path: np.full_like(array, path.endswith("var")) for path, array in vgg.parameters.items()
               if path.endswith(("/mean", "/var"))}
    return vgg.with_parameters(trivial)


@pytest.mark.parametrize("head", ["avg2 flatten 12 relu bn0.0 9 relu bn0.0 5", "avg2 flatten bn0.0 12 relu 5"])
def test_tf2onnx(tmp_path, head):
    vgg = tf2onnx_network(head)
    model = graphs.tf2onnx(vgg)
    found = arrived(tmp_path, model)
    assert found.architecture == vgg.architecture
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())
    assert gap_to_onnx_runtime(tmp_path, model, found, is_channels_last=True) < 1e-5


@pytest.mark.parametrize("tail", {
    "squeeze(3).squeeze(2)": [("GlobalAveragePool", {}), ("Squeeze", [3]), ("Squeeze", [2])],
    "mean(3).mean(2)": [("ReduceMean", {"axes": [3], "keepdims": 0}), ("ReduceMean", {"axes": [2], "keepdims": 0})],
    "mean(2).mean(2)": [("ReduceMean", {"axes": [2], "keepdims": 0}), ("ReduceMean", {"axes": [2], "keepdims": 0})],
    "axes that are kept": [("ReduceMean", {"axes": [3], "keepdims": 1}), ("ReduceMean", {"axes": [2], "keepdims": 1}),
                           ("Squeeze", [2, 3])],
    "channels last": [("Transpose", {"perm": [0, 2, 3, 1]}), ("ReduceMean", {"axes": [1, 2], "keepdims": 0})],
    "max(3).max(2)": [("ReduceMax", {"axes": [3], "keepdims": 0}), ("ReduceMax", {"axes": [2], "keepdims": 0})],
}.values(), ids=lambda tail: " ".join(operator for operator, _ in tail))
def test_poolings_in_two_steps(tmp_path, tail):
    kind = "max" if tail[0][0] == "ReduceMax" else "avg"
    vgg = lively("vgg11", **SMALL | {"head": f"{kind}1 flatten 12 relu 5"})
    model = plain(vgg)
    for node in list(model.graph.node):
        if node.op_type in ("AveragePool", "GlobalAveragePool", "GlobalMaxPool") or node.op_type == "MaxPool" and place(
                model, node) > place(model, nodes(model, "Conv")[-1]) + 2:
            node.op_type = "Identity"
            del node.attribute[:]
    first = nodes(model, "Flatten")[0]
    new = []
    for number, (operator, how) in enumerate(tail):
        names = ["x" if number == 0 else f"t{number}"]
        names += [constant(model, f"axes{number}", np.array(how))] if operator == "Squeeze" else []
        new.append(make(operator, names, [f"t{number + 1}"], **(how if isinstance(how, dict) else {})))
    new[0].input[0], new[-1].output[0] = first.input[0], first.output[0]
    at = place(model, first)
    model.graph.node.remove(first)
    put(model, at, *new)
    found = arrived(tmp_path, model)
    assert found.architecture == vgg.architecture and gap_to_onnx_runtime(tmp_path, model, found) < 1e-5


@pytest.mark.parametrize("tail, text", {
    "half a pooling": ([("ReduceMean", {"axes": [3], "keepdims": 1})], "stands where a VGG has none|reshapes|flattens"),
    "two kinds": ([("ReduceMean", {"axes": [3], "keepdims": 1}), ("ReduceMax", {"axes": [2], "keepdims": 1})],
                  "reduces the axes"),
    "over the channels": ([("ReduceMean", {"axes": [1], "keepdims": 1})], "reduces the axes"),
    "sides exchanged": ([("Transpose", {"perm": [0, 1, 3, 2]})], "axes are NCWH"),
}.values(), ids=str)
def test_what_no_pooling_is_is_refused(tmp_path, tail, text):
    model = plain(lively("vgg11", **SMALL))
    new = [make(operator, ["x" if number == 0 else f"t{number}"], ["y" if number == len(tail) - 1 else f"t{number + 1}"], **how)
           for number, (operator, how) in enumerate(tail)]
    behind(model, nodes(model, "MaxPool")[-1], *new)
    with pytest.raises(UnsupportedError, match=text):
        arrived(tmp_path, model)


def test_a_product_of_sizes(tmp_path):
    """x.view(x.size(0), x.size(1) * x.size(2) * x.size(3))."""
    vgg = lively("vgg11", **SMALL)
    model = plain(vgg)
    first = nodes(model, "Flatten")[0]
    names = [constant(model, f"axis{axis}", np.array([axis])) for axis in range(4)]
    new = [make("Shape", [first.input[0]], ["shape"]), *(make("Gather", ["shape", name], [f"s{name}"]) for name in names),
           make("Mul", ["saxis1", "saxis2"], ["two"]), make("Mul", ["two", "saxis3"], ["three"]),
           make("Concat", ["saxis0", "three"], ["size"], axis=0), make("Reshape", [first.input[0], "size"], [first.output[0]])]
    at = place(model, first)
    model.graph.node.remove(first)
    put(model, at, *new)
    found = arrived(tmp_path, model)
    assert found.architecture == vgg.architecture and gap_to_onnx_runtime(tmp_path, model, found) < 1e-5
    nodes(model, "Mul")[1].input[1] = "saxis0"
    with pytest.raises(UnsupportedError, match="reshapes to"):
        arrived(tmp_path, model)


# ------------------------------------------------------------------------------------------------- batch norm in parts


def normed(**options):
    return lively("vgg11_bn", **SMALL | options)


def test_a_batch_norm_that_was_folded_by_nodes(tmp_path):
    """onnxoptimizer writes W·(γ/√(σ²+ε)) and (b−μ)·(γ/√(σ²+ε))+β as nodes on constants."""
    vgg = normed()
    model = plain(vgg)
    constant(model, "ε", np.array([1e-5], "f4"))
    constant(model, "axes", np.array([1, 2, 3]))
    for number, norm in enumerate(nodes(model, "BatchNormalization")):
        conv = next(node for node in model.graph.node if node.output[0] == norm.input[0])
        scale, shift, mean, var = norm.input[1:]
        name = f"norm{number}"
        new = [make("Add", [var, "ε"], [f"{name}/a"]), make("Sqrt", [f"{name}/a"], [f"{name}/b"]),
               make("Div", [scale, f"{name}/b"], [f"{name}/c"]), make("Unsqueeze", [f"{name}/c", "axes"], [f"{name}/d"]),
               make("Mul", [conv.input[1], f"{name}/d"], [f"{name}/W"])]
        bias = [make("Sub", [conv.input[2], mean], [f"{name}/e"]),
                make("Mul", [f"{name}/e", f"{name}/c"], [f"{name}/f"]),
                make("Add", [f"{name}/f", shift], [f"{name}/B"])]
        at, output = place(model, conv), norm.output[0]
        conv.input[:] = [conv.input[0], f"{name}/W", f"{name}/B"]
        model.graph.node.remove(norm)
        conv.output[0] = output
        put(model, at, *new, *bias)
    found = arrived(tmp_path, model)
    assert found.architecture.name == "vgg11" and gap_to_onnx_runtime(tmp_path, model, found) < 1e-5


@pytest.mark.parametrize("operators", [("Mul", "Add"), ("Mul", "Sub"), ("Div", "Add"), ("Mul",)], ids=" ".join)
def test_a_batch_norm_as_arithmetic_on_maps(tmp_path, operators):
    vgg = normed()
    model = plain(vgg)
    rng = np.random.default_rng(3)
    for norm in nodes(model, "BatchNormalization"):
        count, = next(tensor.dims for tensor in model.graph.initializer if tensor.name == norm.input[1])
        at, (entrance, *unused), output = place(model, norm), norm.input, norm.output[0]
        model.graph.node.remove(norm)
        for tensor in [tensor for tensor in model.graph.initializer if tensor.name in unused]:
            model.graph.initializer.remove(tensor)
        flow = entrance
        for number, operator in enumerate(operators):
            numbers = constant(model, f"{output}/{number}", rng.uniform(0.5, 1.5, (count, 1, 1)).astype("f4"))
            left = output if number == len(operators) - 1 else f"{output}/after{number}"
            inputs = [numbers, flow] if operator == "Add" else [flow, numbers]
            put(model, at + number, make(operator, inputs, [left]))
            flow = left
    found = arrived(tmp_path, model)
    assert found.architecture == replace(vgg.architecture, eps=0.0)
    assert gap_to_onnx_runtime(tmp_path, model, found) < 1e-5


def test_arithmetic_where_no_batch_norm_is(tmp_path):
    model = plain(lively("vgg11", **SMALL))
    constant(model, "scale", np.array(1 / 255, "f4"))
    first = nodes(model, "Conv")[0]
    put(model, 0, make("Mul", [first.input[0], "scale"], ["scaled"]))
    first.input[0] = "scaled"
    with pytest.raises(UnsupportedError, match="changes the picture; export the network without the preparation"):
        arrived(tmp_path, model)
    model = plain(lively("vgg11", **SMALL))
    constant(model, "scale", np.array(2, "f4"))
    behind(model, nodes(model, "Relu")[0], make("Mul", ["x", "scale"], ["y"]))
    with pytest.raises((UnsupportedError, BadFileError), match="has relu1_1 behind conv1_1, where vgg11_bn has bn1_1"):
        arrived(tmp_path, model)
    model = plain(lively("vgg11", **SMALL))
    constant(model, "one", np.array(1, "f4"))
    behind(model, nodes(model, "Gemm")[0], make("Sub", ["one", "x"], ["y"]))
    with pytest.raises(UnsupportedError, match="has the picture as its second input"):
        arrived(tmp_path, model)


@pytest.mark.parametrize("activation, text", [("Relu", None), ("LeakyRelu", "ends with the activation 'LeakyRelu'")])
def test_onnx_runtimes_fused_nodes(tmp_path, activation, text):
    vgg = lively("vgg11", **SMALL)
    model = plain(vgg)
    for relu in nodes(model, "Relu"):
        before = next(node for node in model.graph.node if node.output[0] == relu.input[0])
        before.op_type, before.domain, before.output[0] = f"Fused{before.op_type}", "com.microsoft", relu.output[0]
        before.attribute.append(onnx.helper.make_attribute("activation", activation))
        model.graph.node.remove(relu)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    if text:
        with pytest.raises(UnsupportedError, match=text):
            arrived(tmp_path, model)
        return
    found = arrived(tmp_path, model)
    assert found.architecture == vgg.architecture
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())
    assert gap_to_onnx_runtime(tmp_path, model, found) < 1e-5


def test_a_condition_is_named(tmp_path):
    model = plain(lively("vgg11", **SMALL))
    relu = nodes(model, "Relu")[0]
    branch = onnx.helper.make_graph([make("Relu", list(relu.input), ["z"])], "branch", [], [
        onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None)])
    put(model, place(model, relu), make("If", [constant(model, "yes", np.array(True))], list(relu.output), then_branch=branch,
                                        else_branch=branch))
    model.graph.node.remove(relu)
    with pytest.raises(UnsupportedError, match=r"\('If'\) holds graphs of its own"):
        arrived(tmp_path, model)


def test_a_layout_for_one_processor_is_named(tmp_path):
    model = plain(lively("vgg11", **SMALL))
    nodes(model, "Conv")[0].domain = "com.microsoft.nchwc"
    with pytest.raises(UnsupportedError, match="laid out for one kind of processor"):
        arrived(tmp_path, model)


# ------------------------------------------------------------------------------------------------- counted before it is made


BOMBS = {
    "Concat": lambda name: make("Concat", ["big"] * 300, [name], axis=0),
    "Cast": lambda name: make("Cast", ["huge"], [name], to=onnx.TensorProto.DOUBLE),
    "Reshape": lambda name: make("Reshape", ["huge", "flat"], [name]),
    "Add": lambda name: make("Add", ["huge", "huge"], [name]),
    "Mul": lambda name: make("Mul", ["column", "row"], [name]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_constants_would_make_is_counted_first(tmp_path, bomb):
    model = plain(lively("vgg11", **SMALL))
    conv = nodes(model, "Conv")[0]
    for name, shape in {"big": [1 << 20], "huge": [200 << 20], "column": [1 << 16, 1], "row": [1, 1 << 16]}.items():
        constant(model, f"{name}/shape", np.array(shape))
        put(model, 0, make("ConstantOfShape", [f"{name}/shape"], [name]))
    constant(model, "flat", np.array([-1]))
    put(model, 4, BOMBS[bomb]("bomb"))
    conv.input[1] = "bomb"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    formats.onnx.imported()
    tracemalloc.start()
    try:
        with pytest.raises(BadFileError, match="its nodes make"):
            formats.read(tmp_path / "net.onnx")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_fill_costs_nothing(tmp_path):
    """The largest of VGG-16's, fc6's, would be 411 MB."""
    model = plain(lively("vgg11", **SMALL))
    constant(model, "shape", np.array([4096, 25088]))
    put(model, 0, make("ConstantOfShape", ["shape"], ["fill"]))
    nodes(model, "Gemm")[0].input[1] = "fill"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    formats.onnx.imported()
    tracemalloc.start()
    try:
        with pytest.raises(BadFileError, match="takes 25,088 numbers from maps"):
            formats.read(tmp_path / "net.onnx")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
