"""A training as pictures and one page."""
import re

import numpy as np
import pytest
from witnesses import training_data

from npvgg import network
from npvgg.training import history, pictures, report
from npvgg.training.evaluation import confusion, judged

pytest.importorskip("matplotlib")
VGG = network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3", class_names=("a<b", "$x$", "cat"),
                     threads=1)


@pytest.fixture
def folder(tmp_path):
    for epoch in (1, 2):
        history.append(tmp_path, dict.fromkeys(history.COLUMNS, 0.5) | {"epoch": epoch, "val_top5": None})
    return tmp_path


def test_the_page_needs_no_other_file_and_shows_everything(folder):
    x, classes = training_data.levels(9)
    page = report.write(folder, VGG, pictures.of_arrays(x, classes, VGG.class_names), "made <here>")
    text = page.read_text(encoding="utf-8")
    assert len(re.findall("data:image/png;base64", text)) == 4 and "src=\"http" not in text and "made &lt;here&gt;" in text
    names = {path.name for path in (folder / "report").iterdir()}
    assert names == {"curves.png", "rate.png", "mistakes.png", "confusion.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "report").iterdir())


def test_without_validation_there_are_curves(folder):
    assert len(re.findall("data:image/png;base64", report.write(folder, VGG, None).read_text(encoding="utf-8"))) == 2


def test_many_classes_are_shown_by_pairs():
    names = tuple(f"class {k}" for k in range(60))
    logits = np.random.default_rng(0).standard_normal((100, 60))
    assert report.png(report.confusions(judged(logits, np.arange(100) % 60), names)).startswith(b"\x89PNG")


def test_confusion_counts_each_picture_once():
    table = confusion(np.eye(3)[[0, 1, 1, 2]], np.array([0, 1, 2, 2]))
    assert table.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_accuracy_counts_the_first_of_equal_logits():
    answer = judged(np.array([[1.0, 1.0, 0.0, 0, 0, 0, 0]] * 2), np.array([0, 1]))
    assert answer.top1 == 0.5 and answer.top5 == 1.0


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    import sys

    from npvgg.errors import UsageError

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"npvgg\[plot\]"):
        report.require()
