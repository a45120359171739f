"""npvgg predict: output, files, exit statuses."""
import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from witnesses.command import npvgg

from npvgg import classify


@pytest.fixture
def model(tiny_file):
    return ["--model", str(tiny_file)]


def test_people_read_a_name_and_percentages(pictures, model):
    run = npvgg("predict", pictures / "a.png", *model, "--top", 2)
    first, *lines = run.out.splitlines()
    assert (run.status, first, len(lines)) == (0, str(pictures / "a.png"), 2)
    percent, label = lines[0].split("%")
    assert 25 <= float(percent) <= 100 and label.strip() in ("ant", "bee", "cat", "dog")


def test_json_is_one_object_a_line_and_equals_the_library(pictures, model, tiny_file):
    run = npvgg("predict", pictures / "a.png", pictures / "b.jpg", *model, "--json")
    lines = [json.loads(line) for line in run.out.splitlines()]
    assert [line["image"] for line in lines] == [str(pictures / "a.png"), str(pictures / "b.jpg")]
    answers = classify.predict([pictures / "a.png", pictures / "b.jpg"], tiny_file)
    assert [[(p["label"], p["index"], p["probability"], p["logit"]) for p in line["predictions"]] for line in lines] == [
        [(p.label, p.index, p.probability, p.logit) for p in answer] for answer in answers]


def test_csv_has_a_header_and_a_line_a_label(pictures, model):
    rows = list(csv.DictReader(io.StringIO(npvgg("predict", pictures / "a.png", *model, "--csv", "--top", 3).out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert sum(float(row["probability"]) for row in rows) <= 1
    assert rows[0]["error"] == ""


def test_a_directory_is_walked_and_a_bad_picture_is_counted(pictures, model):
    run = npvgg("predict", pictures, *model, "--json", "--batch", 2)
    names = [json.loads(line)["image"].removeprefix(f"{pictures}/") for line in run.out.splitlines()]
    assert names == ["a.png", "b.jpg", "broken.jpg", "inner/c.png"]
    assert [("error" in json.loads(line)) for line in run.out.splitlines()] == [False, False, True, False]
    assert run.status == 8
    assert "1 of 4 pictures could not be classified" in run.err
    assert "broken.jpg" in run.err


def test_a_bad_picture_alone_gives_its_own_status(pictures, model):
    run = npvgg("predict", pictures / "broken.jpg", *model)
    assert (run.status, run.err.count("\n")) == (3, 1)


@pytest.mark.parametrize("batch", [1, 2, 3, 9])
def test_the_batch_size_changes_no_bit(pictures, model, batch):
    whole = npvgg("predict", pictures, *model, "--json").out
    assert npvgg("predict", pictures, *model, "--json", "--batch", batch).out == whole


@pytest.mark.parametrize("form", ["--json", "--csv", None], ids=str)
def test_a_file_holds_what_standard_output_would(pictures, model, tmp_path, form):
    arguments = [pictures / "a.png", *model, *([form] if form else [])]
    target = tmp_path / "answers"
    run = npvgg("predict", *arguments, "--output", target)
    assert run.out == ""
    assert target.read_text() == npvgg("predict", *arguments).out


def test_an_existing_output_is_kept_unless_forced(pictures, model, tmp_path):
    target = tmp_path / "answers"
    target.write_text("mine")
    run = npvgg("predict", pictures / "a.png", *model, "--output", target)
    assert run.status in (2, 7) and target.read_text() == "mine" and "--force" in run.err
    assert npvgg("predict", pictures / "a.png", *model, "--output", target, "--force").status == 0
    assert target.read_text() != "mine"


def test_without_a_model_it_says_which_one_answers(pictures):
    run = npvgg("predict", pictures / "a.png")
    assert run.status == 0
    (line,) = run.err.splitlines()
    assert "no --model given, so this is the bundled vgg13_bn-cifar10: 10 classes (airplane, " in line


@pytest.mark.parametrize("arguments, status, text", [
    (["nowhere/*.png"], 2, "nowhere"), (["a.png", "--model", "resnet50"], 2, "resnet50"),
    (["a.png", "--model", "no.h5"], 7, "no.h5"), (["a.png", "--model", "broken.jpg"], 3, "broken.jpg"),
    (["a.png", "--top", "0"], 2, "--top"), (["a.png", "--threads", "4096"], 2, "threads is 4096; this process can use 1 to"),
    ([], 2, "no pictures were named; give files, directories, patterns, - for standard input, or --files-from FILE"),
    (["a.png", "-0"], 2, "--null was given without --files-from"),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_wrong_use_is_one_sentence(pictures, tiny_file, monkeypatch, arguments, status, text):
    monkeypatch.chdir(pictures)
    if "--model" not in arguments and arguments:
        arguments = [*arguments, "--model", str(tiny_file)]
    run = npvgg("predict", *arguments)
    assert (run.status, run.out) == (status, "")
    assert text in run.err and "Traceback" not in run.err


def test_features_cannot_be_named(tmp_path, pictures):
    from npvgg import network

    path = network.create("vgg11", width=1 / 32, num_classes=None, input_size=32, pooled_size=1).save(tmp_path / "f.h5")
    run = npvgg("predict", pictures / "a.png", "--model", path)
    assert run.status == 4
    assert "holds features without a classifier, so it cannot name what it sees; take them with features(" in run.err


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_the_progress_bar_leaves_the_answers_on_standard_output(pictures, model):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "npvgg", "predict", str(pictures), *model, "--json"]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):                   # how Linux says that the other end is closed
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    out, _ = process.communicate()
    assert len([json.loads(line) for line in out.splitlines()]) == 4
    assert b"classifying" in seen and b'"predictions"' not in seen
