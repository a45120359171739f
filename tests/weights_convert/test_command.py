"""The command line of the converter: files, and networks by name."""
import numpy as np
import pytest
from witnesses.command import weights_convert

from npvgg import hub, images, network


def test_a_name_stands_for_the_networks_weights_file(tmp_path):
    run = weights_convert(hub.DEFAULT, tmp_path / "out.npz")
    assert (run.status, run.out) == (0, f"{tmp_path / 'out.npz'}\n")
    vgg = network.load_file(hub.locate())
    with np.load(tmp_path / "out.npz") as arrays:
        assert all(np.array_equal(arrays[path], array) for path, array in vgg.parameters.items())


@pytest.mark.parametrize("arguments, status, words", [
    (["vgg16"], 2, "vgg16 is the name of a network, no file; say where to write, or run `npvgg download vgg16`"),
    (["vgg61", "out.npz"], 2, "there is no model called 'vgg61' (did you mean 'vgg16'?)"),
    (["nowhere.pth", "out.h5"], 7, "nowhere.pth: it cannot be read"),
    (["vgg16", "out.npz"], 6, "vgg16 would have to be fetched"),
])
def test_what_cannot_be_converted_is_one_sentence(tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPVGG_OFFLINE", "1")
    run = weights_convert(*arguments)
    assert (run.status, run.out, run.err.count("\n")) == (status, "", 1) and words in run.err
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_obeys_nothing_in_a_files_name(tmp_path):
    path = tmp_path / "a\x1b[2J.h5"
    path.write_bytes(hub.locate().read_bytes())
    run = weights_convert(path, tmp_path / "out.npz")
    assert run.status == 0 and r"a\x1b[2J.h5: npvgg weights file" in run.err and "\x1b" not in run.err


def test_a_preset_of_ones_own_is_a_file(tmp_path):
    recipe = images.Preset("mine", 32, 32, mean=(0.0,) * 3, std=(1.0,) * 3, crop_mode="squash")
    (tmp_path / "mine.json").write_text(recipe.to_json())
    run = weights_convert(hub.DEFAULT, tmp_path / "out.h5", "--preset", tmp_path / "mine.json")
    assert run.status == 0 and network.load_file(tmp_path / "out.h5").preset == recipe
    (tmp_path / "mine.json").write_text("{}")
    for name, status, words in (("mine.json", 3, "mine.json: the preset holds"), ("no.json", 7, "no.json: the preset cannot")):
        run = weights_convert(hub.DEFAULT, tmp_path / "other.h5", "--preset", tmp_path / name)
        assert (run.status, run.err.count("\n")) == (status, 1) and words in run.err
