"""npvgg explain, heatmap, show and preprocess: numbers, pictures, refusals."""
import json

import numpy as np
import pytest
from PIL import Image
from witnesses.command import npvgg

from npvgg import images
from npvgg.cli import heatmap
from npvgg.explorer import METHODS


@pytest.fixture(scope="module")
def vgg(tiny_file):
    from npvgg import network

    return network.load_file(tiny_file)


def test_explain_prints_the_table_and_the_json_of_the_number(tiny_file, vgg, pictures):
    arguments = "explain", pictures / "a.png", "conv2_1:3,2,5", "--model", tiny_file
    found = vgg.explain(pictures / "a.png", "conv2_1", 3, 2, 5)
    run = npvgg(*arguments)
    assert (run.status, run.out) == (0, found.table() + "\n")
    shown = json.loads(npvgg(*arguments, "--json").out)
    assert shown["sum"] == found.sum and shown["kernel"] == found.kernel and np.array_equal(shown["window"], found.window)
    assert npvgg(*arguments, "--most", 3).out.count("more") == 1
    largest = npvgg("explain", "-", "relu1_1", "--model", tiny_file, stdin=(pictures / "a.png").read_bytes())
    assert largest.out == vgg.explain(pictures / "a.png", "relu1_1").table() + "\n"


def test_explain_says_what_decided(tiny_file, vgg, pictures):
    arguments = "explain", pictures / "b.jpg", "--model", tiny_file
    assert npvgg(*arguments).out == vgg.why(pictures / "b.jpg").table() + "\n"
    shown = json.loads(npvgg(*arguments, "--why", "bee", "--json").out)
    assert shown["label"] == "bee" and len(shown["contributions"]) == 9


def test_the_methods_are_those_of_the_library():
    assert tuple(METHODS) == heatmap.METHODS


def test_heatmap_writes_the_photograph_under_the_map(tiny_file, pictures, tmp_path, vgg):
    path = tmp_path / "heat.png"
    arguments = "heatmap", pictures / "a.png", "--model", tiny_file, "--target", "cat", "-o", path
    run = npvgg(*arguments, "--method", "occlusion", "--window", 9, "--stride", 6)
    assert run.status == 0 and run.out == f"{path}\n" and "occlusion of cat" in run.err
    assert Image.open(path).size == (331, 256)                                    # 53×41, enlarged
    before = path.read_bytes()
    assert npvgg(*arguments).status == 2 and path.read_bytes() == before
    assert npvgg(*arguments, "--force").status == 0 and path.read_bytes() != before
    shown = json.loads(npvgg(*arguments[:-2], "--json", "--layer", "relu4_1").out)
    expected = vgg.attribute(pictures / "a.png", "gradcam", "cat", layer="relu4_1")
    assert np.array(shown["map"]) == pytest.approx(expected.map) and shown["target"] == "cat"


def test_heatmap_says_whether_the_map_changes_where_layers_are_drawn_at_random(tiny_file, vgg, pictures):
    run = npvgg("heatmap", pictures / "a.png", "--model", tiny_file, "--tier", "reference", "--sanity")
    names = [line.split()[0] for line in run.out.splitlines()[2:]]
    weighted = [layer.name for layer in vgg.architecture.layers if layer.op in ("conv2d", "dense")]
    assert run.status == 0 and names == weighted[::-1]


def test_heatmap_and_preprocess_draw_in_text_where_there_are_no_colours(tiny_file, pictures):
    run = npvgg("heatmap", pictures / "a.png", "--model", tiny_file)
    assert run.status == 0 and len(run.out.splitlines()) == 30 and set(run.out) <= set(" .:-=+*#%@\n")
    run = npvgg("preprocess", pictures / "a.png", "--model", tiny_file, "--show")
    assert run.status == 0 and max(map(len, run.out.splitlines())) <= 80 and run.out.count("\n") > 30


def test_terminals_with_colours_get_blocks(tiny_file, pictures, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    run = npvgg("preprocess", pictures / "a.png", "--model", tiny_file, "--show")
    assert run.status == 0 and "▀" in run.out and "\x1b[38;2;" in run.out


def test_show_lists_and_draws_the_maps(tiny_file, vgg, pictures, tmp_path):
    maps = vgg.features(pictures / "a.png", "relu2_1")["relu2_1"][0]
    arguments = "show", pictures / "a.png", "--model", tiny_file, "--layer", "features.6"
    lines = npvgg(*arguments, "--top", 3).out.splitlines()
    assert lines[0].startswith("relu2_1 of vgg11_bn: 8×16×16") and len(lines) == 2 + 2 + 3
    assert int(lines[4].split()[0]) == maps.mean((1, 2)).argmax()
    shown = json.loads(npvgg(*arguments, "--json").out)
    assert len(shown["channels"]) == 8 and shown["channels"][0]["largest"] == maps[shown["channels"][0]["channel"]].max()
    run = npvgg(*arguments, "-o", tmp_path / "sheet.png")
    assert run.out == f"{tmp_path / 'sheet.png'}\n" and Image.open(tmp_path / "sheet.png").width > 240
    run = npvgg(*arguments[:-1], "fc6", "-o", tmp_path / "units.png")
    assert run.status == 2 and "gives 12 numbers and no maps" in run.err and not (tmp_path / "units.png").exists()
    assert npvgg(*arguments[:-1], "prob").out.startswith("prob of")


def test_preprocess_follows_the_picture(tiny_file, vgg, pictures, tmp_path):
    x = vgg.prepare(pictures / "b.jpg")[0]
    arguments = "preprocess", pictures / "b.jpg", "--model", tiny_file
    shown = json.loads(npvgg(*arguments, "--json").out)
    assert shown["given"] == {"width": 37, "height": 64, "mode": "RGB"} and shown["shape"] == [1, 3, 32, 32]
    assert [channel["highest"] for channel in shown["channels"]] == pytest.approx(x.max((1, 2)).tolist())
    assert npvgg(*arguments, "-o", tmp_path / "input.png").status == 0
    levels = np.asarray(Image.open(tmp_path / "input.png"))
    assert np.array_equal(levels, images.pixels(pictures / "b.jpg", vgg.preset))


@pytest.mark.parametrize("arguments, status, words", [
    ("explain a.png conv1_1:99", 2, "conv1_1 has no channel 99"), ("explain a.png conv9", 2, "no layer 'conv9'"),
    ("explain a.png conv1_1:1,2", 2, "names no unit"), ("explain a.png --why cow", 2, "no class 'cow'"),
    ("explain a.png conv1_1 --why cat", 2, "choose one"), ("explain .", 2, "pictures; give one"),
    ("explain broken.jpg", 3, "broken.jpg"), ("explain nothing.png", 2, "nothing.png"),
    ("heatmap a.png --target cow", 2, "no class 'cow'"), ("heatmap a.png -o heat.jpg", 2, "ends with .png"),
    ("heatmap a.png -o h.png --sanity", 2, "leave these out"),
    ("heatmap a.png -o a.png", 2, "a.png"), ("heatmap a.png --method saliency --window 3", 2, "no 'window'"),
    ("heatmap a.png --method relevance --rule gamma", 2, "rule is 'gamma'"),
    ("show a.png --layer conv9", 2, "no layer 'conv9'"), ("preprocess a.png --show --json", 2, "choose one"),
    ("preprocess a.png -o inner/c.png", 2, "c.png"),
])
def test_what_makes_no_sense_is_a_sentence_and_no_file(arguments, status, words, tiny_file, pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    before = sorted(pictures.rglob("*"))
    run = npvgg(*arguments.split(), "--model", tiny_file)
    assert (run.status, run.out) == (status, "") and words in " ".join(run.err.split())
    assert "Traceback" not in run.err and sorted(pictures.rglob("*")) == before
