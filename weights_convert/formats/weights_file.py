"""npvgg's own weights file read like any other: everything it knows comes along."""
from npvgg import images, weights
from npvgg.errors import ForeignFileError
from weights_convert.formats import keras
from weights_convert.formats.contents import FileContents


def read(file, size):
    """An opened HDF5 file → FileContents with its digests checked, or what keras/ makes of another program's file.

    Errors: those of `weights.read`, and of `keras.read`.
    """
    try:
        own = weights.read(file.name, verify=True)
    except ForeignFileError:
        return keras.read(file, size)
    stated = {"architecture": own.architecture, "preset": images.Preset.from_json(own.preset_json),
              "source_output": own.source_output}
    return FileContents(
        tensors=dict(own.parameters), container="npvgg weights file",
        metadata={"classes": own.class_names} if own.class_names else {}, remarks=(), stated=stated)
