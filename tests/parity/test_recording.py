"""PyTorch's trace of a checkpoint, and ours of the same checkpoint converted."""
import hashlib
import sys

import numpy as np
import pytest
from PIL import Image
from witnesses import command
from witnesses.networks import lively, photograph

from npvgg import images, network, parity
from npvgg.architecture import NAMES
from npvgg.errors import BadFileError, StorageError, UnsupportedError
from npvgg.parity import recording, traces
from weights_convert.convert import convert
from weights_convert.record_trace import record
from weights_convert.schemes.torchvision import TORCHVISION

SIZES = {"width": 1 / 32, "hidden": (12, 9), "num_classes": 5, "pooled_size": 1, "input_size": 32}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(photograph(1)[::4, ::4]).save(path)
    return path


def checkpoint(torch, path, name="vgg11_bn", change=dict, **sizes):
    """A state dict as PyTorch would save it."""
    vgg = lively(name, **SIZES | sizes)
    mapping = TORCHVISION.paths(vgg.architecture)
    torch.save(change({key: torch.tensor(vgg.parameters[ours]) for key, ours in mapping.items()}), path)
    return path


def compared(source, picture, tmp_path, **options):
    """PyTorch's trace against that of the converted file."""
    dtype = options.get("dtype", "float32")
    recorded = record(source, [picture], tmp_path / "torch.h5", **options)
    vgg = network.load_file(convert(source, tmp_path / "ours.h5", model=options.get("model")).path).using(dtype=dtype)
    return parity.compare(vgg.trace([picture]), traces.read(recorded))


@pytest.mark.parametrize("name", NAMES)
def test_our_trace_of_the_converted_checkpoint_is_pytorchs(torch, picture, tmp_path, name):
    comparison = compared(checkpoint(torch, tmp_path / "vgg.pth", name), picture, tmp_path)
    assert not comparison.diverges, comparison.text()
    assert not comparison.only_in_a and not comparison.only_in_b
    assert max(row.difference.largest_relative for row in comparison.rows) < 5e-5       # 1e-5 for direct sums


@pytest.mark.parametrize("sizes", [{"hidden": ()}, {"pooled_size": 3, "input_size": 96}, {"width": 1 / 8, "hidden": (7,)}],
                         ids=str)
def test_small_networks_of_any_shape(torch, picture, tmp_path, sizes):
    comparison = compared(checkpoint(torch, tmp_path / "vgg.pth", "vgg16", **sizes), picture, tmp_path)
    assert not comparison.diverges, comparison.text()


def test_in_float64_the_two_agree_to_fifteen_digits(torch, picture, tmp_path):
    comparison = compared(checkpoint(torch, tmp_path / "vgg.pth"), picture, tmp_path, dtype="float64")
    assert not comparison.diverges and {row.tolerance for row in comparison.rows} == {1e-10}
    assert max(row.difference.largest_relative for row in comparison.rows) < 1e-13


def without_classifier(state):
    return {key: tensor * (np.nan if key.startswith("classifier") else 1) for key, tensor in state.items()}


CONTAINERS = {
    "nested": lambda state: {"state_dict": state, "epoch": 3},
    "data parallel": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
    "bfloat16": lambda state: {key: tensor.bfloat16() for key, tensor in state.items()},
    "float64": lambda state: {key: tensor.double() / 3 for key, tensor in state.items()},
    "features only": without_classifier,
}


@pytest.mark.parametrize("change", CONTAINERS.values(), ids=CONTAINERS)
def test_checkpoints_of_every_kind(torch, picture, tmp_path, change):
    comparison = compared(checkpoint(torch, tmp_path / "vgg.pth", change=change), picture, tmp_path)
    assert not comparison.diverges, comparison.text()
    assert comparison.rows[-1].name == ("avgpool" if change is without_classifier else "fc8")


def test_a_trace_of_another_checkpoint_diverges_at_the_first_layer(torch, picture, tmp_path):
    one = record(checkpoint(torch, tmp_path / "one.pth"), [picture], tmp_path / "one.h5")
    other = record(checkpoint(torch, tmp_path / "other.pth", seed=1), [picture], tmp_path / "other.h5")
    assert parity.compare(traces.read(one), traces.read(other)).first.name == "conv1_1"


def test_several_pictures_and_another_preset(torch, picture, tmp_path):
    source = checkpoint(torch, tmp_path / "vgg.pth")
    trace = traces.read(record(source, [picture, picture], tmp_path / "trace.h5", preset="cifar10"))
    assert trace["input"].shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(trace["input"], images.batch([picture] * 2, images.preset("cifar10")))
    assert images.Preset.from_json(trace.preset_json).name == "cifar10"
    assert trace.pictures_sha256 == (hashlib.sha256(picture.read_bytes()).hexdigest(),) * 2
    assert trace.made_by.startswith("PyTorch 2") and trace.model_name.startswith("vgg.pth ")


def test_the_command_writes_the_file_and_prints_its_name(torch, picture, tmp_path):
    source = checkpoint(torch, tmp_path / "vgg.pth", "c")
    arguments = (source, picture, "-o", tmp_path / "trace.h5", "--model", "C", "--dtype", "float64")
    run = command.run(recording.command, "record-trace", arguments)
    assert (run.status, run.out, run.err) == (0, f"{tmp_path / 'trace.h5'}\n", "")
    assert traces.read(tmp_path / "trace.h5").dtype == "float64"
    again = command.run(recording.command, "record-trace", arguments)
    assert again.status == 2 and len(again.err.splitlines()) == 1
    assert command.run(recording.command, "record-trace", (*arguments, "--force")).status == 0


def test_without_pytorch_the_error_says_how_to_install_it(monkeypatch, picture, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedError, match="install it with `python -m pip install torch==2.13.0`"):
        record(tmp_path / "vgg.pth", [picture], tmp_path / "trace.h5")


def test_importing_the_module_does_not_import_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "weights_convert.record_trace", raising=False)
    __import__("weights_convert.record_trace")


def test_a_missing_checkpoint(torch, picture, tmp_path):
    with pytest.raises(StorageError, match="none.pth: cannot be read: No such file"):
        record(tmp_path / "none.pth", [picture], tmp_path / "trace.h5")


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"PK\x03\x04" + bytes(50), bytes(100), b"<html>"], ids=repr)
def test_what_pytorch_cannot_read(torch, picture, tmp_path, content):
    (tmp_path / "vgg.pth").write_bytes(content)
    with pytest.raises(BadFileError, match="vgg.pth: PyTorch cannot read it") as error:
        record(tmp_path / "vgg.pth", [picture], tmp_path / "trace.h5")
    assert "\n" not in str(error.value) and not (tmp_path / "trace.h5").exists()


@pytest.mark.parametrize(("content", "message"), [
    ([1, 2], "PyTorch reads a list without tensors"),
    ({"epoch": 3}, "PyTorch reads a dict without tensors in it or under state_dict, model_state_dict, model"),
], ids=["list", "dict"])
def test_a_checkpoint_without_tensors(torch, picture, tmp_path, content, message):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(BadFileError, match=message):
        record(tmp_path / "vgg.pth", [picture], tmp_path / "trace.h5")


def test_a_checkpoint_of_another_network_names_the_file(torch, picture, tmp_path):
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(BadFileError, match="resnet.pth: its tensors .* are named as those of no VGG"):
        record(tmp_path / "resnet.pth", [picture], tmp_path / "trace.h5")
