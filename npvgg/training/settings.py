"""Which training a folder holds: what two descriptions of trainings differ in."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npvgg.errors import UsageError
from npvgg.text import shown
from npvgg.training.recipe import Recipe

# What a digest stands for, in words.
OTHERS = {"classes": "other classes", "data": "other pictures: names, sizes in bytes or labels differ",
          "val": "other pictures to validate on"}


def refuse_other(found: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    """UsageError with the first thing in which the training of a checkpoint is another one."""
    mine = json.loads(json.dumps(mine))
    # An older npvgg's checkpoint lacks what it did not know, which is as if it were not asked for.
    found = with_missing(found, json.loads(json.dumps({"recipe": Recipe().to_json(), "teacher": None})))
    for name in (name for name in OTHERS if name in mine and found.get(name) != mine[name]):
        raise UsageError(f"the training in {shown(folder)} was begun with {OTHERS[name]}; give the same, or another --out")
    for name, old, new in differing(found, mine, ()):
        raise UsageError(f"the training in {shown(folder)} has {name} = {shown(str(old), 60)} and not {shown(str(new), 60)}; "
                         "give the options that it was begun with, or another --out")


def with_missing(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values, and of the defaults those whose keys they lack, in inner dicts too."""
    def whole(value, default):
        return with_missing(value, default) if isinstance(value, dict) and isinstance(default, dict) else value

    return defaults | {key: whole(value, defaults.get(key)) for key, value in values.items()}


def differing(old: Any, new: Any, path: tuple) -> Iterator[tuple[str, Any, Any]]:
    """Where two values of JSON differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differing(old.get(key), new.get(key), (*path, str(key)))
    elif old != new:
        yield ".".join(path), old, new
