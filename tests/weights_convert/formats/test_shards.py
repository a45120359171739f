"""Weights in several files and in folders, as the Hugging Face hub has them."""
import json

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.command import weights_convert as command_line

from npvgg import initialisation
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, NpvggError, UsageError
from weights_convert import formats
from weights_convert.convert import convert
from weights_convert.schemes.torchvision import TORCHVISION

NET = architecture("vgg11", width=1 / 32, hidden=(6,), num_classes=3, pooled_size=1, input_size=32)


def state():
    parameters = initialisation.initial(NET)
    return {key: parameters[path] for key, path in TORCHVISION.paths(NET).items()}


def write(path, tensors):
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(tensors, path)
    else:
        path.write_bytes(builder.write("zip", *builder.state_dict(tensors)))


def sharded(folder, ending="bin", count=3, stem="pytorch_model"):
    """The network in `count` files beside an index."""
    tensors, places = state(), {}
    for number in range(count):
        name = f"{stem}-{number + 1:05}-of-{count:05}.{ending}"
        part = {key: tensors[key] for key in list(tensors)[number::count]}
        write(folder / name, part)
        places |= dict.fromkeys(part, name)
    return index(folder, places, f"{stem}.{ending}.index.json")


def index(folder, places, name="pytorch_model.bin.index.json"):
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return folder / name


@pytest.mark.parametrize("ending, stem", [("bin", "pytorch_model"), ("safetensors", "model")])
@pytest.mark.parametrize("whole", [True, False])
def test_all_shards_are_read(tmp_path, ending, stem, whole):
    path = sharded(tmp_path, ending, stem=stem)
    found = formats.read(tmp_path if whole else path)
    expected = state()
    assert found.tensors.keys() == expected.keys() and found.container.startswith("3 shards")
    assert all(np.array_equal(found.tensors[key], expected[key]) for key in expected)
    assert sum(remark.startswith("shard ") and "SHA-256" in remark for remark in found.remarks) == 3


@pytest.mark.parametrize("whole", [True, False])
def test_no_shard_is_written_over(tmp_path, whole):
    path = sharded(tmp_path, "safetensors", stem="model")
    shard = tmp_path / "model-00001-of-00003.safetensors"
    before = shard.read_bytes()
    with pytest.raises(UsageError, match="00001-of-00003.safetensors is a file that is read; give another name"):
        convert(tmp_path if whole else path, shard, force=True)
    assert shard.read_bytes() == before


def test_the_file_of_a_folder_is_not_written_over(tmp_path):
    write(tmp_path / "model.safetensors", state())
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="is a file that is read; give another name"):
        convert(tmp_path, tmp_path / "model.safetensors", force=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_shard_alone_is_refused(tmp_path):
    sharded(tmp_path, count=2)
    with pytest.raises(BadFileError, match="shard 1 of 2.*pytorch_model.bin.index.json"):
        formats.read(tmp_path / "pytorch_model-00001-of-00002.bin")
    write(tmp_path / "model-00001-of-00001.bin", state())
    assert formats.read(tmp_path / "model-00001-of-00001.bin").tensors


def test_a_missing_shard_is_named(tmp_path):
    path = sharded(tmp_path)
    (tmp_path / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(BadFileError, match="1 are missing .'pytorch_model-00002-of-00003.bin'"):
        formats.read(path)


@pytest.mark.parametrize("change", [
    lambda places: places.pop("features.0.weight"), lambda places: places.update(more="pytorch_model-00001-of-00003.bin"),
    lambda places: places.update({"features.0.weight": places["features.0.bias"]}),
], ids=["one that is not listed", "one that is not there", "one elsewhere"])
def test_index_and_shards_have_to_agree(tmp_path, change):
    path = sharded(tmp_path)
    places = json.loads(path.read_text())["weight_map"]
    change(places)
    with pytest.raises(BadFileError, match="index and shards disagree about '(features.0.weight|more)'"):
        formats.read(index(tmp_path, places))


@pytest.mark.parametrize("places", [{}, [], {"a": 1}, {"a": "../secret.bin"}, {"a": "/etc/passwd"}, {"a": ".."}, {"a": "b\\c"},
                                    {"a": "x\n.bin"}, {str(n): f"{n}.bin" for n in range(1001)}],
                         ids=lambda value: f"{value}"[:20])
def test_an_index_names_files_beside_it_only(tmp_path, places):
    with pytest.raises(BadFileError, match="does not name files beside it"):
        formats.read(index(tmp_path, places))


def test_an_index_of_itself(tmp_path):
    with pytest.raises(BadFileError, match="JSON text where a shard belongs"):
        formats.read(index(tmp_path, {"a": "pytorch_model.bin.index.json"}))


@pytest.mark.parametrize("text, words", [("{\"architecture\": \"vgg16\"}", "without weights.*name the file with the weights"),
                                         ("{\"a\": 1", "or was cut"), ("{\"a\": 1, \"a\": 2}", "or was cut"),
                                         ("{" * 5000, "or was cut")], ids=["config", "cut", "twice", "deep"])
def test_other_json(tmp_path, text, words):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadFileError, match=words):
        formats.read(tmp_path / "config.json")


# ------------------------------------------------------------------------------------------------- folders

CONFIG = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.25], "input_size": [3, 64, 64], "crop_pct": 0.5,
          "interpolation": "bilinear", "crop_mode": "center"}


def described(folder, config, name="pytorch_model.bin"):
    write(folder / name, state())
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


@pytest.mark.parametrize("whole", [True, False])
def test_timms_config_says_how_pictures_are_prepared(tmp_path, whole):
    folder = described(tmp_path, {"architecture": "vgg11", "pretrained_cfg": CONFIG, "label_names": ["a", "b", "c"]})
    found = formats.read(folder if whole else folder / "pytorch_model.bin")
    preset = found.stated["preset"]
    assert (preset.mean, preset.std, preset.crop, preset.resize) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.25), 64, 128)
    assert found.metadata == {"classes": ("a", "b", "c")}
    assert found.remarks == ("pictures are prepared as config.json beside it says",)
    report = convert(folder, tmp_path / "out.h5")
    assert report.preset == "config.json" and report.architecture.input_size == 64
    assert not any("--preset" in remark or "--input-size" in remark for remark in report.remarks)


def test_usual_numbers_are_torchvisions_preset(tmp_path):
    from npvgg import images

    usual = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "input_size": [3, 224, 224], "crop_pct": 0.875,
             "interpolation": "bilinear"}
    found = formats.read(described(tmp_path, {"pretrained_cfg": usual}))
    assert found.stated["preset"] == images.preset("torchvision")


def test_what_the_config_asks_for_and_npvgg_has_not_is_said(tmp_path):
    found = formats.read(described(tmp_path, CONFIG | {"interpolation": "random", "crop_mode": "border"}))
    assert "but for interpolation random and crop_mode border" in found.remarks[0]


@pytest.mark.parametrize("said, expected", [({"interpolation": "lanczos", "crop_mode": "squash"}, ("lanczos", "squash")),
                                            ({}, ("bilinear", "center"))])
def test_ways_of_resizing_come_along(tmp_path, said, expected):
    preset = formats.read(described(tmp_path, CONFIG | said)).stated["preset"]
    assert (preset.interpolation, preset.crop_mode) == expected


def test_timm_resizes_bicubically_where_nothing_is_said(tmp_path):
    config = {key: value for key, value in CONFIG.items() if key not in ("interpolation", "crop_mode")}
    assert formats.read(described(tmp_path, config)).stated["preset"].interpolation == "bicubic"


@pytest.mark.parametrize("config", ["no json", "[]", CONFIG | {"mean": [1]}, CONFIG | {"std": [0, 1, 1]},
                                    CONFIG | {"mean": ["a"] * 3}, CONFIG | {"input_size": [3, 64, 65]},
                                    CONFIG | {"input_size": 64}, CONFIG | {"crop_pct": 0},
                                    CONFIG | {"input_size": [3, 10**9, 10**9]}, CONFIG | {"crop_pct": 1e-9}], ids=str)
def test_a_config_that_is_not_understood_is_said(tmp_path, config):
    found = formats.read(described(tmp_path, config))
    assert "preset" not in found.stated and "config.json beside it was not understood" in found.remarks[0]


def test_a_config_beside_another_file_is_not_its(tmp_path):
    folder = described(tmp_path, {"pretrained_cfg": CONFIG}, name="mine.pth")
    assert "preset" not in formats.read(folder / "mine.pth").stated


def test_a_folder_at_the_command_line(tmp_path, monkeypatch):
    sharded(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = command_line(".")
    assert run.status == 0 and (tmp_path.parent / f"{tmp_path.name}.h5").is_file() and "3 shards" in run.err
    run = command_line("/", "--dry-run")
    assert run.status and "give OUT" in run.err


def test_the_file_in_a_folder(tmp_path):
    with pytest.raises(BadFileError, match="a folder without a file of weights"):
        formats.read(tmp_path)
    write(tmp_path / "vgg.pth", state())
    assert formats.read(tmp_path).tensors.keys() == state().keys()
    write(tmp_path / "other.pth", state())
    with pytest.raises(UsageError, match="'other.pth', 'vgg.pth'; name the one"):
        formats.read(tmp_path)
    write(tmp_path / "pytorch_model.bin", state())
    assert formats.read(tmp_path).tensors
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(NpvggError, match="pytorch_model.bin: it is empty"):
        formats.read(tmp_path)
