"""What npvgg says of a network in a file of another format: one line of JSON under the name "npvgg".

    {"architecture": …, "preset": …, "labels": ["tench", …], "source_output": "logits"}

safetensors and ONNX have a place for texts.  A dictionary of arrays has not, so there the line is an array of its bytes.
"""
import json
from dataclasses import replace

import numpy as np

from npvgg import images, weights
from npvgg.architecture import Architecture
from npvgg.errors import BadFileError
from npvgg.storage import strict_json

NAME = "npvgg"


def entries(about):
    """{"architecture": …, "preset": …, "labels": …, "source_output": …} → {NAME: JSON}, for the metadata of a file."""
    said = {"architecture": about["architecture"].to_json(), "preset": about["preset"].to_json(),
            "labels": list(about["labels"] or ()), "source_output": about["source_output"]}
    return {NAME: json.dumps(said)}


def as_array(about):
    """The same → {NAME: the bytes of the JSON}, for a dictionary of arrays."""
    return {NAME: np.frombuffer(entries(about)[NAME].encode(), np.uint8)}


def without_array(contents):
    """FileContents → the same with what `as_array` put among its tensors beside them; BadFileError where it is no such text."""
    if NAME not in contents.tensors:
        return contents
    array = contents.tensors[NAME]
    text = array.tobytes().decode("utf-8", "replace") if array.dtype == np.uint8 and array.ndim == 1 else ""
    metadata, stated = read({NAME: text})
    tensors = {name: tensor for name, tensor in contents.tensors.items() if name != NAME}
    return replace(contents, tensors=tensors, metadata=contents.metadata | metadata, stated=contents.stated | stated)


def read(metadata):
    """A file's {name: text} → (metadata, stated) of FileContents; what others wrote there is left alone."""
    if NAME not in metadata:
        return {}, {}
    try:
        said = strict_json.read(metadata[NAME])
        stated = {"architecture": Architecture.from_json(said["architecture"]),
                  "preset": images.Preset.from_json(said["preset"]),
                  "source_output": said["source_output"]}
        labels = tuple(said["labels"])
        if stated["source_output"] not in weights.OUTPUTS or not all(type(label) is str for label in labels):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise BadFileError("its metadata say something under \"npvgg\" that npvgg did not write; write it again") from None
    return {"classes": labels} if labels else {}, stated
