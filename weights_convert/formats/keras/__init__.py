"""Keras' files → tensors and, where they hold a whole model, the layers of its configuration.

    .h5 of a whole model        arrays, and the attribute model_config: JSON of the layers
    .keras                      a ZIP archive: config.json, metadata.json, model.weights.h5
    .h5 and .weights.h5         arrays alone, whose names decide

    configuration → the layers in the order of the data        model_config.py
    layers, arrays → a network under the paper's names          operators.py
    where the arrays lie, in every layout there has been        arrays.py

Nothing is run: the configuration is JSON, and every layer and option has to be one that a VGG has.
Source: keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py, keras/src/models/functional.py.
"""
import tempfile
from dataclasses import replace

from npvgg import images
from npvgg.errors import BadFileError
from weights_convert.containers import foreign_hdf5, zip_archive
from weights_convert.formats import npz
from weights_convert.formats.contents import FileContents
from weights_convert.formats.keras import model_config, operators
from weights_convert.formats.keras.arrays import Arrays
from weights_convert.refusals import damaged, hostile, quoted

CONFIGURATION, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
PREPARATION = "the model does not say how pictures are prepared; without --preset it is as Keras applications do"


def read(file, size):
    """An HDF5 file of Keras → FileContents.  BadFileError, and UnsupportedError for a model that is no VGG of npvgg's."""
    arrays, attributes = foreign_hdf5.read(file)
    return contents(Arrays(arrays, attributes), attributes.get("", {}).get("model_config"), "Keras HDF5")


def is_archive(records):
    """Whether the records of a ZIP archive are those of a .keras file."""
    return {CONFIGURATION, WEIGHTS} <= {record.name for record in records}


def read_archive(file, size):
    """A .keras archive → FileContents.  Errors as in `read`."""
    records, start = zip_archive.directory(file, size)
    unpacked = sum(record.size for record in records)
    if unpacked > npz.MOST_INFLATED * size + npz.ROOM:
        raise hostile(f"its {size:,} bytes unpack to {unpacked:,}")
    spans = zip_archive.spans(file, records, start, (zip_archive.STORED, zip_archive.DEFLATED))
    other = sorted(spans.keys() - {CONFIGURATION, WEIGHTS, METADATA})
    if other:
        raise BadFileError(f"beside configuration and weights it has {quoted(other)}, which no VGG needs; save the network "
                           "alone")
    try:
        configuration = npz.unpacked(file, *spans[CONFIGURATION]).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("its configuration is not UTF-8") from None
    with tempfile.TemporaryFile() as weights:
        weights.write(npz.unpacked(file, *spans[WEIGHTS]))
        weights.flush()
        return contents(Arrays(*foreign_hdf5.read(weights)), configuration, "Keras archive")


def contents(arrays, configuration, container):
    """Arrays and the text of a configuration, or None → FileContents."""
    remarks = [f"not read: {quoted(arrays.other)}"] if arrays.other else []
    if configuration is None:
        tensors = arrays.by_name(remarks)
        if not tensors:
            raise BadFileError("it is an HDF5 file without weights of Keras; give one that model.save_weights wrote")
        return FileContents(tensors=tensors, container=container, remarks=tuple(remarks))
    network = operators.read(model_config.nodes(configuration), arrays)
    stated, prepared = network.stated(), PREPARATION
    if network.rescaling:
        stated["preset"] = rescaled(*network.rescaling, network.features["conv1_1"]["W"].shape[1], network.input_size)
        prepared = "its Rescaling was moved into the preparation of pictures; how they are cropped it does not say"
    tensors = {f"{layer}:{operators.FIELDS[kind]}": array for (layer, kind), array in network.arrays.items()}
    return FileContents(tensors=tensors | arrays.unused(), container=container, stated=stated,
                        remarks=(*remarks, *network.remarks, prepared))


def rescaled(scale, offset, channels, side):
    """The Preset of levels · scale + offset, for pictures of so many channels and that side."""
    return replace(images.preset("caffe").resized(side), name="keras-rescaling", order=ORDERS[channels], divisor=1.0,
                   mean=(-offset / scale,) * channels, std=(1 / scale,) * channels)


ORDERS = {1: "L", 3: "RGB", 4: "RGBA"}    # of the channels as Keras loads pictures
