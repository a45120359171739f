"""A checkpoint that PyTorch wrote → a weights file that gives PyTorch's answer."""
import hashlib

import numpy as np
import pytest
from witnesses.command import weights_convert as command_line

from npvgg import initialisation, network
from npvgg.architecture import NAMES, architecture
from npvgg.errors import BadFileError, UsageError
from weights_convert.convert import convert
from weights_convert.schemes.torchvision import TORCHVISION

torch = pytest.importorskip("torch")

SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "input_size": 224}


def state_dict(net, seed=3):
    parameters = initialisation.initial(net, seed=seed, how="he")
    tensors = {key: torch.tensor(parameters[path]) for key, path in TORCHVISION.paths(net).items()}
    return tensors | {key: torch.tensor(7) for key in TORCHVISION.ignorable(net)}


def save(folder, content, legacy=False):
    path = folder / "checkpoint.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_arrives_bit_for_bit(tmp_path, name, legacy):
    net = architecture(name, **SMALL)
    tensors = state_dict(net)
    report = convert(save(tmp_path, tensors, legacy), tmp_path / "out.h5")
    vgg = network.load_file(report.path, verify=True)
    assert vgg.architecture == net == report.architecture
    for key, path in TORCHVISION.paths(net).items():
        assert np.array_equal(vgg.parameters[path], tensors[key].numpy())
    assert report.used == len(vgg.parameters)
    assert set(report.left_out) == TORCHVISION.ignorable(net)


@pytest.mark.parametrize("nest", ["state_dict", "model"])
def test_a_nested_state_dict_with_training_leftovers(tmp_path, nest):
    net = architecture("vgg11", **SMALL)
    path = save(tmp_path, {nest: state_dict(net), "epoch": 90, "optimizer": {"lr": 0.1}})
    assert convert(path, tmp_path / "out.h5").architecture == net


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32_as_torch_would(tmp_path, dtype):
    net = architecture("vgg11", **SMALL)
    tensors = {key: tensor.to(getattr(torch, dtype)) for key, tensor in state_dict(net).items()}
    report = convert(save(tmp_path, tensors), tmp_path / "out.h5")
    vgg = network.load_file(report.path)
    for key, path in TORCHVISION.paths(net).items():
        assert np.array_equal(vgg.parameters[path], tensors[key].float().numpy())
    assert any(f"{dtype} values" in remark for remark in report.remarks) == (dtype != "bfloat16")


def test_provenance_is_kept(tmp_path):
    path = save(tmp_path, state_dict(architecture("vgg11", **SMALL)))
    report = convert(path, tmp_path / "out.h5", source_name="https://example.org/checkpoint.pth", notes="a note")
    from npvgg import weights

    file = weights.read(report.path)
    assert file.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == report.sha256
    assert file.source_name == "https://example.org/checkpoint.pth"
    assert file.notes == f"a note; {report.remarks[-1]}" and "so assumed: " in report.remarks[-1]


def test_features_without_a_classifier(tmp_path):
    tensors = {key: torch.full_like(tensor, float("nan")) if key.startswith("classifier") else tensor
               for key, tensor in state_dict(architecture("vgg16", **SMALL)).items()}
    report = convert(save(tmp_path, tensors), tmp_path / "out.h5")
    vgg = network.load_file(report.path)
    assert vgg.architecture.num_classes is None and report.preset.startswith("torchvision-features")
    assert any("the classifier holds nothing but NaN" in remark for remark in report.remarks)
    assert vgg.features(np.zeros((1, 3, 64, 64), np.float32), "relu5_3")["relu5_3"].shape == (1, 32, 4, 4)


def test_class_names_come_from_the_caller_the_file_or_imagenet(tmp_path):
    net = architecture("vgg11", width=1 / 16, hidden=(), pooled_size=1, num_classes=3, input_size=32)
    path = save(tmp_path, {"state_dict": state_dict(net), "classes": ["x", "y", "z"]})
    assert network.load_file(convert(path, tmp_path / "a.h5").path).class_names == ("x", "y", "z")
    given = convert(path, tmp_path / "b.h5", class_names=["1", "2", "3"])
    assert network.load_file(given.path).class_names == ("1", "2", "3")
    with pytest.raises(UsageError, match="2 class names were given for 3 classes"):
        convert(path, tmp_path / "c.h5", class_names=["1", "2"])
    thousand = architecture("vgg11", width=1 / 16, hidden=(), pooled_size=1, num_classes=1000, input_size=32)
    vgg = network.load_file(convert(save(tmp_path, state_dict(thousand)), tmp_path / "d.h5").path)
    assert vgg.class_names[0] == "tench"


@pytest.mark.parametrize("change, text", [
    (lambda tensors: tensors.pop("features.3.bias"), r"features.3.bias \(8,\) is missing"),
    (lambda tensors: tensors.update(extra=torch.zeros(2)), r"extra \(2,\) has no place"),
    (lambda tensors: tensors["features.0.weight"].fill_(float("nan")), "features.0.weight holds NaN or infinity"),
], ids=["missing", "left over", "NaN"])
def test_what_does_not_fit_is_named_and_nothing_is_written(tmp_path, change, text):
    tensors = state_dict(architecture("vgg11", **SMALL))
    change(tensors)
    with pytest.raises(BadFileError, match=f"checkpoint.pth: .*{text}"):
        convert(save(tmp_path, tensors), tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_a_named_model_that_does_not_fit_says_what_differs(tmp_path):
    path = save(tmp_path, state_dict(architecture("vgg11", **SMALL)))
    with pytest.raises(BadFileError, match=r"features.2.weight \(\d, \d, 3, 3\) is missing; .* more"):
        convert(path, tmp_path / "out.h5", model="vgg16")


def test_the_file_that_is_read_is_never_overwritten(tmp_path):
    path = save(tmp_path, state_dict(architecture("vgg11", **SMALL)))
    with pytest.raises(UsageError, match="is a file that is read; give another name"):
        convert(path, path, force=True)


def test_a_dry_run_writes_nothing(tmp_path):
    path = save(tmp_path, state_dict(architecture("vgg11", **SMALL)))
    assert convert(path, tmp_path / "out.h5", dry_run=True).path is None
    assert not (tmp_path / "out.h5").exists()


def test_the_command_prints_the_file_and_says_what_it_did(tmp_path):
    path = save(tmp_path, state_dict(architecture("vgg13_bn", **SMALL)))
    run = command_line(path, tmp_path / "out.h5", "--notes", "by hand")
    assert (run.status, run.out) == (0, f"{tmp_path / 'out.h5'}\n")
    assert "vgg13_bn, width 0.0625, 224×224 → 5 classes" in run.err
    again = command_line(path, tmp_path / "out.h5")
    assert again.status in (2, 7) and "--force" in again.err and again.err.count("\n") == 1
    assert command_line(path, tmp_path / "out.h5", "--force").status == 0


@pytest.mark.parametrize("content, status", [(b"", 3), (b"<html>not found</html>", 3), (b"\x89HDF\r\n\x1a\n", 3)],
                         ids=["empty", "HTML", "HDF5"])
def test_the_command_refuses_other_files_in_one_line(tmp_path, content, status):
    source = tmp_path / "x.pth"
    source.write_bytes(content)
    run = command_line(source, tmp_path / "out.h5")
    assert run.status == status and run.err.startswith("weights-convert: ") and run.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
