"""Every node of an ONNX file, as ONNX Runtime computes it, is a layer of the network that the file was made from."""
import sys

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import parity
from npvgg.errors import BadFileError, StorageError, UnsupportedError, UsageError
from npvgg.parity import traces

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
X = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
SIZES = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "pooled_size": 1, "input_size": 32}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", **SIZES)


@pytest.fixture
def file(vgg, tmp_path):
    from weights_convert.formats.onnx import writing

    writing.write(tmp_path / "ours.onnx", vgg)
    return tmp_path / "ours.onnx"


def test_our_own_file_agrees(vgg, file, tmp_path):
    parity.record(str(file), X, tmp_path / "a.h5")
    comparison = parity.compare(tmp_path / "a.h5", vgg.trace(X), vgg)
    assert not comparison.diverges and len(comparison.rows) > 30, comparison.text()
    trace = traces.read(tmp_path / "a.h5")
    assert trace.made_by.startswith("ONNX Runtime ") and ", float32, a file of npvgg" in trace.made_by
    assert trace.model_name == "ours.onnx"


@pytest.mark.parametrize("name", ["mxnet", "caffe2", "timm", "tf2onnx"])
def test_files_of_other_exporters_agree(tmp_path, name):
    from witnesses import onnx_graphs

    vgg = lively("vgg11", **SIZES)
    onnx.save(getattr(onnx_graphs, name)(vgg), tmp_path / "a.onnx")
    size = extents_of_input(tmp_path / "a.onnx")
    x = np.moveaxis(X, 1, 3) if size[-1] == 3 else X
    theirs = parity.record(tmp_path / "a.onnx", x[:1])
    comparison = parity.compare(theirs, vgg.trace(X[:1]), vgg)
    assert not comparison.diverges and len(comparison.rows) > 20, comparison.text()


def extents_of_input(path):
    """The extents of the input."""
    return [extent.dim_value for extent in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]


def test_pytorchs_exporter_says_which_module_a_node_is_of(vgg, tmp_path):
    torch = pytest.importorskip("torch")
    from witnesses import torch_networks

    network = torch_networks.stirred(torch_networks.EarlyTorchvision("vgg11"))
    torch.onnx.export(network, torch.from_numpy(X), tmp_path / "a.onnx", dynamo=False)
    theirs, again = parity.record(tmp_path / "a.onnx", X), parity.record(network, X)
    assert {"features.0", "features.1", "classifier.1", "classifier.6"} <= theirs.keys()
    comparison = parity.compare(theirs, again)
    assert not comparison.diverges and len(comparison.rows) >= 25


def test_a_wrong_file_or_input_is_one_sentence(file, tmp_path):
    (tmp_path / "b.onnx").write_bytes(b"\x08none")
    for path, x, error, words in (
            (tmp_path / "b.onnx", X, BadFileError, "b.onnx: ONNX Runtime cannot load it"),
            (tmp_path / "c.onnx", X, StorageError, "there is no file"), (tmp_path, X, BadFileError, "is a folder"),
            (file, X[:, :1], UsageError, "ours.onnx cannot run on an input of shape"),
            (file, "text", UsageError, "the input is <U4"), (file, None, UsageError, "the input is object")):
        with pytest.raises(error, match=words) as caught:
            parity.record(path, x)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        parity.record(file, X, file, force=True)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch, file):
    monkeypatch.delitem(sys.modules, "npvgg.parity.recorders.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedError, match="python -m pip install onnx onnxruntime"):
        parity.record(file, X)
