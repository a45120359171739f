"""Networks with heads of every kind, from PyTorch's state dicts, from graphs, under every scheme's names, and back again."""
from dataclasses import replace

import numpy as np
import pytest
from witnesses.command import weights_convert as command_line
from witnesses.networks import lively

from npvgg import network, weights
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert import recognition, schemes
from weights_convert.convert import convert

SMALL = {"width": 1 / 16, "input_size": 64}               # pool5 gives 32 maps of 2×2
PAPER = "avg2 flatten 12 relu drop 9 relu drop 5"

# Heads that positions in a Sequential show, with the assumptions of weights_convert.schemes.heads.
SHOWN = {
    "the paper's": PAPER, "one dense layer": "avg2 flatten 5", "dropout first": "avg2 flatten drop 12 relu drop 9 relu 5",
    "no dropout": "avg2 flatten 12 relu 5", "nothing between": "avg2 flatten 12 5", "four dense layers":
    "avg2 flatten 12 relu drop 9 relu drop 7 relu 5", "batch norm": "avg2 flatten 12 bn relu drop 9 bn relu drop 5",
    "batch norm behind ReLU": "avg2 flatten 12 relu bn 5", "batch norm first": "avg2 flatten bn 12 relu 5",
    "batch norm last": "avg2 flatten 12 bn", "one output": "avg2 flatten 12 relu 1", "embedding": "avg2 flatten 4096 relu",
}
# Heads of which tensors show less.
HIDDEN = {
    "global average": "avg1 flatten 5", "global maximum": "max1 flatten 12 relu 5", "narrow embedding": "avg2 flatten 12 relu",
    "flat maps": "avg2 flatten", "maps": "avg2", "pool5": "", "batch norm on maps": "avg2 bn flatten 5",
    "another p": "avg2 flatten 12 relu drop0.25 5", "another ε": "avg2 flatten 12 bn0.003 relu 5",
}
OTHERS = {                                               # what else a network may be
    "grey": {"input_channels": 1}, "alpha": {"input_channels": 4}, "no biases": {"bias": False}, "average": {"pooling": "avg"},
    "epsilon": {"eps": 1e-3}, "labels": {"output": "sigmoid"}, "numbers": {"output": "none"},
}


def same_bits(vgg, other):
    return vgg.parameters.keys() == other.parameters.keys() and all(
        np.array_equal(array.view(np.uint32), other.parameters[path].view(np.uint32)) for path, array in vgg.parameters.items())


def said(net):
    """The options of `convert` that say everything which tensors do not."""
    return {"head": net.head, "output": net.output, "pooling": net.pooling, "eps": net.eps, "input_size": net.input_size,
            "padding_mode": net.padding_mode}


def pictures(net, count=2, side=None):
    shape = count, net.input_channels, side or net.input_size, side or net.input_size
    return np.random.default_rng(1).standard_normal(shape, np.float32)


# ------------------------------------------------------------------------------------------------- PyTorch's state dicts


def twin(net):
    torch_networks = pytest.importorskip("witnesses.torch_networks")
    return torch_networks.stirred(torch_networks.Twin(net))


def exact(model, x):
    import torch

    with torch.inference_mode():
        return model.double()(torch.from_numpy(x).double()).numpy()


def agrees(vgg, model, x):
    """Whether npvgg gives what the PyTorch module gives in float64."""
    theirs, ours = exact(model, x), vgg.forward(x)
    return ours.shape == theirs.shape and abs(ours - theirs).max() <= 1e-5 * abs(theirs).max() > 0


def state_file(folder, model):
    torch = pytest.importorskip("torch")
    torch.save(model.state_dict(), folder / "net.pth")
    return folder / "net.pth"


@pytest.mark.parametrize("head", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_what_positions_show(tmp_path, name, head):
    pytest.importorskip("torch")
    net = architecture(name, head=head, **SMALL)
    model = twin(net)
    report = convert(state_file(tmp_path, model), tmp_path / "out.h5")
    assert report.architecture == net and agrees(network.load_file(report.path), model, pictures(net))
    assert repr(head) in report.remarks[-1] and "(--head)" in report.remarks[-1]


@pytest.mark.parametrize("head", HIDDEN.values(), ids=HIDDEN)
def test_what_has_to_be_said(tmp_path, head):
    pytest.importorskip("torch")
    net = architecture("vgg11", head=head, **SMALL)
    model = twin(net)
    file = state_file(tmp_path, model)
    if "avg2 bn" in head:
        with pytest.raises(UnsupportedError, match="torchvision has no name for bn5"):
            convert(file, tmp_path / "out.h5", preset="torchvision", **said(net))
        return
    report = convert(file, tmp_path / "out.h5", preset="torchvision", **said(net))
    assert report.architecture == net and agrees(network.load_file(report.path), model, pictures(net))
    assert not any("assumed" in remark for remark in report.remarks) and weights.read(report.path).notes == ""


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_networks(tmp_path, change):
    pytest.importorskip("torch")
    net = architecture("vgg11_bn", head=SHOWN["batch norm"], **SMALL, **change)
    model = twin(net)
    options = {name: value for name, value in change.items() if name in ("pooling", "eps", "output")}
    report = convert(state_file(tmp_path, model), tmp_path / "out.h5", **options)
    assert report.architecture == net and agrees(network.load_file(report.path), model, pictures(net))


def test_assumptions_are_said_with_their_options_and_kept(tmp_path):
    pytest.importorskip("torch")
    net = architecture("vgg11_bn", head="avg1 flatten 5", width=1 / 16, input_size=96)
    file = state_file(tmp_path, twin(net))
    run = command_line(file, tmp_path / "out.h5", "--notes", "by hand")
    (note,) = [line for line in run.err.splitlines() if line.startswith("note: not shown by the tensors, and so assumed: ")]
    for part in ("the head 'avg1 flatten 5'", "(--head)", "pictures of side 32 (--input-size)", "global average pooling",
                 "max pooling in the blocks (--pooling)", "ε = 1e-05 in batch norm (--eps)", "answers by softmax (--output)",
                 "borders by zeros (--padding)", "pictures prepared as torchvision does (--preset)"):
        assert part in note
    assert weights.read(tmp_path / "out.h5").notes == f"by hand; {note.removeprefix('note: ')}"
    run = command_line(file, tmp_path / "out.h5", "--force", "--input-size", "96", "--pooling", "max", "--eps", "1e-5",
                       "--output", "softmax", "--head", "avg1 flatten 5", "--padding", "zeros", "--preset", "torchvision")
    assert "assumed" not in run.err and network.load_file(tmp_path / "out.h5").architecture == net
    assert "; " not in weights.read(tmp_path / "out.h5").notes


@pytest.mark.parametrize("head, text", [
    ("avg2 flatten 12 relu drop 6", r"classifier.3.bias has shape \(5,\) where \(6,\) belongs"),
    ("avg2 flatten 12 relu 5", r"classifier.2.weight \(5, 12\) is missing"),
    ("avg1 flatten 12 relu drop 5", r"classifier.0.weight has shape \(12, 128\) where \(12, 32\) belongs"),
    ("avg2 flatten 12 bn relu drop 5", "classifier.1.weight .12,. is missing"),
])
def test_a_head_that_is_given_has_to_fit_the_tensors(tmp_path, head, text):
    pytest.importorskip("torch")
    file = state_file(tmp_path, twin(architecture("vgg11", head="avg2 flatten 12 relu drop 5", **SMALL)))
    with pytest.raises(BadFileError, match=text):
        convert(file, tmp_path / "out.h5", head=head)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_gap_that_npvgg_cannot_fill_needs_the_head(tmp_path):
    pytest.importorskip("torch")
    net = architecture("vgg11", head="avg2 flatten 12 relu drop drop 5", **SMALL)
    file = state_file(tmp_path, twin(net))
    with pytest.raises(BadFileError, match="3 modules without tensors stand in front of classifier.4.*--head"):
        convert(file, tmp_path / "out.h5")
    assert convert(file, tmp_path / "out.h5", head=net.head).architecture == net


@pytest.mark.parametrize("options, text", [
    ({"head": "avg2 flatten 5 what"}, "the head has no 'what'"), ({"output": "argmax"}, "output is 'argmax'"),
    ({"pooling": "mean"}, "pooling is 'mean'"), ({"eps": -1.0}, "eps is -1.0"), ({"ep": 1}, "a conversion has no option 'ep'"),
])
def test_options_that_make_no_sense_are_refused(tmp_path, options, text):
    file = lively("vgg11", head="avg2 flatten 5", **SMALL).save(tmp_path / "in.h5")
    with pytest.raises(UsageError, match=text):
        convert(file, tmp_path / "out.h5", **options)


def test_a_classifier_under_other_names_is_not_thrown_away(tmp_path):
    """Only a classifier that holds nothing but NaN is."""
    vgg = lively("vgg11", head="avg2 flatten 5", **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "in.npz", keys="torchvision").path
    with np.load(out) as file:
        tensors = {key.replace("classifier.0.", "classifier."): file[key] for key in file}
    np.savez(tmp_path / "other.npz", **tensors)
    assert network.load_file(convert(tmp_path / "other.npz", tmp_path / "out.h5").path).architecture.head == "avg2 flatten 5"
    np.savez(tmp_path / "other.npz", **{key.replace("classifier.", "to.classes.of."): tensors[key] for key in tensors},
             more=np.ones((3, 3), np.float32))
    with pytest.raises(BadFileError, match=r"more \(3, 3\) has no place"):
        convert(tmp_path / "other.npz", tmp_path / "out.h5", force=True)


# ------------------------------------------------------------------------------------------------- schemes, out and back

IN_TURN = {"the paper's": PAPER, "one dense layer": "avg2 flatten 5", "two": "avg2 flatten 9 relu drop 5", "four":
           "avg2 flatten 12 relu drop 9 relu drop 7 relu drop 5", "embedding": "avg2 flatten 12 relu", "one output":
           "avg2 flatten 12 relu drop 1", "global average": "avg1 flatten 12 relu drop 5", "maps": "avg2", "pool5": ""}
SEQUENTIAL = {name: head for name, head in (SHOWN | HIDDEN).items()
              if not head.startswith(("max1", "avg2 bn")) and "0.003" not in head}
BY_SCHEME = {
    "npvgg": SHOWN | HIDDEN, "torchvision": SEQUENTIAL, "mmpretrain": SEQUENTIAL, "keras": IN_TURN, "keras-by-class": IN_TURN,
    "pytorchvggnet": IN_TURN,
    "caffe": {name: IN_TURN[name] for name in ("the paper's", "four", "embedding", "maps", "pool5")},
    "timm": {"the paper's": PAPER, "no dropout": "avg2 flatten 12 relu 9 relu 5",
             "embedding": "avg2 flatten 12 relu drop 9 relu"},
}
CASES = [pytest.param(scheme, head, id=f"{scheme}: {name}") for scheme, heads in BY_SCHEME.items()
         for name, head in heads.items()]


@pytest.mark.parametrize("scheme, head", CASES)
def test_there_and_back_keeps_every_bit_and_the_architecture(tmp_path, scheme, head):
    padding = schemes.find(scheme).padding_mode
    vgg = lively("vgg16", head=head, padding_mode=padding, **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.npz", keys=scheme).path
    report = convert(out, tmp_path / "back.h5", scheme=scheme, model="vgg16", **said(vgg.architecture))
    back = network.load_file(report.path)
    assert report.scheme == scheme and back.architecture == vgg.architecture and same_bits(back, vgg)


@pytest.mark.parametrize("scheme", ["keras", "keras-by-class", "pytorchvggnet", "npvgg", "caffe", "timm", "torchvision",
                                    "mmpretrain"])
def test_without_a_word_the_papers_head_is_what_comes_back(tmp_path, scheme):
    vgg = lively("vgg16", head=PAPER, padding_mode=schemes.find(scheme).padding_mode, **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.npz", keys=scheme).path
    assert convert(out, tmp_path / "back.h5", model="vgg16").architecture == vgg.architecture


@pytest.mark.parametrize("scheme, head", [
    ("keras", "avg2 flatten 12 relu drop 9 relu"), ("caffe", "avg2 flatten 12 relu"),
    ("timm", "avg2 flatten 12 relu drop 9 relu"), ("torchvision", "avg2 flatten 4096 relu"),
    ("npvgg", "avg2 flatten 12 relu drop 4096 relu"), ("npvgg", "avg2 bn flatten 12 bn relu drop 5")])
def test_networks_that_end_before_the_classes_are_seen_by_their_names(tmp_path, scheme, head):
    vgg = lively("vgg16", head=head, **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.npz", keys=scheme).path
    assert convert(out, tmp_path / "back.h5", model="vgg16").architecture == vgg.architecture


REFUSED = {
    "timm": ({"head": "avg2 flatten 5"}, "timm has no network with the head 'avg2 flatten 5': two dense layers"),
    "keras, batch norm": ({"head": "avg2 flatten 12 bn relu 5"}, "keras has no bn6 in its classifier"),
    "keras, no ReLU": ({"head": "avg2 flatten 12 5"}, "keras has no dense layer behind another .fc7."),
    "caffe": ({"head": "avg2 flatten 12 relu 5"}, "caffe has no network that ends with fc7: fc8 gives the classes"),
    "torchvision, maximum": ({"head": "max1 flatten 5"}, "torchvision has no maxpool between pool5 and its classifier"),
    "mmpretrain, ReLU on maps": ({"head": "avg2 relu flatten 5"}, "mmpretrain has no relu5 between pool5"),
    "torchvision, average": ({"pooling": "avg"}, "torchvision has no network with average pooling in its blocks"),
    "torchvision, ε": ({"name": "vgg11_bn", "eps": 1e-3}, "torchvision has no batch norm with an ε of 0.001"),
    "torchvision, ε in the head": ({"head": "avg2 flatten 12 bn0.1 5"}, "torchvision has no batch norm with an ε of 0.1"),
    "torchvision, LRN": ({"name": "a_lrn"}, "torchvision has no a_lrn"), "timm, LRN": ({"name": "a_lrn"}, "timm has no a_lrn"),
    "torchvision, C": ({"name": "c"}, "torchvision has no c"),
    "keras, _bn": ({"name": "vgg16_bn"}, "keras has no vgg16_bn"),
}


@pytest.mark.parametrize("keys, change, text", [(name.partition(",")[0], *case) for name, case in REFUSED.items()], ids=REFUSED)
def test_what_the_other_side_does_not_have_is_named(tmp_path, keys, change, text):
    vgg = lively(**{"name": "vgg11", "head": PAPER} | SMALL | change)
    with pytest.raises(UnsupportedError, match=f"{text}.*; choose other keys with --keys"):
        convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.npz", keys=keys)
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5"]


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_safetensors_keep_everything(tmp_path, change):
    pytest.importorskip("safetensors")
    vgg = lively("vgg13_bn", head="max1 flatten 12 bn0.003 relu drop0.25 5", **SMALL, **change)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.safetensors", keys="npvgg").path
    back = network.load_file(convert(out, tmp_path / "back.h5").path)
    assert back.architecture == vgg.architecture and same_bits(back, vgg)


def test_keras_flattens_its_maps_in_another_order(tmp_path):
    """fc1's row (i, j, c) belongs to the pixel (i, j) of map c, whatever the side of the map."""
    vgg = lively("vgg16", head="avg2 flatten 12 relu drop 9 relu drop 5", **SMALL)
    for scheme, key in (("keras", "fc1/kernel"), ("keras-by-class", "dense/kernel")):
        out = convert(vgg.save(tmp_path / "in.h5", force=True), tmp_path / "out.npz", keys=scheme, force=True).path
        with np.load(out) as file:
            kernel = file[key]
        maps = pictures(vgg.architecture, 3, 2)[:, :1] * np.arange(32, dtype=np.float32).reshape(1, 32, 1, 1)
        theirs = maps.transpose(0, 2, 3, 1).reshape(3, -1) @ kernel
        ours = maps.reshape(3, -1) @ vgg.parameters["fc6/weight"].T
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-3)


def test_the_weights_of_keras_are_not_what_npvgg_writes(tmp_path):
    vgg = lively("vgg11", head="avg2 flatten 5", **SMALL)
    with pytest.raises(UsageError, match="x.weights.h5 is called as Keras' own weights are.* such as x.h5"):
        convert(vgg.save(tmp_path / "in.h5"), tmp_path / "x.weights.h5")


# ------------------------------------------------------------------------------------------------- graphs


def foreign(path):
    """Take npvgg's own description out of a graph."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())


GRAPHS = [pytest.param(head, {}, id=name) for name, head in (SHOWN | HIDDEN).items()] + [
    pytest.param(SHOWN["batch norm"], change, id=name) for name, change in OTHERS.items()]


@pytest.mark.parametrize("head, change", GRAPHS)
def test_graphs_of_every_head(tmp_path, head, change):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    vgg = lively("vgg11_bn", head=head, **SMALL, **change)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "net.onnx").path
    x = pictures(vgg.architecture)
    ours = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    answer = runtime.run(out, x)
    assert answer.shape == ours.shape and abs(answer - ours).max() < 1e-5 * abs(ours).max()
    back = network.load_file(convert(out, tmp_path / "back.h5").path)
    assert back.architecture == vgg.architecture and same_bits(back, vgg)

    # A graph shows everything by itself, but dropout and what makes probabilities.
    foreign(out)
    report = convert(out, tmp_path / "again.h5", output=vgg.architecture.output)
    again = network.load_file(report.path)
    assert same_bits(again, vgg) and recognition.computes_the_same(again.architecture, vgg.architecture)
    assert replace(again.architecture, head=head) == vgg.architecture
    assert "--head" not in " ".join(report.remarks)


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
@pytest.mark.parametrize("opset", [17, 21])
def test_graphs_that_end_with_probabilities(tmp_path, end, opset):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    vgg = lively("vgg11", head=PAPER, output=end, **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "net.onnx", opset=opset, **{end: True}).path
    x = pictures(vgg.architecture)
    logits = vgg.forward(x).astype(np.float64)
    expected = 1 / (1 + np.exp(-logits)) if end == "sigmoid" else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert abs(runtime.run(out, x) - expected).max() < 1e-5
    foreign(out)
    report = convert(out, tmp_path / "back.h5")
    assert (report.architecture.output, report.source_output) == (end, "probabilities")
    other = {"softmax": "sigmoid", "sigmoid": "softmax"}[end]
    with pytest.raises(UsageError, match=f"--output says {other} and the file shows {end}"):
        convert(out, tmp_path / "other.h5", output=other)
    with pytest.raises(UsageError, match=f"--{other} cannot end a network whose probabilities come by {end}"):
        convert(tmp_path / "in.h5", tmp_path / "other.onnx", **{other: True})


@pytest.mark.parametrize("options, text", [
    ({"pooling": "avg"}, "--pooling says avg and the file shows max"),
    ({"eps": 1e-3}, "--eps says 0.001 and the file shows 1e-05"),
    ({"head": "avg2 flatten 12 relu 9 5"}, "--head says 'avg2 flatten 12 relu 9 5' and the file shows"),
])
def test_a_graph_is_not_contradicted(tmp_path, options, text):
    pytest.importorskip("onnx")
    out = convert(lively("vgg11_bn", head=PAPER, **SMALL).save(tmp_path / "in.h5"), tmp_path / "net.onnx").path
    foreign(out)
    with pytest.raises(UsageError, match=text):
        convert(out, tmp_path / "out.h5", **options)
    same = "avg2 flatten drop 12 relu drop0.1 9 relu 5"
    assert convert(out, tmp_path / "out.h5", head=same).architecture.head == same


@pytest.mark.parametrize("head, change, end", [
    (SHOWN["batch norm"], {}, "Sigmoid"), ("max1 flatten 12 relu 5", {"pooling": "avg"}, "LogSoftmax"),
    ("avg1 flatten 1", {"input_channels": 1, "bias": False}, "Sigmoid"), ("avg2 flatten 12 relu", {"eps": 1e-3}, None),
    ("avg1 flatten 5", {"input_channels": 4}, "Softmax"), ("", {}, None),
], ids=str)
def test_what_pytorch_exports(tmp_path, head, change, end):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    net = architecture("vgg11_bn", head=head, **SMALL | {"input_size": 96}, **change)
    if "avg2" in head:
        net = replace(net, input_size=64)
    model = twin(net)
    ended = torch.nn.Sequential(model, getattr(torch.nn, end)(*[1] * (end != "Sigmoid"))) if end else model
    x = torch.from_numpy(pictures(net))
    torch.onnx.export(ended.eval(), (x,), str(tmp_path / "net.onnx"), dynamo=False, opset_version=17, do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE)
    report = convert(tmp_path / "net.onnx", tmp_path / "out.h5")
    output = {"LogSoftmax": "softmax", None: "none"}.get(end, (end or "").lower())
    assert report.architecture == replace(net, head=report.architecture.head, output=output)
    assert recognition.computes_the_same(report.architecture, net)
    assert ("LogSoftmax, is left out" in " ".join(report.remarks)) == (end == "LogSoftmax")
    ours, answer = network.load_file(report.path).forward(x.numpy()), runtime.run(tmp_path / "net.onnx", x.numpy())
    probable = {"Sigmoid": torch.nn.Sigmoid(), "Softmax": torch.nn.Softmax(1), "LogSoftmax": torch.nn.LogSoftmax(1)}.get(end)
    ours = probable(torch.from_numpy(ours)).numpy() if probable else ours
    largest = 1 if probable else abs(answer).max()
    assert ours.shape == answer.shape and abs(ours - answer).max() <= 1e-5 * largest


def test_a_graph_whose_blocks_pool_in_two_ways_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    out = convert(lively("vgg11", head=PAPER, **SMALL).save(tmp_path / "in.h5"), tmp_path / "net.onnx").path
    model = onnx.load(out)
    next(node for node in model.graph.node if node.op_type == "MaxPool").op_type = "AveragePool"
    out.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="some of its blocks end with maximum and others with average pooling"):
        convert(out, tmp_path / "out.h5")


@pytest.mark.parametrize("keys, size", [("max3 flatten 5", 64), ("avg7 flatten 5", 96)])
def test_maps_that_onnx_cannot_pool_are_refused(tmp_path, keys, size):
    pytest.importorskip("onnx")
    vgg = lively("vgg11", head=keys, width=1 / 16, input_size=size)
    with pytest.raises(UnsupportedError, match="ONNX has no operator that pools a map of side .* give another --input-size"):
        convert(vgg.save(tmp_path / "in.h5"), tmp_path / "net.onnx")
