"""npvgg predict on networks whose numbers mean something else, or whose pictures are grey or have alpha: file to answer."""
import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from witnesses.command import npvgg
from witnesses.networks import lively

from npvgg import classify, network
from npvgg.cli import answers as answers_module

NAMES = ("ant", "bee", "cat", "dog", "elk")
SIZES = {"width": 1 / 16, "input_size": 32}


def saved(folder, head, name="vgg11", **fields):
    """A network with parameters of its own → (VGG, its file)."""
    vgg = lively(name, head=head, **SIZES, **fields)
    return vgg, vgg.save(folder / "model.h5")


def answers(*arguments):
    run = npvgg("predict", *arguments, "--json")
    assert run.status == 0, run.err
    return [json.loads(line) for line in run.out.splitlines()]


def logits_by_pytorch(vgg, x):
    """The network in PyTorch, in float64, from the parameters alone: (N, C, H, W) → (N, outputs)."""
    torch = pytest.importorskip("torch")
    from npvgg.parity import recording

    *_, (_, y) = recording.outputs(torch, vgg.architecture, vgg.parameters, x.astype(np.float64))
    return torch.from_numpy(y)


@pytest.mark.parametrize("outputs", [5, 1])
def test_sigmoid_probabilities_are_pytorchs_in_float64(tmp_path, pictures, outputs):
    torch = pytest.importorskip("torch")
    names = NAMES if outputs > 1 else ("healthy", "tumour")
    vgg, file = saved(tmp_path, f"avg1 flatten {outputs}", output="sigmoid", class_names=names)
    paths = [pictures / "a.png", pictures / "b.jpg"]
    expected = torch.sigmoid(logits_by_pytorch(vgg, vgg.prepare(paths))).numpy()
    if outputs == 1:
        expected = np.hstack([1 - expected, expected])
    for answer, row in zip(answers(*paths, "--model", file), expected, strict=True):
        assert answer["output"] == "sigmoid"
        assert {p["label"]: p["probability"] for p in answer["predictions"]} == pytest.approx(dict(zip(names, row)), rel=1e-5)
        for p in answer["predictions"]:                           # and of the very logits beside them, to the last digit
            exact = torch.sigmoid(torch.tensor(p["logit"], dtype=torch.float64)).item()
            assert p["probability"] == pytest.approx(exact, rel=4e-16)
        ranked = [p["probability"] for p in answer["predictions"]]
        assert ranked == sorted(ranked, reverse=True)


def test_independent_labels_do_not_sum_to_1(tmp_path, pictures):
    vgg, file = saved(tmp_path, "avg1 flatten 5", output="sigmoid", class_names=NAMES)
    (answer,) = answers(pictures / "a.png", "--model", file)
    assert [(p["label"], p["probability"], p["logit"], p["index"]) for p in answer["predictions"]] == vgg.predict(
        pictures / "a.png")
    assert abs(sum(p["probability"] for p in answer["predictions"]) - 1) > 0.01


def test_one_output_names_both_classes_and_never_says_100(tmp_path, pictures):
    _, file = saved(tmp_path, "avg1 flatten 1", class_names=("healthy", "tumour"))
    run = npvgg("predict", pictures / "a.png", "--model", file)
    first, *lines = run.out.splitlines()
    assert (run.status, run.err, first) == (0, "", str(pictures / "a.png"))
    percents, names = zip(*(line.split(" %  ") for line in lines))
    assert sorted(names) == ["healthy", "tumour"] and sum(map(float, percents)) == pytest.approx(100, abs=0.011)
    assert all(0 < float(percent) < 100 for percent in percents)


def test_one_output_without_names_numbers_two_classes(tmp_path, pictures):
    _, file = saved(tmp_path, "avg1 flatten 1")
    (answer,) = answers(pictures / "a.png", "--model", file)
    assert sorted((p["label"], p["index"]) for p in answer["predictions"]) == [("class 0", 0), ("class 1", 1)]
    assert answer["predictions"][0]["logit"] == -answer["predictions"][1]["logit"] >= 0
    assert npvgg("predict", pictures / "a.png", "--model", file, "--top", 1).out.count("%") == 1


@pytest.mark.parametrize("size, first, second", [(60, ">99.99 %", "<0.01 %"), (0, "50.00 %", "50.00 %")])
def test_what_rounds_to_0_or_100_is_neither(tmp_path, pictures, size, first, second):
    vgg = lively("vgg11", head="avg1 flatten 1", **SIZES)
    always = {"fc6/weight": 0 * vgg.parameters["fc6/weight"], "fc6/bias": np.float32([size])}
    file = replace(vgg, parameters=vgg.parameters | always).save(tmp_path / "model.h5")
    lines = npvgg("predict", pictures / "a.png", "--model", file).out.splitlines()
    assert [line.split("  class")[0].strip() for line in lines[1:]] == [first, second]


def test_a_soft_max_sums_to_1_and_says_so(tiny_file, pictures):
    (answer,) = answers(pictures / "a.png", "--model", tiny_file)
    assert answer["output"] == "softmax" and sum(p["probability"] for p in answer["predictions"]) == pytest.approx(1)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_csv_says_what_the_probabilities_are_in_its_last_column(tmp_path, pictures, output):
    _, file = saved(tmp_path, "avg1 flatten 5", output=output, class_names=NAMES)
    run = npvgg("predict", pictures / "a.png", pictures / "broken.jpg", "--model", file, "--csv")
    assert run.out.splitlines()[0] == "image,rank,label,index,probability,logit,error,output"
    assert [row["output"] for row in csv.DictReader(io.StringIO(run.out))] == [output] * 6


def test_embeddings_are_not_named_but_are_there_as_features(tmp_path, pictures):
    vgg, file = saved(tmp_path, "avg1 flatten 12 relu drop 9 relu")
    for command in (["predict"], ["predict", "--json"]):
        run = npvgg(*command, pictures / "a.png", "--model", file)
        assert (run.status, run.out) == (4, "")
        assert run.err == (f"npvgg: {file} holds features without a classifier, so it cannot name what it sees; take them with "
                           "features(pictures, ['relu7']), or load a network with a classifier\n")
    loaded = classify.load(file)
    embedding = loaded.features(pictures / "a.png", ["relu7"])["relu7"]
    assert embedding.shape == (1, 9) and (embedding >= 0).all() and embedding.any()
    assert np.array_equal(embedding, loaded(pictures / "a.png"))
    assert embedding == pytest.approx(logits_by_pytorch(vgg, vgg.prepare(pictures / "a.png")).numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (4, "RGBA")])
def test_grey_and_alpha_from_a_png_to_an_answer(tmp_path, channels, mode):
    """The same picture in PyTorch: Pillow's conversion and resize, the preset's arithmetic, the layers."""
    torch = pytest.importorskip("torch")
    vgg, file = saved(tmp_path, "avg1 flatten 7 relu 5", input_channels=channels, class_names=NAMES)
    levels = np.random.default_rng(1).integers(0, 256, (45, 61, channels), np.uint8)
    Image.fromarray(levels.squeeze()).save(tmp_path / "a.png")

    preset = vgg.preset
    assert (preset.resize, preset.crop, preset.order) == (37, 32, mode)
    with Image.open(tmp_path / "a.png") as picture:
        width = int(37 * 61 / 45)
        small = picture.convert(mode).resize((width, 37), Image.Resampling.BILINEAR)
    left, upper = round((width - 32) / 2), round((37 - 32) / 2)
    square = np.asarray(small.crop((left, upper, left + 32, upper + 32)), np.float64).reshape(32, 32, channels)
    x = ((square / 255 - preset.mean) / preset.std).transpose(2, 0, 1)[np.newaxis]
    expected = torch.softmax(logits_by_pytorch(vgg, x), 1).numpy()[0]

    (answer,) = answers(tmp_path / "a.png", "--model", file)
    assert {p["label"]: p["probability"] for p in answer["predictions"]} == pytest.approx(dict(zip(NAMES, expected)), rel=1e-4)
    run = npvgg("trace", tmp_path / "a.png", "--model", file, "-o", tmp_path / "trace.h5")
    assert run.status == 0
    from npvgg.parity import traces
    assert traces.read(tmp_path / "trace.h5")["input"] == pytest.approx(x, abs=1e-5)


def test_a_colour_picture_is_made_grey_for_a_grey_network(tmp_path, pictures):
    _, file = saved(tmp_path, "avg1 flatten 5", input_channels=1)
    with Image.open(pictures / "a.png") as picture:
        picture.convert("L").save(tmp_path / "grey.png")
    colour, grey = answers(pictures / "a.png", tmp_path / "grey.png", "--model", file)
    assert colour["predictions"] == grey["predictions"]


def guessing(tmp_path, output, classes=150):
    """A network to which all classes are alike, and as labels improbable."""
    vgg = network.create("vgg11", head=f"avg1 flatten {classes}", output=output, **SIZES)
    alike = {"fc6/weight": 0 * vgg.parameters["fc6/weight"], "fc6/bias": np.full(classes, -8, np.float32)}
    return replace(vgg, parameters=vgg.parameters | alike).save(tmp_path / "model.h5")


def test_a_guess_is_said_once_for_all_pictures(tmp_path, pictures):
    file = guessing(tmp_path, "softmax")
    paths = [pictures / "a.png", pictures / "b.jpg", pictures / "inner/c.png"]
    assert npvgg("predict", *paths, "--model", file).err == (
        "npvgg: 3 of 3 pictures: the best of 150 classes has at most 0.0067, hardly more than a guess; `npvgg verify` checks "
        "the weights, `npvgg inspect` shows how they want pictures prepared\n")
    assert npvgg("predict", paths[0], "--model", file).err.startswith(
        f"npvgg: {paths[0]}: the best of 150 classes has 0.0067, hardly more than a guess; ")


@pytest.mark.parametrize("output, classes", [("sigmoid", 150), ("softmax", 99), (None, 1)])
def test_only_a_soft_max_over_many_classes_can_be_seen_to_guess(tmp_path, pictures, output, classes):
    assert npvgg("predict", pictures / "a.png", "--model", guessing(tmp_path, output, classes)).err == ""


# ------------------------------------------------------------------------------------------- names, answers, forms


def test_as_many_answers_as_names_in_their_order(tiny_file, pictures):
    names = [pictures / "a.png", pictures / "nope.png", pictures / "a.png", pictures / "b.jpg"]
    run = npvgg("predict", *names, "--model", tiny_file, "--json")
    lines = [json.loads(line) for line in run.out.splitlines()]
    assert run.status == 8
    assert [line["image"] for line in lines] == list(map(str, names))
    assert lines[1]["error"] == f"{pictures / 'nope.png'}: no such file; check the name"
    assert lines[0]["predictions"] == lines[2]["predictions"]
    assert npvgg("predict", pictures / "nope.png", "--model", tiny_file).status == 7


def test_json_and_csv_exclude_each_other(tiny_file, pictures):
    run = npvgg("predict", pictures / "a.png", "--model", tiny_file, "--json", "--csv")
    assert run.status == 2 and "--json and --csv were given; choose one of them" in run.err


def test_a_dash_is_standard_output(tiny_file, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["predict", pictures / "a.png", "--model", tiny_file]
    assert npvgg(*arguments, "-o", "-").out == npvgg(*arguments).out != ""
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("name", ["two\nlines.png", "a\rb.png", 'a "quoted", name.png'])
def test_any_name_survives_csv_and_json(tiny_file, pictures, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((pictures / "a.png").read_bytes())
    arguments = ["predict", path, "--model", tiny_file, "--top", 2]
    rows = list(csv.DictReader(io.StringIO(npvgg(*arguments, "--csv").out, newline="")))
    assert [row["image"] for row in rows] == [str(path)] * 2
    assert [answer["image"] for answer in answers(*arguments[1:])] == [str(path)]
    first, *lines = npvgg(*arguments).out.splitlines()
    assert len(lines) == 2 and first.isprintable()


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
@pytest.mark.parametrize("form", [["--json"], ["--csv"], []], ids=["json", "csv", "people"])
def test_a_name_that_is_no_utf8_loses_no_answer(tiny_file, pictures, tmp_path, form):
    for name in (b"caf\xe9.png", "日本.png".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes((pictures / "a.png").read_bytes())
    arguments = ["predict", tmp_path, "--model", tiny_file, *form]
    printed = npvgg(*arguments)
    written = npvgg(*arguments, "-o", tmp_path / "answers")
    assert (printed.status, written.status, printed.err) == (0, 0, "")
    assert (tmp_path / "answers").read_bytes().decode() == printed.out
    assert r"caf\udce9.png" in printed.out and "日本.png" in printed.out


def test_an_interrupted_run_keeps_what_it_has_answered(tiny_file, pictures, tmp_path, monkeypatch):
    def interrupted(answer, output):
        if "b.jpg" in answer.image:
            raise KeyboardInterrupt
        return as_json(answer, output)

    as_json = answers_module.as_json
    monkeypatch.setattr(answers_module, "as_json", interrupted)
    run = npvgg("predict", pictures, "--model", tiny_file, "--json", "-o", tmp_path / "out")
    assert run.status == 130
    assert run.err == f"what was finished before is kept in {tmp_path / 'out.partial'}\nnpvgg: interrupted\n"
    (line,) = (tmp_path / "out.partial").read_text().splitlines()
    assert json.loads(line)["image"].endswith("a.png")
