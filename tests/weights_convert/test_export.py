"""The way out, and back again: bit for bit."""
import re
import shlex

import numpy as np
import pytest
from witnesses.command import weights_convert as command_line
from witnesses.networks import lively

from npvgg import images, network, weights
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert import recognition, schemes
from weights_convert.convert import convert
from weights_convert.formats.pytorch import writing

SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 3, "class_names": ("ant", "bée", "gnu"), "input_size": 32,
         "pooled_size": 1}
KEYS = ("torchvision", "timm", "mmpretrain", "npvgg")
ENDINGS = (".safetensors", ".pth", ".npz")


def needed(ending):
    if ending == ".safetensors":
        pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{name: weights file} of small networks, with a preset and an output that no source assumes."""
    folder = tmp_path_factory.mktemp("networks")
    found = {}
    for name in ("vgg11", "vgg13_bn"):
        vgg = lively(name, preset="caffe", **SMALL)
        vgg = network.VGG(vgg.architecture, vgg.parameters, vgg.preset, vgg.class_names, source_output="probabilities")
        found[name] = vgg.save(folder / f"{name}.h5")
    return found


def same_parameters(a, b):
    a, b = network.load_file(a), network.load_file(b)
    assert a.architecture == b.architecture
    return all(np.array_equal(a.parameters[path].view(np.uint32), b.parameters[path].view(np.uint32)) for path in a.parameters)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_there_and_back_is_bit_exact(files, tmp_path, name, keys, ending):
    needed(ending)
    out = convert(files[name], tmp_path / f"out{ending}", keys=keys).path
    back = convert(out, tmp_path / "back.h5")
    assert back.scheme == keys and same_parameters(files[name], back.path)
    if ending == ".safetensors" or keys == "npvgg":
        vgg, origin = network.load_file(back.path), network.load_file(files[name])
        assert (vgg.preset, vgg.class_names, vgg.source_output) == (origin.preset, origin.class_names, "probabilities")


@pytest.mark.parametrize("keys", ["torchvision", "timm", "mmpretrain"])
def test_pytorch_reads_what_is_written_for_it(files, tmp_path, keys):
    torch = pytest.importorskip("torch")
    out = convert(files["vgg13_bn"], tmp_path / "out.pth", keys=keys).path
    state = torch.load(out, weights_only=True)
    if keys == "mmpretrain":
        assert state["meta"] == {"dataset_meta": {"classes": ["ant", "bée", "gnu"]}}
        state = state["state_dict"]
    vgg = network.load_file(files["vgg13_bn"])
    for key, place in schemes.find(keys).places(vgg.architecture).items():
        assert np.array_equal(place.arrangement.ours(state[key].numpy(), vgg.parameters[place.path].shape),
                              vgg.parameters[place.path])
        assert state[key].is_contiguous() and state[key].dtype == torch.float32
    assert {value.dtype for key, value in state.items() if key.endswith("num_batches_tracked")} == {torch.int64}


def test_a_module_takes_the_state_dict(tmp_path):
    """Every key and shape is what the module expects, and the answer is the same."""
    torch = pytest.importorskip("torch")
    torch_networks = pytest.importorskip("witnesses.torch_networks")
    vgg = lively("vgg13", **SMALL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / "out.pth", keys="torchvision",
                  head="avg1 flatten drop 12 relu drop 9 relu 3").path
    model = torch_networks.EarlyTorchvision("vgg13")
    model.classifier[-1] = torch.nn.Linear(9, 3)
    model.load_state_dict(torch.load(out, weights_only=True), strict=True)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    with torch.inference_mode():
        exact = model.eval().double()(torch.from_numpy(x).double()).numpy()
    assert abs(vgg.forward(x) - exact).max() < 1e-5 * abs(exact).max()


@pytest.mark.parametrize("keys", ["torchvision", "timm"])
def test_safetensors_reads_what_is_written_for_it(files, tmp_path, keys):
    numpy = pytest.importorskip("safetensors.numpy")
    found = numpy.load_file(convert(files["vgg11"], tmp_path / "out.safetensors", keys=keys).path)
    assert found["features.0.weight"].shape == (4, 3, 3, 3)
    assert ("pre_logits.fc1.weight" in found) == (keys == "timm")


def test_a_plain_npz(files, tmp_path):
    out = convert(files["vgg11"], tmp_path / "out.npz").path
    with np.load(out) as found:
        assert list(found) == [*network.load_file(files["vgg11"]).parameters, "npvgg"]
        arrays = {name: found[name] for name in found if name != "npvgg"}
    report = convert(out, tmp_path / "back.h5")
    assert report.container == "NumPy archive" and same_parameters(report.path, files["vgg11"])
    np.savez(tmp_path / "bare.npz", **arrays)
    # Under npvgg's own names A and A-LRN have the same tensors.
    report = convert(tmp_path / "bare.npz", tmp_path / "bare.h5", model="vgg11", preset="caffe")
    assert same_parameters(report.path, files["vgg11"])


@pytest.mark.parametrize("array", [np.arange(5, dtype=np.uint8), np.zeros((2, 2), np.uint8), np.ones(3, np.float32)])
def test_an_array_called_npvgg_that_npvgg_did_not_write_is_refused(files, tmp_path, array):
    np.savez(tmp_path / "other.npz", npvgg=array, **network.load_file(files["vgg11"]).parameters)
    with pytest.raises(BadFileError, match="other.npz.*npvgg did not write"):
        convert(tmp_path / "other.npz", tmp_path / "out.h5")


UNUSUAL = {"head": "max2 flatten 7 relu 3", "output": "sigmoid", "pooling": "avg", "eps": 0.001, "width": 1 / 16,
           "input_size": 64}


@pytest.mark.parametrize("ending", ENDINGS)
def test_npvggs_keys_hold_what_tensors_do_not_show(tmp_path, ending):
    needed(ending)
    vgg = lively("vgg13_bn", **UNUSUAL)
    out = convert(vgg.save(tmp_path / "in.h5"), tmp_path / f"out{ending}", keys="npvgg").path
    assert network.load_file(convert(out, tmp_path / "back.h5").path).architecture == vgg.architecture


@pytest.mark.parametrize("ending", [".pth", ".npz"])
@pytest.mark.parametrize("keys, head", [
    ("torchvision", "avg2"), ("torchvision", ""), ("torchvision", "avg1 flatten 5 relu"),
    ("mmpretrain", "avg2 flatten 5 relu drop"), ("torchvision", "avg1 flatten 5 relu relu relu 4"),
    ("timm", "avg2 flatten 5 relu drop 7 relu drop 3"),
])
def test_what_the_file_does_not_say_is_said_with_its_options(tmp_path, keys, head, ending):
    """Read back with those options it is the same network; without them somebody would have to guess."""
    output = "sigmoid" if head.endswith("3") else None
    vgg = lively("vgg11", width=1 / 16, input_size=64, head=head, output=output, preset="caffe")
    run = command_line(vgg.save(tmp_path / "in.h5"), tmp_path / f"out{ending}", "--keys", keys)
    said = re.search("whoever converts it back gives (.*)", run.err)[1]
    back = command_line(tmp_path / f"out{ending}", tmp_path / "back.h5", *shlex.split(said))
    assert (run.status, back.status) == (0, 0), back.err
    read = network.load_file(tmp_path / "back.h5")
    assert recognition.computes_the_same(read.architecture, vgg.architecture)
    assert (read.architecture.output, read.preset.name) == (vgg.architecture.output, "caffe")
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    assert np.array_equal(read.forward(x), vgg.forward(x))


def test_a_weights_file_as_source_keeps_what_it_knows(files, tmp_path):
    report = convert(files["vgg13_bn"], tmp_path / "copy.h5", class_names=("x", "y", "z"))
    vgg = network.load_file(report.path)
    assert (report.container, report.scheme, report.source_output) == ("npvgg weights file", "npvgg", "probabilities")
    assert vgg.preset == images.preset("caffe") and vgg.class_names == ("x", "y", "z")
    assert weights.read(report.path).source_output == "probabilities"
    assert same_parameters(report.path, files["vgg13_bn"])


def test_what_the_other_side_does_not_have_is_not_written(tmp_path):
    sizes = SMALL | {"class_names": None}
    reflecting = lively("vgg11", padding_mode="reflect", **sizes).save(tmp_path / "reflect.h5")
    flat = lively("c", **sizes | {"hidden": ()}).save(tmp_path / "flat.h5")
    for source, keys, text in ((reflecting, "torchvision", "torchvision has no network with padding_mode 'reflect'"),
                               (flat, "mmpretrain", "mmpretrain has no c"), (flat, "timm", "timm has no c")):
        with pytest.raises(UnsupportedError, match=f"{text}.*choose other keys with --keys"):
            convert(source, tmp_path / "out.pth", keys=keys)
    assert not (tmp_path / "out.pth").exists()
    assert convert(reflecting, tmp_path / "out.pth", keys="pytorchvggnet").path


@pytest.mark.parametrize("out, options, text", [
    ("out.onnx2", {}, "has an ending that npvgg does not write; it writes .h5, .safetensors, .pth, .pt, .npz"),
    ("out.h5", {"keys": "timm"}, "is an npvgg weights file, which has npvgg's keys"),
    ("out.pth", {"keys": "tensorflow"}, "there is no scheme 'tensorflow'"),
])
def test_wrong_usage_is_one_sentence(files, tmp_path, out, options, text):
    with pytest.raises(UsageError, match=text):
        convert(files["vgg11"], tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports(files, tmp_path):
    out = tmp_path / "out.pth"
    run = command_line(files["vgg11"], out, "--keys", "mmpretrain")
    assert (run.status, run.out) == (0, f"{out}\n") and "npvgg weights file of npvgg" in run.err
    again = command_line(files["vgg11"], out)
    assert again.status == 2 and "--force" in again.err


def test_large_numbers_and_other_element_types_in_a_state_dict(tmp_path):
    """What the writer of .pth files can hold beyond a VGG."""
    torch = pytest.importorskip("torch")
    state = {"big": 2**40, "negative": -5, "list": [1, "é"], "tuple": ("a", 2), "empty": np.zeros((0, 3), np.float32),
             "half": np.arange(3, dtype=np.float16), "flags": np.array([True, False]), "scalar": np.array(7, np.int64)}
    writing.write(tmp_path / "x.pth", state)
    found = torch.load(tmp_path / "x.pth", weights_only=True)
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(found[key].numpy(), value) and found[key].shape == value.shape
        else:
            assert found[key] == value
