"""What npvgg says of a network in a file of another format: one line of JSON under the name "npvgg".

    {"architecture": …, "preset": …, "labels": ["tench", …], "source_output": "logits"}
"""
import json

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
