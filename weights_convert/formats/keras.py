"""Keras' HDF5 files → {"block1_conv1/kernel": array, …}, from any of the layouts there have been.

    block1_conv1/block1_conv1_W_1:0                         Keras 1
    block1_conv1/block1_conv1/kernel:0                      Keras 2; kernel without :0 since Keras 3
    model_weights/block1_conv1/block1_conv1/kernel:0        a whole model, model.save("x.h5")
    layers/conv2d/vars/0, and the group's attribute name    Keras 3, model.save_weights("x.weights.h5")

Arrays of the optimiser are left out.  `model_config`, where there is one, is parsed as JSON for the last layer's activation;
nothing in it is run.  Source: keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py.
"""
import json
import re

from npvgg.errors import BadFileError
from weights_convert.containers import foreign_hdf5
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import hostile, quoted

LEGACY = re.compile(r"(?:.*/)?(?P<layer>[^/]+)/(?:(?P=layer)_)?(?P<field>W|b|kernel|bias)(?:_\d+)?(?::0)?")
KERAS_3 = re.compile(r"(?:.*/)?(?P<layer>[^/]+)/vars/(?P<field>[01])")
FIELDS = {"W": "kernel", "b": "bias", "0": "kernel", "1": "bias"}
OPTIMISER = ("optimizer", "optimizer_weights")
# The last layer's activation → what the file says of its network.
ENDS = {"softmax": {"source_output": "probabilities", "output": "softmax"},
        "sigmoid": {"source_output": "probabilities", "output": "sigmoid"}, "linear": {"source_output": "logits"}}


def read(file, size):
    """An HDF5 file of Keras → FileContents.  Raises BadFileError."""
    arrays, attributes = foreign_hdf5.read(file)
    tensors, other = {}, []
    for path, array in arrays.items():
        if path.partition("/")[0] in OPTIMISER:
            other.append(path)
            continue
        key = key_of(path, attributes)
        if key in tensors:
            raise hostile(f"it has {quoted([key])} twice")
        tensors[key] = array
    if not tensors:
        raise BadFileError("it is an HDF5 file without weights of Keras; give one that model.save_weights wrote")
    remarks = (f"not read: {quoted(other)}",) if other else ()
    return FileContents(tensors=tensors, container="Keras HDF5", metadata={}, remarks=remarks,
                      stated=end_of(attributes.get("", {}).get("model_config")))


def key_of(path, attributes):
    """The path of an array → "block1_conv1/kernel"; what is named otherwise keeps its path."""
    modern = KERAS_3.fullmatch(path)
    if modern:
        group = path.rpartition("/")[0]
        return f"{attributes.get(group, {}).get('name', modern['layer'])}/{FIELDS[modern['field']]}"
    legacy = LEGACY.fullmatch(path)
    return f"{legacy['layer']}/{FIELDS.get(legacy['field'], legacy['field'])}" if legacy else path


def end_of(config):
    """A model's configuration, as JSON → what its last layer's activation says; nothing where it does not say."""
    try:
        last = json.loads(config)["config"]["layers"][-1]["config"]
        return dict(ENDS.get(last.get("activation"), {}))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return {}
