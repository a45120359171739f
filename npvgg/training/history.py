"""What every epoch gave, in two files that grow by a line: history.csv and history.jsonl.

A run that goes on from a checkpoint cuts off the lines of epochs that it will do again.
"""
import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npvgg.errors import BadFileError, StorageError
from npvgg.storage import atomic_file, strict_json
from npvgg.text import json_line, shown

# Shares are from 0 to 1; `val_` is of the network that would be saved, so of the averaged weights where there is an average.
COLUMNS = ("epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5", "images_per_s", "seconds")
NAMES = ("history.csv", "history.jsonl")


def cut(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """Keep the lines of the first `epochs` epochs of both files → these."""
    rows = [row for row in read(folder) if row["epoch"] <= epochs]
    texts = (",".join(COLUMNS) + "\n" + "".join(map(csv_line, rows)), "".join(json_line(row) + "\n" for row in rows))
    for name, text in zip(NAMES, texts, strict=True):
        atomic_file.write(folder / name, text, force=True)
    return rows


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of history.jsonl in a run's folder; none where there is no such file; a last line that was cut is left out."""
    path = folder / NAMES[1]
    if not path.exists():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            row = strict_json.read(line)
            if not isinstance(row, dict) or not set(COLUMNS) <= row.keys():
                raise ValueError
        except ValueError:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise BadFileError(f"line {number} of {shown(path)} is no line of a history; remove it") from None
        rows.append(row)
    return rows


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Add one epoch to both files."""
    for name, line in zip(NAMES, (csv_line(row), json_line(dict(row)) + "\n"), strict=True):
        try:
            with open(folder / name, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(atomic_file.sentence(folder / name, error)) from None


def csv_line(row: Mapping[str, Any]) -> str:
    """One epoch as a line of CSV, empty where it has no value."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow("" if row[name] is None else json.dumps(row[name]) for name in COLUMNS)
    return out.getvalue()
