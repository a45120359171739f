"""Every layer of a Keras model is one of the network that has its weights."""
import numpy as np
import pytest
from witnesses.keras_witness import keras as witness
from witnesses.networks import lively

from npvgg import parity
from npvgg.errors import UsageError
from npvgg.parity import traces

keras = witness()
SIZES = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "pooled_size": 2, "input_size": 64}
X = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)


def model_of(vgg, nested=False):
    """The same network as keras.applications builds it: activations inside, flattened as (H, W, C), a soft-max at the end."""
    layers, inner = keras.layers, []
    for layer in vgg.architecture.layers:
        arrays = layer.arrays(vgg.parameters)
        block, _, position = layer.name.removeprefix("conv").partition("_")
        if layer.op == "conv2d":
            made = layers.Conv2D(len(arrays[0]), 3, padding="same", activation="relu", name=f"block{block}_conv{position}",
                                 kernel_initializer="zeros")             # JAX takes a second to draw numbers of a new shape
            inner.append((made, [arrays[0].transpose(2, 3, 1, 0), arrays[1]]))
        elif layer.op == "maxpool2d":
            inner.append((layers.MaxPooling2D(2, name=f"block{layer.name[-1]}_pool"), None))
        elif layer.op == "flatten":
            inner.append((layers.Flatten(name="flatten"), None))
        elif layer.op == "dense":
            weight = arrays[0]
            if layer.name == "fc6":
                weight = weight.reshape(len(weight), -1, 2, 2).transpose(0, 2, 3, 1).reshape(weight.shape)
            name, activation = {"fc8": ("predictions", "softmax")}.get(layer.name, (f"fc{int(layer.name[2:]) - 5}", "relu"))
            made = layers.Dense(len(weight), activation=activation, name=name, kernel_initializer="zeros")
            inner.append((made, [weight.T, arrays[1]]))
    made = [layer for layer, _ in inner]
    parts = [keras.Sequential(made[:-4], name="features"), *made[-4:]] if nested else made
    model = keras.Sequential([keras.Input((64, 64, 3)), *parts])
    for layer, arrays in inner:
        if arrays:
            layer.set_weights(arrays)
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_a_keras_model_agrees(tmp_path, nested):
    vgg = lively("vgg11", **SIZES)
    theirs = parity.record(model_of(vgg, nested), X, tmp_path / "a.h5")
    ours = vgg.trace(np.ascontiguousarray(np.moveaxis(X, 3, 1)))
    ours |= {"prob": vgg.probabilities(ours["fc8"])}
    comparison = parity.compare(tmp_path / "a.h5", ours, vgg)
    assert not comparison.diverges and not comparison.only_in_a, comparison.text()
    assert [row.name for row in comparison.rows] == [
        "input", "relu1_1", "pool1", "relu2_1", "pool2", "relu3_1", "relu3_2", "pool3", "relu4_1", "relu4_2", "pool4",
        "relu5_1", "relu5_2", "pool5", "flatten", "relu6", "relu7", "prob"]
    assert comparison.notes[0] == "A's names are Keras'" and "so is A's flatten" in comparison.notes[2]
    made_by = traces.read(tmp_path / "a.h5").made_by
    assert made_by == f"Keras {keras.__version__} on {keras.config.backend()}, float32"
    assert np.array_equal(theirs["input"], X)


def test_a_layer_used_twice_and_an_end_outside_of_layers():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.relu, self.dense = keras.layers.ReLU(name="relu"), keras.layers.Dense(3, name="dense a")

        def call(self, x):
            return keras.ops.softmax(self.relu(self.dense(self.relu(x))))

    assert list(parity.record(Own(), np.ones((1, 4), np.float32))) == ["input", "relu", "dense_a", "relu-2", "output"]


@pytest.mark.parametrize("x, words", [(X[:, :32], "cannot run on an input of shape"), ("text", "the input is <U4"),
                                      (None, "the input is object"), (X.astype(np.uint8), "the input is uint8")], ids=range(4))
def test_a_wrong_input_is_one_sentence(x, words):
    before = keras.layers.Layer.__call__
    with pytest.raises(UsageError, match=words) as caught:
        parity.record(model_of(lively("vgg11", **SIZES)), x)
    assert "\n" not in str(caught.value) and keras.layers.Layer.__call__ is before
