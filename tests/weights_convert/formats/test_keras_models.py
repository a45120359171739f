"""Whole Keras models: of their configuration every layer and option is read, and what no VGG has is refused by its name."""
import copy
import json
import os
import random
import time
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image
from witnesses import keras_models
from witnesses.networks import lively

from npvgg import images
from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import convert, formats
from weights_convert.formats import keras
from weights_convert.formats.keras.arrays import Arrays

SMALL = {"width": 1 / 16, "input_size": 64}
NETWORKS = {
    "the paper's head": ("vgg16", {"head": "avg2 flatten 12 relu drop 9 relu drop 5"}),
    "batch norm": ("vgg11_bn", {"head": "avg2 flatten 12 bn relu 5", "eps": 1e-3}),
    "global average": ("vgg13", {"head": "avg1 flatten 7 relu drop0.3 3"}),
    "global maximum, one output": ("vgg11", {"head": "max1 flatten 1"}),
    "average pooling, no biases": ("vgg19", {"head": "avg2 flatten bn 12 relu bn0.01 5", "pooling": "avg", "bias": False}),
    "features": ("c", {"head": "avg1 flatten 12 relu"}),
    "grey": ("vgg11", {"head": "avg2 flatten 5", "input_channels": 1}),
}
FORMS = {
    "Sequential, h5": lambda found, net: keras_models.sequential(found, net),
    "functional, Keras 2": lambda found, net: keras_models.functional(found, net, is_keras_3=False),
    "functional, Keras 3": lambda found, net: keras_models.functional(found, net),
    "nested Sequential": lambda found, net: keras_models.nested(found, net),
    "nested functional": lambda found, net: keras_models.nested(found, net, keras_models.functional),
}


def in_memory(config, arrays, layout="Keras 3"):
    """A model and its arrays → (Understood, FileContents), without a file."""
    paths, names = keras_models.in_keras(config, arrays) if layout != "Keras 2" else (keras_models.in_h5(config, arrays), {})
    stored = Arrays(paths, {} if layout == "without names" else names)
    read = keras.contents(stored, json.dumps(config) if config else None, "memory")
    return convert.understood(read.tensors, stated=read.stated), read


def from_file(path):
    read = formats.read(path)
    return convert.understood(read.tensors, stated=read.stated), read


def has_bits_of(found, vgg):
    return found.parameters.keys() == vgg.parameters.keys() and all(
        np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())


def drawn(name="vgg11", **options):
    return lively(name, **({"head": "avg2 flatten 12 relu drop 5"} | SMALL | options))


@pytest.mark.parametrize("layout", ["Keras 2", "Keras 3", "without names"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("network", NETWORKS)
def test_whole_models_arrive_bit_for_bit(network, form, layout):
    name, options = NETWORKS[network]
    vgg = drawn(name, **options)
    found, arrays = keras_models.layers(vgg)
    result, read = in_memory(FORMS[form](found, vgg.architecture), arrays, layout)
    assert result.architecture == vgg.architecture and has_bits_of(result, vgg)
    assert (result.scheme.name, result.source_output) == ("keras-model", "logits")
    assert "how pictures are prepared" in " ".join(read.remarks)


@pytest.mark.parametrize("write, container", [(keras_models.write_h5, "Keras HDF5"),
                                              (keras_models.write_keras, "Keras archive")])
def test_files_of_whole_models(tmp_path, write, container):
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    write(tmp_path / "net", keras_models.nested(found, vgg.architecture), arrays)
    result, read = from_file(tmp_path / "net")
    assert read.container == container and result.architecture == vgg.architecture and has_bits_of(result, vgg)


def changed(change):
    """A Sequential whose layers, or whose arrays, were changed."""
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    found = change(found, arrays) or found
    return in_memory(keras_models.sequential(found, vgg.architecture), arrays)


def option(layer, **options):
    """Change the options of the first layer of that class, or of the last where it begins with a minus."""
    def change(found, arrays):
        of_kind = [step for step in found if step["class_name"] == layer.lstrip("-")]
        of_kind[-1 if layer.startswith("-") else 0]["config"].update(options)

    return change


def inserted(behind, *new):
    def change(found, arrays):
        at = next(at for at, step in enumerate(found) if step["config"]["name"] == behind) + 1
        return [*found[:at], *copy.deepcopy(new), *found[at:]]

    return change


def without(name):
    return lambda found, arrays: [step for step in found if step["config"]["name"] != name]


make = keras_models.layer
REFUSED = {
    "one pooling averages": (lambda found, arrays: next(
        step for step in found if step["class_name"] == "MaxPooling2D").update(class_name="AveragePooling2D"),
        "maximum and others"),
    "leaky": (inserted("conv2_1", make("LeakyReLU", "leaky", negative_slope=0.3)),
              r"its layer 'leaky' \(LeakyReLU\) is none of"),
    "elu": (option("Conv2D", activation="elu"), "'conv1_1' .Conv2D. has the activation 'elu'"),
    "relu6": (inserted("conv2_1", make("ReLU", "r", max_value=6.0)), "'r' .ReLU. has max_value 6.0 where a VGG has None"),
    "no relu": (option("Conv2D", activation="linear"), "its graph has pool1 behind conv1_1, where vgg11 has relu1_1"),
    "relu twice": (inserted("conv1_1", make("ReLU", "r")), "has relu1_1 twice"),
    "stride": (option("Conv2D", strides=[2, 2]), r"has strides \[2, 2\] where a VGG has \[1, 1\]"),
    "dilation": (option("Conv2D", dilation_rate=[2, 2]), "has dilation_rate"),
    "groups": (option("-Conv2D", groups=2), "has groups 2 where a VGG has 1"),
    "valid": (option("-Conv2D", padding="valid"), "a VGG keeps the size of the map"),
    "window": (option("MaxPooling2D", pool_size=[3, 3], strides=[3, 3]), r"a window of \[3, 3\]"),
    "overlapping": (option("MaxPooling2D", strides=[1, 1]), r"has strides \[1, 1\] where a VGG has \[2, 2\]"),
    "channels first": (option("Conv2D", data_format="channels_first"), "the data format 'channels_first'"),
    "whole numbers": (option("Dense", dtype={"class_name": "QuantizedDTypePolicy", "config": {"name": "int8_from_float32"}}),
                      "'int8_from_float32'"),
    "whole numbers as Keras 3.15 has it": (option("Dense", dtype={"class_name": "QuantizedDTypePolicy",
                                           "config": {"mode": "int8", "source_name": "float32"}}), "the dtype 'int8'"),
    "lora": (option("Dense", lora_rank=4), "has the option 'lora_rank'"),
    "preparation": (lambda found, arrays: [make("Normalization", "n", axis=-1), *found], r"'n' \(Normalization\) is none of"),
    "rescaling later": (inserted("conv1_1", make("Rescaling", "scale", scale=2.0)), "once, in front of the network"),
    "rescaling by a list": (lambda found, arrays: [make("Rescaling", "scale", scale=[1, 2, 3]), *found], "reads two numbers"),
    "four poolings": (without("pool4"), "stands before the last of five poolings"),
    "softmax before the end": (option("Dense", activation="softmax"), "stands behind the end of a VGG"),
    "softmax on features": (inserted("flatten", make("Softmax", "s")), "something other than a dense layer"),
    "dense on maps": (without("flatten"), "applied to a map that was not flattened"),
    "oblong": (lambda found, arrays: [make("InputLayer", "in", batch_shape=[None, 64, 96, 3]), *found], "of the shape"),
    "axis": (inserted("conv1_1", make("BatchNormalization", "b", axis=1, epsilon=1e-3)), "has axis 1 where a VGG has -1"),
}


@pytest.mark.parametrize("change, text", REFUSED.values(), ids=REFUSED)
def test_what_no_vgg_has_is_refused_by_its_name(change, text):
    with pytest.raises(NpvggError, match=text) as caught:
        changed(change)
    assert str(caught.value).isprintable() and "damaged" not in str(caught.value)


@pytest.mark.parametrize("activation, output", [("softmax", "softmax"), ("sigmoid", "sigmoid")])
@pytest.mark.parametrize("how", ["activation", "layer"])
def test_what_makes_probabilities(activation, output, how):
    changes = {"activation": option("-Dense", activation=activation),
               "layer": inserted("fc7", make("Activation", "end", activation=activation))}
    result, read = changed(changes[how])
    assert result.source_output == "probabilities" and result.architecture.output == output
    assert not any("--output" in remark for remark in result.remarks)


def test_what_does_nothing_in_inference_is_left_out():
    result, _ = changed(lambda found, arrays: [
        make("RandomFlip", "flip", mode="horizontal"), make("RandomRotation", "turn", factor=0.1), *found,
        make("AlphaDropout", "drop", rate=0.3), make("Identity", "same")])
    assert has_bits_of(result, drawn())


def test_augmentation_that_keras_3_calls_with_its_default():
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    config = keras_models.functional([make("RandomFlip", "flip", mode="horizontal"), *found], vgg.architecture)
    config["config"]["layers"][1]["inbound_nodes"][0]["kwargs"] = {"training": True}
    result, _ = in_memory(config, arrays)
    assert has_bits_of(result, vgg)


def test_layers_that_compute_in_float16_are_said():
    result, read = changed(option("Dense", dtype={"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}))
    assert any("mixed_float16" in remark and "float32" in remark for remark in read.remarks)
    assert not any("float16" in remark for remark in changed(lambda found, arrays: None)[1].remarks)


@pytest.mark.parametrize("outer, inner, size", [(64, None, 64), (None, 64, 64), (None, None, 224)])
def test_the_size_of_pictures_is_the_one_that_is_said(outer, inner, size):
    vgg = drawn(head="avg1 flatten 5")
    found, arrays = keras_models.layers(vgg)
    config = keras_models.nested(found, vgg.architecture)
    for layers, side in ((config["config"]["layers"], outer), (config["config"]["layers"][1]["config"]["layers"], inner)):
        layers[0]["config"]["batch_shape"][1:3] = side, side
    result, read = in_memory(config, arrays)
    assert result.architecture.input_size == size
    assert ("224 was taken (--input-size)" in " ".join(read.remarks)) == (size == 224)


@pytest.mark.parametrize("scale, offset", [(1 / 255, 0), (1 / 127.5, -1), (1, -127)])
def test_rescaling_becomes_part_of_the_preparation(scale, offset):
    result, read = changed(lambda found, arrays: [make("Rescaling", "scale", scale=scale, offset=offset), *found])
    levels = np.arange(48 * 3).reshape(8, 6, 3).astype("u1")
    preset = replace(result.preset, resize=None, crop=6)
    prepared = images.batch([Image.fromarray(levels)], preset)[0]
    assert np.allclose(prepared, (levels[1:7].astype("f8") * scale + offset).transpose(2, 0, 1), atol=1e-4)
    assert result.preset.crop == 64 and "Rescaling was moved" in " ".join(read.remarks)
    grey, _ = in_memory(*rescaled_grey())
    assert (grey.preset.order, grey.preset.std) == ("L", (255.0,))


def rescaled_grey():
    vgg = drawn(input_channels=1)
    found, arrays = keras_models.layers(vgg)
    return keras_models.sequential([make("Rescaling", "scale", scale=1 / 255), *found], vgg.architecture), arrays


def test_borders_as_layers_of_their_own():
    def bordered(found, arrays):
        for step in found:
            if step["class_name"] == "Conv2D":
                step["config"]["padding"] = "valid"
        return [part for step in found for part in (
            [make("ZeroPadding2D", f"zero_{step['config']['name']}", padding=[[1, 1], [1, 1]]), step]
            if step["class_name"] == "Conv2D" else [step])]

    result, _ = changed(bordered)
    assert has_bits_of(result, drawn())


def test_batch_norm_without_scale_or_shift():
    vgg = drawn("vgg11_bn", eps=1e-3)
    found, arrays = keras_models.layers(vgg)
    step = next(step for step in found if step["class_name"] == "BatchNormalization")
    step["config"]["scale"] = False
    arrays["bn1_1"] = arrays["bn1_1"][1:]
    result, _ = in_memory(keras_models.sequential(found, vgg.architecture), arrays)
    assert (result.parameters["bn1_1/weight"] == 1).all()
    assert np.array_equal(result.parameters["bn1_1/mean"], vgg.parameters["bn1_1/mean"])


def reversing(config):
    """preprocess_input in front of the first convolution: x[..., ::-1], whose arguments are no tensors."""
    call = config["config"]["layers"][1]["inbound_nodes"][0]
    call["args"].append([{"class_name": "__ellipsis__", "config": {}}, 2])


def asking(config):
    """The same, with the argument beside the tensor."""
    config["config"]["layers"][1]["inbound_nodes"][0]["args"].append({"class_name": "__slice__", "config": {"step": -1}})


def branching(config):
    """The last dense layer also takes what the one before it takes."""
    calls = config["config"]["layers"][-1]["inbound_nodes"][0]["args"]
    calls.append(calls[0])


BROKEN_CONFIGURATIONS = {
    "branches": (branching, "joins 2 branches"),
    "channels in another order": (reversing, "joins 2 branches or numbers"),
    "a slice": (asking, "joins 2 branches or numbers"),
    "two outputs by name": (lambda config: config["config"].update(output_layers={"a": ["fc7", 0, 0], "b": ["fc6", 0, 0]}),
                            "it has 2 outputs"),
    "two outputs": (lambda config: config["config"].update(output_layers=[["fc7", 0, 0], ["fc6", 0, 0]]), "it has 2 outputs"),
    "training": (lambda config: config["config"]["layers"][-1]["inbound_nodes"][0].update(kwargs={"training": True}),
                 "is called with"),
    "a circle": (lambda config: config["config"]["layers"][1]["inbound_nodes"][0]["args"][0]["config"].update(
        keras_history=["fc7", 0, 0]), "in a circle"),
    "code": (lambda config: config.update(class_name="MyVGG"), "its model is a 'MyVGG', whose layers are code"),
    "no list": (lambda config: config["config"].update(layers=5), "is not one that Keras writes"),
    "the same name twice": (lambda config: config["config"]["layers"][1]["config"].update(name="conv2_1"),
                            "have the same name"),
}


@pytest.mark.parametrize("change, text", BROKEN_CONFIGURATIONS.values(), ids=BROKEN_CONFIGURATIONS)
def test_configurations_that_are_no_row_of_layers(change, text):
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    config = keras_models.functional(found, vgg.architecture)
    paths, names = keras_models.in_keras(config, arrays)
    change(config)
    with pytest.raises(NpvggError, match=text):
        keras.contents(Arrays(paths, names), json.dumps(config), "memory")


BROKEN_ARRAYS = {
    "one is missing": (lambda arrays: arrays.pop("conv2_1"), "lacks the kernel of its layer 'conv2_1'"),
    "one is too many": (lambda arrays: arrays["conv2_1"].append(np.zeros(3, "f4")), "vars/2 .* has no place"),
    "another shape": (lambda arrays: arrays.update(fc7=[np.zeros((11, 5), "f4"), np.zeros(5, "f4")]), "fc7:weight has shape"),
}


@pytest.mark.parametrize("change, text", BROKEN_ARRAYS.values(), ids=BROKEN_ARRAYS)
def test_every_array_has_one_place(change, text):
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    change(arrays)
    with pytest.raises(BadFileError, match=text):
        in_memory(keras_models.sequential(found, vgg.architecture), arrays)


def test_weights_under_another_layers_name_are_refused():
    """Groups are counted by class; where Keras wrote the names beside them, they are compared."""
    vgg = drawn()
    found, arrays = keras_models.layers(vgg)
    config = keras_models.sequential(found, vgg.architecture)
    paths, names = keras_models.in_keras(config, arrays)
    layers = config["config"]["layers"]
    at = next(at for at, step in enumerate(layers) if step["config"]["name"] == "conv3_1")
    layers[at], layers[at + 1] = layers[at + 1], layers[at]
    with pytest.raises(BadFileError, match="keeps the weights of 'conv3_1' where those of 'conv3_2' belong"):
        keras.contents(Arrays(paths, names), json.dumps(config), "memory")


def test_other_records_of_an_archive_are_refused(tmp_path):
    vgg, path = drawn(), tmp_path / "net.keras"
    found, arrays = keras_models.layers(vgg)
    keras_models.write_keras(path, keras_models.sequential(found, vgg.architecture), arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/words.txt", "cat")
    with pytest.raises(BadFileError, match="beside configuration and weights it has 'assets/words.txt'"):
        from_file(path)


VALUES = [None, True, 0, 1, -1, 3, 1e9, 0.5, "relu", "softmax", "x", "", [], [1], [2, 2], {}, {"a": 1}, "same", [[1, 1]], ["a"]]


def mutate(node, rng):
    """Change something in a configuration."""
    places = list(node) if isinstance(node, dict) else range(len(node))
    place = rng.choice(places)
    if isinstance(node[place], (dict, list)) and node[place] and rng.random() < 0.8:
        mutate(node[place], rng)
    elif rng.random() < 0.2:
        node.pop(place)
    else:
        node[place] = copy.deepcopy(rng.choice(VALUES))


def test_mutants_of_configurations_are_refused_or_read():
    vgg, rng = drawn("vgg11_bn", eps=1e-3), random.Random(2)
    found, arrays = keras_models.layers(vgg)
    until, count = time.monotonic() + float(os.environ.get("NPVGG_FUZZ_SECONDS", 2)), 0
    while time.monotonic() < until:
        config = rng.choice(list(FORMS.values()))(copy.deepcopy(found), vgg.architecture)
        paths, names = keras_models.in_keras(config, arrays)
        for _ in range(rng.choice([1, 1, 2, 5])):
            mutate(config, rng) if config else None
        count += 1
        try:
            read = keras.contents(Arrays(paths, names), json.dumps(config), "memory")
            convert.understood(read.tensors, stated=read.stated)
        except NpvggError as error:
            assert str(error).isprintable() and len(str(error)) < 1500
    assert count > 10


# ------------------------------------------------------------------------------------------------- weights alone


def weights_only(names, is_by_class=True):
    """A VGG with two dense layers, and its arrays under these names."""
    vgg = drawn("vgg11")
    _, arrays = keras_models.layers(vgg)
    paths, texts = {}, {}
    for name, (ours, of_layer) in zip(names, arrays.items(), strict=True):
        group = f"layers/x{ours}/vars" if is_by_class else f"{name}/{name}"
        paths |= {f"{group}/{at if is_by_class else ['kernel:0', 'bias:0'][at]}": array for at, array in enumerate(of_layer)}
        texts |= {group: {"name": name}} if is_by_class else {}
    return vgg, Arrays(paths, texts)


BLOCKS = ["block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "block4_conv1", "block4_conv2", "block5_conv1",
          "block5_conv2"]


@pytest.mark.parametrize("is_by_class", [True, False], ids=["Keras 3", "Keras 2"])
@pytest.mark.parametrize("names", [[f"conv2d_{13 + at}" for at in range(8)] + ["dense_3", "dense_4"],
                                   BLOCKS + ["dense_9", "dense_10"],
                                   BLOCKS + ["dense", "dense_1"]], ids=["session", "transfer, session", "transfer"])
def test_numbers_of_a_session(names, is_by_class):
    vgg, arrays = weights_only(names, is_by_class)
    read = keras.contents(arrays, None, "memory")
    assert has_bits_of(convert.understood(read.tensors), vgg)
    assert f"{names[-2]} … {names[-1]} were taken in the order of their numbers" in " ".join(read.remarks)


@pytest.mark.parametrize("layout", [keras_models.in_keras, lambda config, arrays: (keras_models.in_h5(config, arrays), {})])
def test_batch_norm_without_its_place_is_refused(layout):
    vgg = drawn("vgg11_bn")
    found, arrays = keras_models.layers(vgg)
    with pytest.raises(UnsupportedError, match="batch norm .*, whose place and ε weights alone do not show"):
        keras.contents(Arrays(*layout(keras_models.sequential(found, vgg.architecture), arrays)), None, "memory")


def test_a_small_file_unpacks_to_little(tmp_path):
    """0.9 MB of zeros, packed by gzip as far as it goes, would be 908 MB."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(9):
            file.create_dataset(f"w{number}", (16 << 20,), "u1", chunks=(16 << 20,), compression=9)[...] = 0
    assert (tmp_path / "x.h5").stat().st_size < 1 << 20
    with pytest.raises(BadFileError, match="unpacks its .* bytes to"):
        formats.read(tmp_path / "x.h5")
