"""A network of any library, recorded by hooks, is what npvgg computes from its weights."""
import copy

import numpy as np
import pytest
from witnesses.torchvision_witness import torchvision

from npvgg import converter, images, parity
from npvgg.errors import UnsupportedError, UsageError
from npvgg.network import VGG
from npvgg.parity import traces, verdicts

TOKENS = [4, "M", 8, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"]
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_torch_thread")
X = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)


def small(which):
    """A small network as this library builds it, in-place ReLUs included."""
    from witnesses import torch_networks

    if which == "torchvision":
        models = torchvision().models.vgg
        with torch.device("meta"):
            network = models.VGG(torch.nn.Identity())
        network.features = models.make_layers(TOKENS, batch_norm=True)
        network.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        sizes = iter([(32, 12), (12, 9), (9, 5)])
        network.classifier = torch.nn.Sequential(*(
            torch.nn.Linear(*next(sizes)) if isinstance(module, torch.nn.Linear) else module for module in network.classifier))
    elif which == "timm":
        torchvision()
        network = pytest.importorskip("timm.models.vgg").VGG(TOKENS, num_classes=5)
    elif which == "mmpretrain":
        network = torch_networks.OpenMMLab("vgg11_bn")
    else:
        network = torch_networks.EarlyTorchvision("vgg11")
    return torch_networks.stirred(network)


def ours(network, **options):
    """The same network in npvgg."""
    arrays = {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}
    known = converter.understood(arrays, **options)
    return VGG(known.architecture, known.parameters, known.preset)


@pytest.mark.parametrize("which, x, compared", [
    ("torchvision", X, 36), ("mmpretrain", X, 35), ("early torchvision", X, 26),
    ("timm", np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32), 27)])
def test_networks_of_every_library_agree(which, x, compared):
    network = small(which)
    vgg = ours(network, **({"input_size": 224} if which == "timm" else {}))
    theirs = parity.record(network, x)
    for comparison in (parity.compare(theirs, vgg.trace(x), vgg), parity.compare(vgg.trace(x), theirs)):
        assert not comparison.diverges and len(comparison.rows) >= compared, comparison.text()
        assert max(row.difference.largest_relative for row in comparison.rows) < 5e-5
    assert comparison.rows[-1].name == "fc8" and {"conv1_1", "relu1_1", "pool5", "fc6", "relu7"} <= {
        row.name for row in comparison.rows}


def test_outputs_are_copied_before_a_relu_works_in_place():
    theirs = parity.record(small("early torchvision"), X)
    assert (theirs["features.0"] < 0).any() and not (theirs["features.1"] < 0).any()
    assert all(array.flags.owndata or array.base is None for array in theirs.values())


def test_the_input_is_not_overwritten():
    x = torch.from_numpy(X.copy())
    theirs = parity.record(torch.nn.Sequential(torch.nn.ReLU(inplace=True)), x)
    assert np.array_equal(x.numpy(), X) and np.array_equal(theirs["input"], X) and (theirs["0"] >= 0).all()


class HandWritten(torch.nn.Module):
    """One ReLU used twice, a function at the end, and a module that nobody calls."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.relu = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 1), torch.nn.ReLU(True)
        self.unused = torch.nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.relu(self.second(self.relu(self.first(x)))).flatten(1).softmax(1)


def test_a_module_used_twice_has_two_names_and_the_end_is_called_output():
    network = HandWritten()
    theirs = parity.record(network, X)
    assert list(theirs) == ["input", "first", "relu", "second", "relu-2", "output"]
    assert np.allclose(theirs["output"].sum(axis=1), 1)
    assert all(not module._forward_hooks for module in network.modules())


def test_a_trace_says_what_made_it(tmp_path):
    network, preset = small("early torchvision"), images.preset("torchvision")
    theirs = parity.record(network, X, tmp_path / "theirs.h5", preset=preset)
    trace = traces.read(tmp_path / "theirs.h5")
    assert all(np.array_equal(trace[name], array) for name, array in theirs.items()) and list(trace) == list(theirs)
    assert trace.made_by == f"PyTorch {torch.__version__}, float32" and trace.model_name == "EarlyTorchvision"
    assert images.Preset.from_json(trace.preset_json) == preset and trace.pictures_sha256 == ()
    with pytest.raises(UsageError, match="exists already"):
        parity.record(network, X, tmp_path / "theirs.h5")
    parity.record(network, X, tmp_path / "theirs.h5", force=True)


@pytest.mark.parametrize("dtype, kept", [("bfloat16", np.float32), ("float16", np.float32), ("float64", np.float64)])
def test_other_dtypes_are_those_of_the_parameters(tmp_path, dtype, kept):
    theirs = parity.record(small("early torchvision").to(getattr(torch, dtype)), X, tmp_path / "a.h5")
    assert {array.dtype for array in theirs.values()} == {np.dtype(kept)}
    trace = traces.read(tmp_path / "a.h5")
    assert trace.dtype == dtype and trace.made_by.endswith(f", {dtype}")


def test_training_mode_is_said_and_changes_nothing(tmp_path):
    network = small("torchvision").train()
    before = copy.deepcopy(network.state_dict())
    parity.record(network, X, tmp_path / "a.h5")
    assert traces.read(tmp_path / "a.h5").made_by.endswith(", float32, in training mode") and network.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_a_fault_in_their_network_is_named():
    network = small("torchvision")
    vgg = ours(network)
    with torch.no_grad():
        network.features[4].weight.copy_(network.features[4].weight.flip(2, 3))
    comparison = parity.compare(parity.record(network, X), vgg.trace(X), vgg)
    assert comparison.first.name == "conv2_1" and comparison.run == "A"
    assert "turned by 180°" in comparison.causes[0].name


def test_a_vgg_of_npvgg_is_recorded_too(tiny, tmp_path):
    recorded = parity.record(tiny, X, tmp_path / "a.h5")
    assert list(recorded) == list(tiny.trace(X))
    assert parity.compare(tmp_path / "a.h5", recorded).rows[0].verdict == verdicts.EQUAL
    assert traces.read(tmp_path / "a.h5").architecture_json == tiny.architecture.to_json()


@pytest.mark.parametrize("model, x, error, words", [
    (5, X, UsageError, "the network is of type int; give a torch.nn.Module"),
    (None, X, UsageError, "the network is of type NoneType"),
    (torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), X[:, :2], UsageError, r"Sequential cannot run on .* \(2, 2, 32, 32\)"),
    (torch.nn.Sequential(torch.nn.ReLU()), "text", UsageError, "the input is of type str"),
    (torch.nn.Sequential(torch.nn.ReLU()), None, UsageError, "the input is of type NoneType"),
    (torch.nn.Sequential(torch.nn.ReLU()), np.zeros((1, 3), np.uint8), UsageError, "the input is uint8"),
    (torch.nn.Sequential(torch.nn.ReLU()), 1.0, UsageError, "the input is float64 of shape"),
    (torch.jit.script(torch.nn.Sequential(torch.nn.ReLU())), X, UnsupportedError, "is a ScriptModule"),
], ids=range(8))
def test_what_cannot_be_recorded_is_one_sentence(model, x, error, words, tmp_path):
    with pytest.raises(error, match=words) as caught:
        parity.record(model, x, tmp_path / "a.h5")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_an_odd_preset_is_refused():
    with pytest.raises(UsageError, match="preset is of type str"):
        parity.record(torch.nn.ReLU(), X, preset="torchvision")
