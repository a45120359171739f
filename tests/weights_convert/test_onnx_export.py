"""npvgg's networks as ONNX: accepted by the checker and by ONNX Runtime, and back again bit for bit."""
import json

import numpy as np
import pytest
from witnesses.command import weights_convert as command_line
from witnesses.networks import lively, photograph

from npvgg import images, network
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from npvgg.parity import difference
from weights_convert.convert import convert
from weights_convert.formats.onnx import writing

onnx = pytest.importorskip("onnx")

SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 3, "input_size": 64, "pooled_size": 2}
NETWORKS = {
    "vgg11": {}, "vgg13_bn": {}, "a_lrn": {}, "c": {}, "vgg16": {"padding_mode": "reflect"}, "vgg19": {"hidden": ()},
    "vgg11_bn": {"num_classes": None, "input_size": 224, "pooled_size": 7},
    "vgg13": {"input_size": 128},
}


def written(folder, name, **options):
    """A lively network of NETWORKS in a weights file."""
    return lively(name, preset="caffe", **SMALL | NETWORKS[name] | options).save(folder / "net.h5")


def same_parameters(a, b):
    return a.parameters.keys() == b.parameters.keys() and all(
        np.array_equal(array.view(np.uint32), b.parameters[path].view(np.uint32)) for path, array in a.parameters.items())


@pytest.mark.parametrize("opset", writing.OPSETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_there_and_back_is_bit_exact(tmp_path, name, opset):
    source = written(tmp_path, name)
    out = convert(source, tmp_path / "net.onnx", opset=opset).path
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [opset] and model.ir_version == writing.OPSETS[opset]
    back, vgg = network.load_file(convert(out, tmp_path / "back.h5").path), network.load_file(source)
    assert (back.architecture, back.preset, back.source_output) == (vgg.architecture, vgg.preset, "logits")
    assert same_parameters(back, vgg)


@pytest.mark.parametrize("opset", writing.OPSETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_gives_our_answer_for_any_batch(tmp_path, name, opset):
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    source = written(tmp_path, name)
    vgg, out = network.load_file(source), convert(source, tmp_path / "net.onnx", opset=opset).path
    for batch in (1, 3):
        size = vgg.architecture.input_size
        x = np.random.default_rng(batch).standard_normal((batch, 3, size, size), np.float32)
        exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
        answer = runtime.run(out, x)
        assert answer.shape == exact.shape and abs(answer - exact).max() < 1e-5 * abs(exact).max()


def test_a_soft_max_at_the_end(tmp_path):
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    source = written(tmp_path, "vgg11")
    out = convert(source, tmp_path / "net.onnx", softmax=True).path
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64), np.float32)
    vgg = network.load_file(source)
    assert abs(runtime.run(out, x) - vgg.probabilities(vgg.forward(x))).max() < 1e-5
    report = convert(out, tmp_path / "back.h5")
    assert report.source_output == "probabilities" and same_parameters(network.load_file(report.path), vgg)
    features = lively("vgg11", width=1 / 16, num_classes=None)
    with pytest.raises(UsageError, match="no classes to take the softmax over"):
        writing.write(tmp_path / "f.onnx", features, softmax=True)


def test_what_the_metadata_say(tmp_path):
    vgg = lively("vgg11", preset="caffe", class_names=("ant", "bée", "gnu"), **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "net.onnx").path
    model = onnx.load(out)
    said = json.loads({entry.key: entry.value for entry in model.metadata_props}["npvgg"])
    assert images.Preset.from_json(said["preset"]) == images.preset("caffe") and said["labels"] == ["ant", "bée", "gnu"]
    assert model.producer_name == "npvgg" and [value.name for value in model.graph.output] == ["logits"]
    back = network.load_file(convert(out, tmp_path / "back.h5").path)
    assert back.class_names == ("ant", "bée", "gnu") and back.preset.order == "BGR"
    other = convert(out, tmp_path / "other.h5", preset="torchvision")
    assert network.load_file(other.path).preset.name == "torchvision"


def test_metadata_that_tell_of_another_network_are_refused(tmp_path):
    vgg = lively("vgg11", **SMALL)
    for change in ({"input_size": 128}, {"name": "vgg13"}, {"padding_mode": "reflect"}):
        model = writing.model(vgg, 17)
        entry = model.metadata_props[0]
        said = json.loads(entry.value)
        said["architecture"] = json.dumps(json.loads(said["architecture"]) | change)
        entry.value = json.dumps(said)
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        with pytest.raises((BadFileError, UnsupportedError)) as caught:
            convert(tmp_path / "net.onnx", tmp_path / "out.h5")
        assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("out, options, error, text", [
    ("out.onnx", {"keys": "timm"}, UsageError, "is a graph and has no keys"),
    ("out.onnx", {"opset": 16}, UsageError, "npvgg does not write opset 16; choose one of 17, 21"),
    ("out.pth", {"opset": 17}, UsageError, "is not a graph; use --opset, --softmax and --sigmoid with .onnx"),
    ("out.h5", {"softmax": True}, UsageError, "is an npvgg weights file, not a graph"),
    ("out.onnx", {"input_size": 96}, UnsupportedError, "map of side 3 to one of 2; give another --input-size, for example 64"),
])
def test_what_cannot_be_written_is_one_sentence(tmp_path, out, options, error, text):
    source = written(tmp_path, "vgg11")
    with pytest.raises(error, match=text):
        convert(source, tmp_path / out, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]


def test_the_command_writes_a_graph(tmp_path):
    out = tmp_path / "out.onnx"
    run = command_line(written(tmp_path, "vgg11"), out, "--opset", "21", "--softmax")
    assert (run.status, run.out) == (0, f"{out}\n")
    again = command_line(out, tmp_path / "again.h5")
    assert again.status == 0 and "ONNX graph (opset 21) of onnx" in again.err
    assert "the file's own last layer gives probabilities" in again.err


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn"])
def test_at_full_size(tmp_path, name):
    """Half a gigabyte a file:  python -m pytest -m heavy tests/weights_convert/test_onnx_export.py"""
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    source = lively(name).save(tmp_path / "net.h5")
    out, vgg = convert(source, tmp_path / "net.onnx").path, network.load_file(source)
    x = images.batch([photograph(0)], vgg.preset)
    exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    ours, theirs = (difference.measure(answer, exact) for answer in (vgg.forward(x), runtime.run(out, x)))
    assert ours.largest_relative <= 2 * theirs.largest_relative and theirs.largest_relative < 1e-5
    back = network.load_file(convert(out, tmp_path / "back.h5").path)
    assert back.architecture == vgg.architecture and same_parameters(back, vgg)
