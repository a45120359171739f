"""Checkpoints with other people's keys: converted, they give the answer of the network that wrote them."""
import numpy as np
import pytest
from witnesses.command import weights_convert as command_line
from witnesses.torchvision_witness import torchvision

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert import catalog, schemes
from weights_convert.convert import convert

torch = pytest.importorskip("torch")
torch_networks = pytest.importorskip("witnesses.torch_networks")

SIZES = {"width": torch_networks.WIDTH, "hidden": torch_networks.HIDDEN, "num_classes": torch_networks.CLASSES,
         "pooled_size": torch_networks.POOLED, "input_size": 32}


def pictures(side=32):
    return np.random.default_rng(1).standard_normal((2, 3, side, side), np.float32)


def agrees(vgg, model, x):
    """Whether npvgg gives the logits that the PyTorch module gives in float64."""
    with torch.inference_mode():
        exact = model.double()(torch.from_numpy(x).double()).numpy()
    ours = vgg.forward(x)
    assert np.ptp(exact, axis=0).max() > 1e-2 * abs(exact).max()  # the pictures matter
    return ours.shape == exact.shape and abs(ours - exact).max() <= 1e-5 * abs(exact).max()


def saved(path, content, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def test_torchvision_before_2017(tmp_path):
    model = torch_networks.stirred(torch_networks.EarlyTorchvision("vgg13"))
    report = convert(saved(tmp_path / "early.pth", model.state_dict(), legacy=True), tmp_path / "out.h5")
    assert (report.scheme, report.preset, report.source_output) == ("torchvision", "torchvision", "logits")
    assert report.architecture.head == "avg1 flatten drop 12 relu drop 9 relu 5"
    assert agrees(network.load_file(report.path), model, pictures())


@pytest.mark.parametrize("meta", ["CLASSES", "dataset_meta", None])
@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_mmpretrain(tmp_path, name, meta):
    model, names = torch_networks.stirred(torch_networks.OpenMMLab(name)), ["a", "b", "c", "d", "e"]
    about = {"CLASSES": {"CLASSES": names}, "dataset_meta": {"dataset_meta": {"classes": names}}, None: {}}[meta]
    content = {"state_dict": model.state_dict(), "meta": about} if meta else {"state_dict": model.state_dict()}
    vgg = network.load_file(convert(saved(tmp_path / "mm.pth", content), tmp_path / "out.h5").path)
    assert vgg.architecture == architecture(name, **SIZES) and vgg.preset.name == "mmpretrain"
    assert vgg.class_names == (tuple(names) if meta else None)
    assert agrees(vgg, model, pictures())


@pytest.mark.parametrize("name, given", [("vgg11", "A"), ("a_lrn", "A-LRN"), ("vgg13", None), ("c", None), ("vgg19", None)])
def test_pytorchvggnet_reflects_its_borders(tmp_path, name, given):
    model = torch_networks.stirred(torch_networks.NamedModules(name))
    report = convert(saved(tmp_path / "net.pth", model.state_dict()), tmp_path / "out.h5", model=given)
    vgg = network.load_file(report.path)
    assert vgg.architecture == architecture(name, padding_mode="reflect", **SIZES)
    assert vgg.preset.name == report.preset == "pytorchvggnet"
    assert agrees(vgg, model, pictures())
    assert not agrees(network.VGG(architecture(name, **SIZES), vgg.parameters, vgg.preset), model, pictures())


def named(name, count):
    """The tensors of a network under the paper's names, as PyTorch's modules; the first `count` dense layers."""
    net = architecture(name, head="avg2 flatten 12 relu drop 9 relu drop 5", width=1 / 16, input_size=64)
    shapes = {path.replace("/", "."): shape for path, shape in net.parameters.items()}
    random = np.random.default_rng(5)
    return {key: torch.from_numpy(random.standard_normal(shape, np.float32) * 0.2) for key, shape in shapes.items()
            if not key.startswith("fc") or int(key[2]) < 6 + count}


@pytest.mark.parametrize("count, head", [(0, "avg7"), (2, "avg2 flatten 12 relu drop 9 relu"),
                                         (3, "avg2 flatten 12 relu drop 9 relu drop 5")])
def test_names_that_many_share_are_read_with_every_assumption_said(tmp_path, count, head):
    """Files of style transfer: PyTorch's keys, the authors' weights and so their preparation and zero padding."""
    path = saved(tmp_path / "vgg_conv.pth", named("vgg19", count))
    report = convert(path, tmp_path / "out.h5")
    net = report.architecture
    assert (report.scheme, report.preset, net.padding_mode, net.head) == ("caffe-in-pytorch", "caffe", "zeros", head)
    assert "borders by zeros (--padding)" in report.remarks[-1]
    assert "pictures prepared as caffe does (--preset)" in report.remarks[-1]
    other = convert(path, tmp_path / "other.h5", padding_mode="reflect", preset="pytorchvggnet")
    assert other.architecture.padding_mode == "reflect" and other.preset == "pytorchvggnet"
    assert "--padding" not in other.remarks[-1] and "--preset" not in other.remarks[-1]
    renamed = {key.replace("fc6", "fc1").replace("fc7", "fc2").replace("fc8", "fc3"): array
               for key, array in named("vgg19", count).items()}
    report = convert(saved(path, renamed), tmp_path / "third.h5")
    assert (report.scheme, report.architecture.padding_mode) == (("pytorchvggnet", "reflect") if count else
                                                                 ("caffe-in-pytorch", "zeros"))
    assert f"borders by {report.architecture.padding_mode} (--padding)" in report.remarks[-1]
    assert f"pictures prepared as {report.preset} does (--preset)" in report.remarks[-1]


def test_padding_that_the_file_shows_is_not_contradicted(tmp_path):
    path = saved(tmp_path / "net.pkl", torch_networks.NamedModules("vgg13"))
    with pytest.raises(UsageError, match="--padding says zeros and the file shows reflect"):
        convert(path, tmp_path / "out.h5", padding_mode="zeros")
    with pytest.raises(UsageError, match="padding_mode"):
        convert(saved(tmp_path / "net.pth", named("vgg13", 0)), tmp_path / "out.h5", padding_mode="circular")


def test_published_files_have_their_preparation(tmp_path, monkeypatch):
    """jcjohnson's files have torchvision's keys and Caffe's preparation; the digest tells, or else the name."""
    tensors = torch_networks.stirred(torchvision().models.VGG(torch.nn.Sequential(*torch_networks.plain("vgg11")),
                                                              num_classes=5, init_weights=False)).state_dict()
    tensors = {key: tensor for key, tensor in tensors.items() if key.startswith("features")}
    plain = convert(saved(tmp_path / "mine.pth", tensors), tmp_path / "out.h5")
    assert plain.preset == "torchvision" and "--preset" in plain.remarks[-1]
    by_name = convert(saved(tmp_path / "vgg16-00b39a1b.pth", tensors), tmp_path / "out.h5", force=True)
    assert by_name.preset == "caffe" and "--preset" not in by_name.remarks[-1]
    assert any("is called vgg16-00b39a1b.pth" in remark and "--preset" in remark for remark in by_name.remarks)
    monkeypatch.setitem(catalog.MET_ELSEWHERE, plain.sha256[:8], ("known.pth", "mmpretrain"))
    by_digest = convert(tmp_path / "mine.pth", tmp_path / "out.h5", force=True)
    assert by_digest.preset == "mmpretrain" and any("it is known.pth by its SHA-256" in remark for remark in by_digest.remarks)
    assert convert(tmp_path / "mine.pth", tmp_path / "out.h5", force=True, preset="caffe").preset == "caffe"


def test_a_and_a_lrn_cannot_be_told_from_their_tensors(tmp_path):
    path = saved(tmp_path / "net.pth", torch_networks.NamedModules("vgg11").state_dict())
    with pytest.raises(UsageError, match="net.pth: vgg11 and a_lrn have the same keys and shapes under the names of "
                                         "pytorchvggnet; say which it is with --model"):
        convert(path, tmp_path / "out.h5")


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("name", ["vgg11", "a_lrn", "c"])
def test_a_whole_pickled_network_gives_its_tensors_and_what_they_are_for(tmp_path, name, legacy):
    """No class is imported: npvgg reads the padding and the LRN from the attributes in the file."""
    model = torch_networks.stirred(torch_networks.NamedModules(name))
    vgg = network.load_file(convert(saved(tmp_path / "net.pkl", model, legacy), tmp_path / "out.h5").path)
    assert vgg.architecture == architecture(name, padding_mode="reflect", **SIZES)
    assert agrees(vgg, model, pictures())


@pytest.mark.parametrize("nested", [True, False])
def test_a_whole_torchvision_network(tmp_path, nested):
    model = torch_networks.stirred(torchvision().models.VGG(
        torch.nn.Sequential(*torch_networks.plain("vgg11")), num_classes=7, init_weights=False))
    model.classifier = torch.nn.Sequential(torch.nn.Linear(32, 7))
    model.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    content = {"model": model, "epoch": 3} if nested else model
    vgg = network.load_file(convert(saved(tmp_path / "net.pth", content), tmp_path / "out.h5").path)
    assert vgg.architecture.padding_mode == "zeros" and len(vgg.architecture.dense_sizes) == 1
    assert agrees(vgg, model.eval(), pictures())


@pytest.mark.parametrize("changes, text", [
    ({"stride": (2, 2)}, "'conv1_1' is a Conv2d with stride (2, 2) where a VGG has (1, 1)"),
    ({"dilation": (2, 2)}, "with dilation (2, 2)"), ({"ceil_mode": True}, "'pool' is a MaxPool2d with ceil_mode True"),
    ({"padding_mode": "circular"}, "with padding_mode 'circular'"), ({"kernel_size": 3}, "with kernel_size 3"),
], ids=["stride", "dilation", "ceil_mode", "circular", "kernel_size"])
def test_a_module_that_computes_something_else_is_not_supported(tmp_path, changes, text):
    path = saved(tmp_path / "net.pkl", torch_networks.Altered("vgg13", **changes))
    with pytest.raises(UnsupportedError) as caught:
        convert(path, tmp_path / "out.h5")
    assert text in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pkl"]


def timm_network(tmp_path, name="vgg11_bn", **options):
    torchvision()                                               # timm imports it, and it needs help beside some torch
    vgg = pytest.importorskip("timm.models.vgg")
    layers = list(torch_networks.tokens(name))
    norm = torch.nn.BatchNorm2d if name.endswith("_bn") else None
    return torch_networks.stirred(vgg.VGG(layers, num_classes=5, norm_layer=norm, mlp_ratio=0.005, **options))


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_timm(tmp_path, name):
    model = timm_network(tmp_path, name)
    report = convert(saved(tmp_path / "pytorch_model.bin", model.state_dict()), tmp_path / "out.h5")
    assert report.scheme == "timm" and report.architecture == architecture(
        name, **SIZES | {"hidden": (20, 4096), "pooled_size": 7, "input_size": 224})
    assert agrees(network.load_file(report.path), model, pictures(224))


def test_timm_takes_back_what_is_exported_for_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    model, again = timm_network(tmp_path), timm_network(tmp_path)
    path = saved(tmp_path / "pytorch_model.bin", model.state_dict())
    exported = convert(path, tmp_path / "model.safetensors", keys="timm").path
    for tensor in again.state_dict().values():
        tensor.zero_()
    again.load_state_dict(safetensors.load_file(exported), strict=True)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key


def test_timm_without_its_last_layer_ends_behind_the_relu_before_it(tmp_path):
    model = timm_network(tmp_path)
    model.reset_classifier(0)
    report = convert(saved(tmp_path / "x.pth", model.state_dict()), tmp_path / "out.h5")
    assert report.architecture.head == "avg7 flatten 20 relu drop 4096 relu" and report.architecture.output == "none"
    assert agrees(network.load_file(report.path), model, pictures(224))


def test_from_forces_the_scheme(tmp_path):
    model = torch_networks.OpenMMLab("vgg11")
    path = saved(tmp_path / "mm.pth", model.state_dict())
    assert convert(path, tmp_path / "out.h5", scheme="mmpretrain", dry_run=True).scheme == "mmpretrain"
    with pytest.raises(BadFileError, match=r"no convolution among its 22 tensors .* under the names of timm"):
        convert(path, tmp_path / "out.h5", scheme="timm")
    with pytest.raises(UsageError, match=f"there is no scheme 'keras3'.*'keras'.*; npvgg knows {', '.join(schemes.SCHEMES)}"):
        convert(path, tmp_path / "out.h5", scheme="keras3")


def test_every_misfit_is_listed_in_one_report(tmp_path):
    tensors = torch_networks.OpenMMLab("vgg11").state_dict()
    tensors["extra"] = torch.zeros(3)
    tensors["backbone.features.0.conv.bias"][1] = float("nan")
    tensors["backbone.features.2.conv.bias"] = torch.zeros(9)
    del tensors["backbone.classifier.6.bias"]
    run = command_line(saved(tmp_path / "mm.pth", {"state_dict": tensors}), tmp_path / "out.h5")
    assert (run.status, run.out) == (3, "")
    *_, missing, extra, nan, shape, sentence = run.err.splitlines()
    assert missing.split() == ["backbone.classifier.6.bias", "(5,)", "is", "missing"]
    assert extra.split() == ["extra", "(3,)", "has", "no", "place"]
    assert nan.split() == ["backbone.features.0.conv.bias", "holds", "NaN", "or", "infinity"]
    assert shape.split() == ["backbone.features.2.conv.bias", "has", "shape", "(9,)", "where", "(8,)", "belongs"]
    assert sentence.startswith("weights-convert: ") and sentence.endswith(", and 1 more")
    assert [path.name for path in tmp_path.iterdir()] == ["mm.pth"]


def test_a_dry_run_shows_where_each_tensor_would_go(tmp_path):
    model = timm_network(tmp_path, "vgg11")
    run = command_line(saved(tmp_path / "x.pth", model.state_dict()), tmp_path / "out.h5", "--dry-run")
    assert run.status == 0 and "PyTorch zip of timm" in run.err and "the file's own last layer gives logits" in run.err
    rows = [line.split("  ") for line in run.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["pre_logits.fc1.weight", "(20, 32, 7, 7)", "float32", "fc6/weight", "(20, 1568)"] in cells
    assert len(cells) == 2 + 8 * 2 + 3 * 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
