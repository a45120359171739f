"""Keras' VGGs: converted, they give Keras' own probabilities."""
from dataclasses import replace

import h5py
import numpy as np
import pytest
from witnesses.keras_witness import keras as keras_library
from witnesses.networks import lively

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import BadFileError
from weights_convert import schemes
from weights_convert.convert import convert

SIZES = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "pooled_size": 2, "input_size": 64}


def groups(vgg):
    """A VGG → {"block1_conv1/kernel": array, …} as Keras has them."""
    places = schemes.find("keras").places(vgg.architecture)
    return {key: place.arrangement.theirs(vgg.parameters[place.path]) for key, place in places.items()}


LAYOUTS = {
    "Keras 1": lambda layer, field: f"{layer}/{layer}_{'W' if field == 'kernel' else 'b'}_1:0",
    "Keras 2": lambda layer, field: f"{layer}/{layer}/{field}:0",
    "a whole model": lambda layer, field: f"model_weights/{layer}/{layer}/{field}:0",
    "Keras 3": lambda layer, field: f"layers/{layer}/vars/{0 if field == 'kernel' else 1}",
}


@pytest.mark.parametrize("top", [True, False], ids=["top", "no top"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_every_layout_arrives_bit_for_bit(tmp_path, name, layout, top):
    vgg = lively(name, **SIZES if top else {"width": 1 / 16, "num_classes": None})
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        for key, array in groups(vgg).items():
            file[LAYOUTS[layout](*key.split("/"))] = array
        file["optimizer_weights/adam/m/block1_conv1/kernel:0"] = np.zeros(3)
    report = convert(tmp_path / "keras.h5", tmp_path / "out.h5")
    found = network.load_file(report.path)
    said = report.container, report.scheme, report.preset, report.source_output
    assert said == ("Keras HDF5", "keras", "caffe", "probabilities")
    assert found.architecture == vgg.architecture and found.preset.order == "BGR"
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())
    assert "not read: 'optimizer_weights/adam/m/block1_conv1/kernel:0'" in report.remarks


def test_layers_named_by_their_class(tmp_path):
    vgg = lively("vgg16", **SIZES)
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        for key, array in schemes.find("keras-by-class").places(vgg.architecture).items():
            layer, field = key.split("/")
            file[f"layers/{layer}/vars/{0 if field == 'kernel' else 1}"] = array.arrangement.theirs(vgg.parameters[array.path])
    found = network.load_file(convert(tmp_path / "keras.h5", tmp_path / "out.h5").path)
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())


def test_the_same_weights_twice_are_refused(tmp_path):
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["block1_conv1/kernel:0"] = file["model_weights/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 4), "f4")
    with pytest.raises(BadFileError, match="keras.h5: it has 'block1_conv1/kernel:0' twice|without end"):
        convert(tmp_path / "keras.h5", tmp_path / "out.h5")


def test_an_hdf5_file_of_somebody_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["temperature"] = np.zeros(3)
    with pytest.raises(BadFileError, match="data.h5: its tensors .'temperature'. are named as those of no VGG"):
        convert(tmp_path / "data.h5", tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]


@pytest.fixture(scope="module")
def keras():
    return keras_library()


def keras_network(keras, name, activation="softmax"):
    """Keras' VGG16 and 19, small: the layers have the names and the options of keras.applications."""
    layers, counts = keras.layers, {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}[name]
    x = start = keras.Input((64, 64, 3))
    for block, (count, filters) in enumerate(zip(counts, (4, 8, 16, 32, 32)), 1):
        for position in range(1, count + 1):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{position}")(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(12, activation="relu", name="fc1")(x)
    x = layers.Dense(9, activation="relu", name="fc2")(x)
    model = keras.Model(start, layers.Dense(5, activation=activation, name="predictions")(x), name=name)
    rng = np.random.default_rng(4)
    weights = [rng.normal(0, (2 / max(1, np.prod(w.shape[:-1]))) ** 0.5 if w.ndim > 1 else 0.2, w.shape).astype("f4")
               for w in model.get_weights()]
    weights[0] /= 100                                       # levels reach to 150, and a soft-max saturates
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("file", ["x.weights.h5", "whole.h5"])
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_keras_itself_gives_the_same_probabilities(keras, tmp_path, name, file):
    model = keras_network(keras, name)
    model.save(tmp_path / file) if file == "whole.h5" else model.save_weights(tmp_path / file)
    vgg = network.load_file(convert(tmp_path / file, tmp_path / "out.h5").path)
    net = architecture(name, **SIZES)
    assert vgg.architecture == (net if file == "x.weights.h5" else replace(net, head=net.head.replace(" drop", "")))
    levels = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    theirs = np.asarray(model.predict(keras.applications.vgg16.preprocess_input(levels.copy()), verbose=0))
    ours = vgg.probabilities(vgg.forward((levels[..., ::-1] - np.float32(vgg.preset.mean)).transpose(0, 3, 1, 2)))
    assert vgg.source_output == "probabilities" and np.ptp(theirs, axis=0).max() > 1e-3
    assert abs(ours - theirs).max() <= 1e-5


def test_a_whole_model_says_whether_it_ends_with_logits(keras, tmp_path):
    keras_network(keras, "vgg16", activation=None).save(tmp_path / "x.h5")
    assert convert(tmp_path / "x.h5", tmp_path / "out.h5", dry_run=True).source_output == "logits"
