"""The trace file: every intermediate array of one run, to be compared with another run.

    trace.h5
      attributes   format = "npvgg trace 1"
                   layers = ["input", "conv1_1", "relu1_1", …]    JSON, in the order in which the arrays appeared
                   architecture                                   JSON, or "" where it is not known
                   model_name, made_by = "npvgg 0.1.0, jit tier, float32", dtype = "float32"
                   input_sha256                                   of the bytes of the array that entered the network
                   preset, pictures_sha256                        how it was prepared, from which files; JSON, where known
                   algorithm                                      of the convolutions, "winograd" say, where known
                   digest, complete = 1
      /conv1_1     (N, 64, 224, 224)  float32 or float64          attribute sha256 of its bytes
      /d/conv1_1   the same                                       the gradient at this layer, where there is one
      …

N may be any number of images, the same for every array.  `storage/hdf5_format.py` describes the container.
"""
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from npvgg.errors import BadFileError, ShapeError, UsageError
from npvgg.storage import hdf5_format, hdf5_reading, hdf5_writing, strict_json

KIND = "npvgg trace"
ATTRIBUTES = ("format", "layers", "architecture", "model_name", "made_by", "dtype", "input_sha256")
OPTIONAL_ATTRIBUTES = ("preset", "pictures_sha256", "algorithm")
MOST_PICTURES = 500                       # whose digests an attribute has room for
NAME = re.compile(r"(d/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")            # d/conv1_1 is the gradient at conv1_1


def write(path, activations, *, architecture_json, model_name, made_by, input_sha256=None, dtype=None, preset=None,
          pictures_sha256=(), algorithm=None, force=False):
    """Write {"conv1_1": (N, …) array} as the trace file `path` → its Path.

    The arrays are float32 or float64; NaN and infinity are kept.  `dtype` names the arithmetic of the run, by default
    that of the last array; `input_sha256` is by default the digest of the array called "input"; `preset` and the digests of the
    picture files, of at most MOST_PICTURES, say how it came about, `algorithm` how convolutions were computed.  Raises
    ShapeError, UsageError, StorageError.
    """
    arrays = {name: checked(name, np.asarray(array)) for name, array in activations.items()}
    counts = {array.shape[0]: name for name, array in arrays.items()}
    if len(counts) != 1:
        said = ", ".join(f"{name} holds {count}" for count, name in counts.items()) or "there is no array"
        raise ShapeError(f"a trace holds one array a layer, each of the same number of images, but {said}")
    if input_sha256 is None:
        input_sha256 = hdf5_format.sha256(hdf5_writing.plain(arrays["input"])) if "input" in arrays else ""
    attributes = {
        "layers": json.dumps(list(arrays)), "architecture": architecture_json, "model_name": model_name,
        "made_by": made_by, "dtype": dtype or arrays[list(arrays)[-1]].dtype.name, "input_sha256": input_sha256,
    }
    if preset is not None:
        attributes["preset"] = preset.to_json()
    if algorithm is not None:
        attributes["algorithm"] = algorithm
    if 0 < len(pictures_sha256) <= MOST_PICTURES:
        attributes["pictures_sha256"] = json.dumps(list(pictures_sha256))
    hdf5_writing.write(path, KIND, arrays, {"": attributes}, force=force, check=verify)
    return Path(os.fsdecode(path))


def digests(pictures):
    """Picture files → the SHA-256 of each; () where one of them is no file, an array for example."""
    found = []
    for picture in pictures:
        if not isinstance(picture, str | os.PathLike) or not os.path.isfile(picture):
            return ()
        with open(picture, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(found)


def read(path):
    """A trace file → Trace.  Raises BadFileError, HashMismatchError, UnsupportedError, StorageError."""
    contents = hdf5_reading.read(path, KIND, expected)
    places = contents.entries.values()
    counts = {entry.shape[:1] for entry in places}
    if len(counts) != 1 or () in counts or any(entry.dtype not in (np.float32, np.float64) for entry in places):
        raise BadFileError(f"{path} is not as npvgg writes it: its arrays do not hold numbers for one count of images; "
                           "record it again")
    header = contents.attributes[""]
    return Trace(
        path=Path(contents.path), shapes={name: entry.shape for name, entry in contents.entries.items()},
        architecture_json=header["architecture"], contents=contents, preset_json=header.get("preset", ""),
        algorithm=header.get("algorithm", ""),
        pictures_sha256=tuple(strict_json.read(header.get("pictures_sha256", "[]"))),
        **{name: header[name] for name in ("model_name", "made_by", "dtype", "input_sha256")})


@dataclass(frozen=True, eq=False)
class Trace(Mapping):
    """{"conv1_1": (N, …) array} in the order of the run, read-only.

    An array stays on the disk until it is asked for; then its digest is checked, HashMismatchError if it is wrong.
    """

    path: Path
    architecture_json: str
    model_name: str
    made_by: str
    dtype: str
    input_sha256: str
    shapes: dict = field(repr=False)          # {"conv1_1": (N, …)}
    contents: hdf5_reading.Contents = field(repr=False)
    preset_json: str = ""
    algorithm: str = ""                       # of the convolutions: one of tiers.ALGORITHMS, or another program's word
    pictures_sha256: tuple = ()               # of the files, one a picture; () where they are not known
    verified: set = field(repr=False, default_factory=set)

    def __getitem__(self, name):
        if name not in self.shapes:
            raise KeyError(name)
        if name not in self.verified:
            self.contents.verify(name)
            self.verified.add(name)
        return self.contents.array(name)

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)

    def __contains__(self, name):             # Mapping's own would read the array
        return name in self.shapes


def verify(path):
    """Check the digest of every array of a trace file.  Errors: those of `read`."""
    for _ in read(path).values():
        pass


def checked(name, array):
    """The array, if a trace can hold it under that name; UsageError for the name, ShapeError for dtype or shape."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name an array of a trace; give letters, digits and _ . -")
    if array.dtype not in (np.float32, np.float64) or array.ndim == 0 or array.size == 0:
        raise ShapeError(f"{name} is {array.dtype} of shape {array.shape}; a trace holds float32 or float64 arrays "
                         "whose first axis counts the images")
    return array


def expected(attributes):
    """The names of the arrays, from the attribute that lists them."""
    if (set(attributes) - set(OPTIONAL_ATTRIBUTES) != set(ATTRIBUTES)
            or not all(isinstance(value, str) for value in attributes.values())):
        raise hdf5_reading.Malformed("its attributes are not those of a trace")
    try:
        digests = strict_json.read(attributes.get("pictures_sha256", "[]"))
    except ValueError:
        digests = None
    if not isinstance(digests, list) or not all(map(hdf5_format.is_sha256, digests)):
        raise hdf5_reading.Malformed("its attribute pictures_sha256 does not list digests")
    try:
        names = strict_json.read(attributes["layers"])
    except ValueError:
        names = None
    if (not isinstance(names, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
            or not names or len(set(names)) != len(names)):
        raise hdf5_reading.Malformed("its attribute layers does not list names")
    return names, ()
