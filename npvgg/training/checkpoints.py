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

from npvgg.errors import BadFileError
from npvgg.storage import hdf5_reading, hdf5_writing, strict_json

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


def read(path: str | os.PathLike, shapes: Mapping[str, tuple]) -> Checkpoint:
    """A checkpoint of a network of these parameters → Checkpoint.

    BadFileError where it is of another network or damaged, HashMismatchError where bytes differ from their digests.
    """
    def expected(attributes: dict) -> tuple:
        """The arrays that must be there, and those that may be."""
        if attributes.keys() != {"format", "settings", "state"}:
            raise hdf5_reading.Malformed("its attributes are not those of a checkpoint")
        names = [name.replace("/", ".") for name in shapes]
        held = strict_json.read(attributes["state"])["held"]
        return ([f"parameters/{name}" for name in names],
                [f"{part}/{name}" for part, members in held.items() if part in PARTS for name in members])

    try:
        contents = hdf5_reading.read(path, KIND, expected)
        arrays: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
        paths = {name.replace("/", "."): name for name in shapes}
        for name in contents.entries:
            contents.verify(name)
            part, _, leaf = name.partition("/")
            array = contents.array(name)
            if array.shape != shapes[paths[leaf]]:
                raise BadFileError(f"{path} is the checkpoint of another network: {name} has shape {array.shape} instead of "
                                   f"{shapes[paths[leaf]]}; give the options that it was begun with, or another --out")
            arrays[part][paths[leaf]] = array.copy()
        return Checkpoint(strict_json.read(contents.attributes[""]["settings"]),
                          strict_json.read(contents.attributes[""]["state"]), arrays)
    except (KeyError, ValueError, AttributeError) as error:
        if isinstance(error, BadFileError):
            raise
        raise BadFileError(f"{path} is no checkpoint of this network ({error}); give another --out") from None


def held(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[str]]:
    """Which arrays beside the parameters a checkpoint holds, for its state."""
    return {part: [name.replace("/", ".") for name in members] for part, members in arrays.items() if part != "parameters"}
