"""A training as it stands, in one file: whole or not there, however the process ends.

    last.h5            attributes   format = "npvgg checkpoint 1", settings, state: JSON
      /parameters/conv1_1.weight    …                of every parameter, running statistics included
      /momentum/…  /squares/…       the optimiser's buffers
      /average/…                    the running mean of the weights

`settings` say which training it is: recipe, data, seed.  `state` says where it stands: numbers that cannot be computed again.
What is drawn is not there, for every draw is a function of seed, epoch and picture (`draws`).
"""
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import BadFileError, HashMismatchError
from npvgg.storage import hdf5_reading, hdf5_writing, strict_json
from npvgg.text import said, shown

KIND = "npvgg checkpoint"
PARTS = ("parameters", "momentum", "squares", "average")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What `read` gives; the arrays are copies."""

    settings: dict[str, Any]
    state: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]       # {"parameters": {"conv1_1/weight": array}, …}


def write(path: Path, settings: Mapping[str, Any], state: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
          ) -> None:
    """Replace the file `path` in one step.  StorageError where it cannot be written: the old one then stays."""
    flat = {f"{part}/{name.replace('/', '.')}": array for part, members in arrays.items() for name, array in members.items()}
    attributes = {"settings": json.dumps(settings), "state": json.dumps(state)}
    hdf5_writing.write(path, KIND, flat, {"": attributes}, force=True)


def read(path: str | os.PathLike, net: Architecture) -> Checkpoint:
    """A checkpoint of this network → Checkpoint.

    BadFileError where it is of another network or damaged, HashMismatchError where bytes differ from their digests.
    """
    paths = {name.replace("/", "."): name for name in net.parameters}

    def expected(attributes: dict) -> tuple:
        """The arrays that must be there, and those that may be."""
        found = strict_json.read(attributes["settings"])["architecture"]
        if found != net.to_json():
            raise BadFileError(f"{shown(path)} is the checkpoint of another network, {shown(found, 200)}; give the options "
                               "that it was begun with, or another --out")
        more = strict_json.read(attributes["state"])["held"]
        return ([f"parameters/{name}" for name in paths],
                [f"{part}/{name}" for part in PARTS if part in more for name in more[part]])

    try:
        contents = hdf5_reading.read(path, KIND, expected)
        for name in contents.entries:
            contents.verify(name)
        header = {name: strict_json.read(contents.attributes[""][name]) for name in ("settings", "state")}
    except HashMismatchError:
        raise HashMismatchError(f"{shown(path)} is damaged: its bytes are not those that were written; put a copy in its "
                                "place, or remove it to begin anew") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFileError(f"{shown(path)} is no checkpoint ({said(error)}); remove it to begin anew") from None
    arrays: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    for name in contents.entries:
        part, _, leaf = name.partition("/")
        arrays[part][paths[leaf]] = contents.array(name).copy()
    return Checkpoint(header["settings"], header["state"], arrays)


def held(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[str]]:
    """Which arrays beside the parameters a checkpoint holds, for its state."""
    return {part: [name.replace("/", ".") for name in members] for part, members in arrays.items() if part != "parameters"}
