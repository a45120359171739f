"""A training as pictures: curves, learning rate, worst mistakes, confusion; each a PNG, and all in one HTML file.

Needs matplotlib, the extra [plot].
"""
import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from npvgg import labels
from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.storage import atomic_file
from npvgg.text import counted, shown
from npvgg.training import history
from npvgg.training.evaluation import Evaluation, confusion, evaluate
from npvgg.training.pictures import Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 16                   # pictures
NUMBERS = 12                    # classes, above which a confusion's cells hold no numbers
PAIRS = 20                      # of classes that are taken for one another
FOLDER, PAGE = "report", "report.html"
STYLE = ("body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}img{max-width:100%}"
         "table{border-collapse:collapse}td,th{padding:.1rem .8rem;text-align:right}"
         "td:first-child,th:first-child{text-align:left}"
         "pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}")


def require() -> None:
    """UsageError where matplotlib is not installed: before a training, not after it."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UsageError('reports are drawn with matplotlib; run pip install "npvgg[plot]"') from None


def write(folder: Path, vgg: VGG, val: Pictures | None, notes: str = "") -> Path:
    """The history in RUN, and the answers to `val` if there is one → RUN/report.html and the PNGs in RUN/report.

    StorageError where they cannot be written.
    """
    require()
    rows = history.read(folder)
    figures = {"curves": curves(rows), "rate": rate(rows)} if rows else {}
    facts = {"network": repr(vgg)[1:-1], "epochs": str(len(rows))}
    if val is not None:
        judged = evaluate(vgg, val)
        facts["top-1"] = f"{100 * judged.top1:.2f} % of {counted(len(val), 'picture')}"
        if judged.top5 is not None:
            facts["top-5"] = f"{100 * judged.top5:.2f} %"
        if not val.is_multi_label:
            figures |= {"mistakes": mistakes(vgg, val.in_mode(vgg.preset.mode), judged),
                        "confusion": confusions(judged, val.class_names)}
    figures = {name: figure for name, figure in figures.items() if figure is not None}
    images = {name: png(figure) for name, figure in figures.items()}
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise atomic_file.StorageError(atomic_file.sentence(folder / FOLDER, error)) from None
    for name, data in images.items():
        atomic_file.write(folder / FOLDER / f"{name}.png", data, force=True)
    atomic_file.write(folder / PAGE, page(facts, images, rows, notes), force=True)
    return folder / PAGE


def figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches; nothing of matplotlib's state for interactive use is touched."""
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=100, layout="constrained")


def png(drawn: "Figure") -> bytes:
    """A figure → PNG."""
    out = io.BytesIO()
    drawn.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def curves(rows: list[dict[str, Any]]) -> "Figure":
    """Loss and accuracy by epoch, of training and validation."""
    drawn = figure(10, 4)
    epochs = [row["epoch"] for row in rows]
    for axes, what, scale in zip(drawn.subplots(1, 2), ("loss", "top1"), (1, 100), strict=True):
        for part, name in (("train", "training"), ("val", "validation")):
            values = [np.nan if row[f"{part}_{what}"] is None else scale * row[f"{part}_{what}"] for row in rows]
            if np.isfinite(values).any():
                axes.plot(epochs, values, label=name, marker="." if len(rows) < 20 else "")
        axes.set(xlabel="epoch", ylabel="loss" if what == "loss" else "top-1, %")
        axes.grid(alpha=0.3)
        axes.legend()
    return drawn


def rate(rows: list[dict[str, Any]]) -> "Figure":
    """The learning rate at the end of each epoch."""
    drawn = figure(10, 2.5)
    axes = drawn.subplots()
    axes.plot([row["epoch"] for row in rows], [row["lr"] for row in rows], color="black")
    axes.set(xlabel="epoch", ylabel="learning rate")
    axes.grid(alpha=0.3)
    return drawn


def mistakes(vgg: VGG, val: Pictures, judged: Evaluation) -> "Figure | None":
    """The wrong answers of which the network was surest, with what it said and what is right; None where none is wrong."""
    chances, answers = labels.probabilities(judged.logits, "softmax"), judged.logits.argmax(axis=1)
    wrong = np.flatnonzero(answers != judged.targets)
    wrong = wrong[np.argsort(-chances[wrong, answers[wrong]], kind="stable")][:MISTAKES]
    if not len(wrong):
        return None
    columns = min(8, len(wrong))
    lines = -(-len(wrong) // columns)
    drawn = figure(1.5 * columns + 0.5, 2.0 * lines)
    for axes in np.ravel(grid := drawn.subplots(lines, columns, squeeze=False)):
        axes.axis("off")
    for axes, index in zip(np.ravel(grid), wrong, strict=False):
        axes.imshow(val.picture(index), cmap="gray")
        axes.set_title(f"{literal(val.class_names[answers[index]])} {100 * chances[index, answers[index]]:.0f} %\n"
                       f"is {literal(val.class_names[judged.targets[index]])}", fontsize=8)
    return drawn


def literal(name: str) -> str:
    """A class name in which matplotlib finds no formula."""
    return shown(name, 24).replace("$", r"\$")


def confusions(judged: Evaluation, names: tuple[str, ...]) -> "Figure":
    """Which class was taken for which: a table of few classes, of many the pairs that are taken for one another most often."""
    table = confusion(judged.logits, judged.targets)
    if len(names) > 4 * NUMBERS:
        return pairs(table, names)
    side = 2.5 + 0.35 * len(names)
    drawn = figure(side, side)
    axes = drawn.subplots()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), list(map(literal, names)), rotation=90)
    axes.set_yticks(range(len(names)), list(map(literal, names)))
    axes.set(xlabel="answer", ylabel="is")
    if len(names) <= NUMBERS:
        for (i, j), count in np.ndenumerate(table):
            axes.text(j, i, str(count), ha="center", va="center", fontsize=8, color="white" if shares[i, j] > 0.5 else "black")
    return drawn


def pairs(table: np.ndarray, names: tuple[str, ...]) -> "Figure":
    """The PAIRS most frequent mistakes as bars."""
    wrong = table - np.diag(np.diag(table))
    most = np.argsort(-wrong.ravel(), kind="stable")[:PAIRS][::-1]
    places = [divmod(int(place), len(names)) for place in most]
    drawn = figure(8, 6)
    axes = drawn.subplots()
    axes.barh([f"{literal(names[i])} taken for {literal(names[j])}" for i, j in places], [wrong[i, j] for i, j in places])
    axes.set(xlabel="pictures")
    return drawn


def page(facts: dict[str, str], images: dict[str, bytes], rows: list[dict[str, Any]], notes: str) -> str:
    """Facts, pictures and history → one HTML file that needs no other."""
    titles = {"curves": "Loss and accuracy", "rate": "Learning rate", "mistakes": "The mistakes it was surest of",
              "confusion": "What was taken for what"}
    parts = ["<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Training</title>",
             f"<style>{STYLE}</style><h1>Training</h1>",
             "<table>" + "".join(f"<tr><th>{name}<td>{html.escape(words)}" for name, words in facts.items()) + "</table>"]
    for name, data in images.items():
        source = base64.b64encode(data).decode()
        parts.append(f'<h2>{titles[name]}</h2><img alt="{titles[name]}" src="data:image/png;base64,{source}">')
    if rows:
        heads = "".join(f"<th>{name}" for name in history.COLUMNS)
        cells = "".join("<tr>" + "".join(f"<td>{cell(row[name])}" for name in history.COLUMNS) for row in rows)
        parts.append(f"<h2>Epochs</h2><table><tr>{heads}{cells}</table>")
    if notes:
        parts.append(f"<h2>How it was made</h2><pre>{html.escape(notes)}</pre>")
    return "\n".join(parts) + "</html>\n"


def cell(value: float | None) -> str:
    """A number of the history for people."""
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"
