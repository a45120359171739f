"""npvgg's own weights file as a source: everything it knows comes along."""
from npvgg import images, weights
from npvgg.errors import ForeignFileError, NpvggError
from weights_convert.formats import keras
from weights_convert.formats.contents import FileContents


def read(file, size):
    """An opened HDF5 file → FileContents with its digests checked, or what keras.py makes of another program's file.

    Errors: those of `weights.read`, without the path, and of `keras.read`.
    """
    try:
        found = weights.read(file.name, verify=True)
    except ForeignFileError:
        return keras.read(file, size)
    except NpvggError as error:
        said = str(error).removeprefix(str(file.name))
        raise type(error)(said.removeprefix(": ") if said.startswith(": ") else f"it{said}") from None
    stated = {"architecture": found.architecture, "preset": images.Preset.from_json(found.preset_json),
              "source_output": found.source_output}
    return FileContents(
        tensors=dict(found.parameters), container="npvgg weights file",
        metadata={"classes": found.labels} if found.labels else {}, remarks=(), stated=stated)
