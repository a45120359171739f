"""Whole Keras models, written by hand: the configuration and the arrays of Keras 2 and 3, as .h5 and .keras."""
import io
import json
import zipfile

import h5py
import numpy as np

KINDS = {"conv2d": "Conv2D", "maxpool2d": "MaxPooling2D", "avgpool2d": "AveragePooling2D",
         "dense": "Dense", "dropout": "Dropout", "flatten": "Flatten", "batchnorm1d": "BatchNormalization",
         "batchnorm2d": "BatchNormalization"}
GLOBAL = {"adaptive_avgpool2d": "GlobalAveragePooling2D", "adaptive_maxpool2d": "GlobalMaxPooling2D"}


def layer(kind, name, **options):
    """A layer of a configuration."""
    return {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **options}}


def layers(vgg):
    """A VGG → ([layer, …], {name: [array, …]}); a ReLU is the activation of the layer before it, or a layer behind batch norm.

    Dense layers follow maps in Keras' order; global pooling needs no Flatten.
    """
    net, found, arrays, is_global = vgg.architecture, [], {}, False
    for step in net.layers:
        ours = step.arrays(vgg.parameters)
        if step.op == "conv2d":
            side = ours[0].shape[2]
            found.append(layer("Conv2D", step.name, filters=len(ours[0]), kernel_size=[side, side], strides=[1, 1],
                               padding="same", data_format="channels_last", dilation_rate=[1, 1], groups=1, activation="linear",
                               use_bias=len(ours) == 2, kernel_initializer={"class_name": "GlorotUniform"}))
            arrays[step.name] = [np.ascontiguousarray(ours[0].transpose(2, 3, 1, 0)), *ours[1:]]
        elif step.op == "dense":
            weight = ours[0] if step.name != "fc6" or is_global else channels_last(ours[0], net.pooled_size)
            found.append(layer("Dense", step.name, units=len(weight), activation="linear", use_bias=True))
            arrays[step.name] = [np.ascontiguousarray(weight.T), ours[1]]
        elif step.op.startswith("batchnorm"):
            found.append(layer("BatchNormalization", step.name, axis=-1, momentum=0.99,
                               epsilon=dict(step.options)["eps"], center=True, scale=True))
            is_flat = step.op == "batchnorm1d" and step.name == "bn5" and not is_global
            arrays[step.name] = [channels_last(array, net.pooled_size) for array in ours] if is_flat else list(ours)
        elif step.op == "relu" and found[-1]["class_name"] in ("Conv2D", "Dense"):
            found[-1]["config"]["activation"] = "relu"
        elif step.op == "relu":
            found.append(layer("Activation", step.name, activation="relu"))
        elif step.op in GLOBAL:
            is_global = dict(step.options)["size"] == 1
            if is_global:
                found.append(layer(GLOBAL[step.op], step.name, data_format="channels_last", keepdims=False))
        elif step.op == "flatten" and is_global:
            continue
        elif step.op == "dropout":
            found.append(layer("Dropout", step.name, rate=dict(step.options)["p"], seed=None, noise_shape=None))
        else:
            found.append(layer(KINDS[step.op], step.name, **({} if step.op == "flatten" else {
                "pool_size": [2, 2], "strides": [2, 2], "padding": "valid", "data_format": "channels_last"})))
    return found, arrays


def channels_last(array, side):
    """Numbers for features in the order (c, h, w) → for (h, w, c)."""
    return np.moveaxis(array.reshape(*array.shape[:-1], -1, side, side), -3, -1).reshape(array.shape)


def sequential(found, net, name="sequential"):
    """[layer, …] → the configuration of a Sequential."""
    entrance = layer("InputLayer", f"{name}_input", batch_shape=[None, net.input_size, net.input_size, net.input_channels])
    return {"class_name": "Sequential", "config": {"name": name, "layers": [entrance, *found]}}


def functional(found, net, name="functional", is_keras_3=True):
    """[layer, …] → the configuration of a functional model, its layers in another order than the data."""
    size = [None, net.input_size, net.input_size, net.input_channels]
    entrance = layer("InputLayer", f"{name}_input", **{"batch_shape" if is_keras_3 else "batch_input_shape": size})
    before, placed = None, []
    for step in (entrance, *found):
        own = step["config"]["name"]
        if before is None:
            inbound = []
        elif is_keras_3:
            tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": [before, 0, 0]}}
            inbound = [{"args": [tensor], "kwargs": {"training": False}}]
        else:
            inbound = [[[before, 0, 0, {}]]]
        placed.append(step | {"name": own, "inbound_nodes": inbound})
        before = own
    ends = {"input_layers": [[f"{name}_input", 0, 0]], "output_layers": [before, 0, 0] if is_keras_3 else [[before, 0, 0]]}
    return {"class_name": "Functional" if is_keras_3 else "Model", "config": {"name": name, "layers": placed, **ends}}


def nested(found, net, build=sequential):
    """The convolutional part as a model inside a Sequential."""
    end = next(at for at, step in enumerate(found) if step["config"]["name"] == "pool5") + 1
    return sequential([build(found[:end], net, "vgg"), *found[end:]], net)


def in_h5(config, arrays):
    """{path: array} in the layout of Keras 2: model_weights/LAYER/LAYER/FIELD:0, or MODEL/LAYER/FIELD:0."""
    inner = {step["config"]["name"]: model["config"]["name"] for model in config["config"]["layers"]
             if "layers" in model["config"] for step in model["config"]["layers"]}
    fields = {2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}
    return {f"model_weights/{inner.get(name, name)}/{name}/{kind}:0": array for name, of_layer in arrays.items()
            for kind, array in zip(fields[4 if len(of_layer) > 2 else 2], of_layer)}


def in_keras(model, arrays, place=""):
    """{path: array}, {group: {"name": layer}} in that of Keras 3: groups are called by class and count."""
    counts, paths, names = {}, {}, {}
    for step in model["config"]["layers"]:
        own = "batch_normalization" if step["class_name"] == "BatchNormalization" else step["class_name"].lower()
        number = counts[own] = counts.get(own, -1) + 1
        group, name = f"{place}layers/{own}_{number}" if number else f"{place}layers/{own}", step["config"]["name"]
        if "layers" in step["config"]:
            inner = in_keras(step, arrays, f"{group}/")
            paths, names = paths | inner[0], names | inner[1]
        paths |= {f"{group}/vars/{at}": array for at, array in enumerate(arrays.get(name, []))}
        names |= {f"{group}/vars": {"name": name}} if name in arrays else {}
    return paths, names


def write_h5(path, config, arrays):
    """A whole model as .h5."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        for place, array in in_h5(config, arrays).items():
            file[place] = array


def write_keras(path, config, arrays):
    """A .keras archive."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        paths, names = in_keras(config, arrays)
        for place, array in paths.items():
            file[place] = array
        for group, texts in names.items():
            file[group].attrs.update(texts)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())
