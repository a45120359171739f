"""Caffe models of both versions, whole, damaged and hostile."""
import io
import os
import random
import time

import numpy as np
import pytest
from witnesses import caffemodel_builder as builder
from witnesses.networks import lively

from npvgg import network
from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import formats
from weights_convert.containers import protobuf
from weights_convert.convert import convert, understood
from weights_convert.formats import caffe

SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "pooled_size": 2, "input_size": 64}
WEIGHT, BIAS = np.arange(24, dtype="f4").reshape(2, 3, 2, 2), np.ones(2, "f4")


def read(data):
    return caffe.read(io.BytesIO(data), len(data)).tensors


@pytest.mark.parametrize("version", [1, 2], ids=["V1", "V2"])
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_both_versions_arrive_bit_for_bit(tmp_path, name, version):
    vgg = lively(name, **SMALL)
    (tmp_path / "net.caffemodel").write_bytes(builder.model(vgg, version))
    report = convert(tmp_path / "net.caffemodel", tmp_path / "out.h5")
    found = network.load_file(report.path)
    said = report.container, report.scheme, report.preset, report.source_output
    assert said == ("Caffe model", "caffe", "caffe", "probabilities")
    assert found.architecture == vgg.architecture and found.preset.order == "BGR"
    assert found.preset.mean == (103.939, 116.779, 123.68)
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())


@pytest.mark.parametrize("how", [{"packed": False}, {"double": True}, {"packed": False, "double": True}], ids=str)
@pytest.mark.parametrize("version", [1, 2])
def test_numbers_in_other_forms(version, how):
    data = builder.layer("conv1_1", "Convolution", [WEIGHT, BIAS], version, **how)
    found = read(data)
    assert np.array_equal(found["conv1_1.blobs[0]"], WEIGHT) and np.array_equal(found["conv1_1.blobs[1]"], BIAS)


def conv(version=1, **options):
    weight = np.zeros((2, 3, 3, 3), "f4")
    return builder.layer("c", "Convolution", [weight], version, builder.convolution_options(weight.shape, version, **options))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("options, text", [
    ({"stride": 2}, "stride .2. where a VGG has 1"), ({"group": 2}, "groups .2. where"),
    ({"pad": 0}, "padding .0. where a VGG has 1"), ({"dilation": 2}, "dilation .2. where"),
    ({"axis": 2}, "axis .2. where"),
], ids=["stride", "groups", "padding", "dilation", "axis"])
def test_convolutions_that_no_vgg_has_are_not_supported(version, options, text):
    assert read(conv(version))
    with pytest.raises(UnsupportedError, match=f"its convolution 'c' has the {text}"):
        read(conv(version, **options))


@pytest.mark.parametrize("version", [1, 2])
def test_other_layers_with_parameters_are_not_supported(version):
    with pytest.raises(UnsupportedError, match="'norm1' is a local response normalisation"):
        read(builder.layer("norm1", "LRN", [], version))
    with pytest.raises(UnsupportedError, match="'b' .* is none of a VGG's; npvgg knows Convolution"):
        read(builder.layer("b", "Bias", [BIAS], version))
    with pytest.raises(UnsupportedError, match="'d' is transposed"):
        read(builder.layer("d", "InnerProduct", [np.zeros((2, 3), "f4")], version, builder.number(6, 1)))


# ------------------------------------------------------------------------------------------------- the layers without blobs


def changed(**how):
    vgg = lively("vgg11", **SMALL)
    data = builder.model(vgg, 2, **how)
    read = caffe.read(io.BytesIO(data), len(data))
    return understood(read.tensors, stated=read.stated), vgg, read


def replaced(kind, *new, at=0):
    """Put other layers in the place of the one with that number among those of its kind."""
    def change(parts):
        place = [number for number, part in enumerate(parts) if part[0] == kind][at]
        return [*parts[:place], *new, *parts[place + 1:]]

    return change


def pooled(how):
    return ("Pooling", "p", [], builder.number(1, how) + builder.number(2, 2) + builder.number(3, 2))


FOREIGN_LAYERS = {
    "average pooling once": (replaced("Pooling", pooled(1)), "end with maximum and others with average"),
    "stochastic pooling": (replaced("Pooling", pooled(2)), "pools in a way that no VGG does"),
    "another window": (replaced("Pooling", ("Pooling", "p", [], builder.number(2, 3) + builder.number(3, 2))),
                       r"\[3, 2, 0\] where"),
    "no pooling": (replaced("Pooling"), "before the last of five poolings"),
    "tanh": (replaced("ReLU", ("TanH", "t", [], b"")), "'t' .'TanH'. is none of a VGG's"),
    "leaky": (replaced("ReLU", ("ReLU", "r", [], b"\x0d" + np.float32(0.1).tobytes())), "has the slope 0.1 below zero"),
    "no relu": (replaced("ReLU"), "its graph has pool1 behind conv1_1, where vgg11 has relu1_1"),
    "softmax over the pictures": (replaced("Softmax", ("Softmax", "s", [], builder.number(2, 0))), "axis than the classes"),
    "flattened from axis 2 on": (replaced("Dropout", ("Flatten", "f", [], builder.number(1, 2))), "flattens other axes"),
    "softmax early": (replaced("ReLU", ("Softmax", "s", [], b""), at=-1), "behind the end of a VGG"),
}


@pytest.mark.parametrize("change, text", FOREIGN_LAYERS.values(), ids=FOREIGN_LAYERS)
def test_what_no_vgg_has_is_refused_by_its_name(change, text):
    with pytest.raises(UnsupportedError, match=text):
        changed(change=change)


@pytest.mark.parametrize("last", [1, (1 << 64) - 1])
def test_axes_may_be_named(last):
    flatten = ("Flatten", "f", [], builder.number(1, 1) + builder.number(2, (1 << 64) - 1))
    read, vgg, _ = changed(change=replaced("Softmax", flatten, ("Softmax", "s", [], builder.number(2, last))))
    assert read.architecture == vgg.architecture and read.source_output == "probabilities"


def test_a_branch_is_refused():
    first = builder.layer("conv1_1", "Convolution", [WEIGHT, BIAS], 2, bottom="data")
    with pytest.raises(UnsupportedError, match="takes 'elsewhere' where a VGG has no branches"):
        read(builder.piece(1, "net") + builder.layer("data", "Data", [], 2, top="data")
             + builder.layer("relu", "ReLU", [], 2, bottom="elsewhere") + first)


def test_average_pooling_everywhere_is_another_network():
    vgg = lively("vgg11", pooling="avg", **SMALL)
    data = builder.model(vgg, 1)
    found = caffe.read(io.BytesIO(data), len(data))
    assert understood(found.tensors, stated=found.stated).architecture == vgg.architecture


@pytest.mark.parametrize("last", ["fc8a", "fc8_flickr", "fc8-20"])
def test_fine_tuning_renames_the_last_layer(last):
    found, vgg, contents = changed(names={"fc8": last})
    assert found.architecture == vgg.architecture and f"'{last}' was taken for fc8" in " ".join(contents.remarks)
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())


@pytest.mark.parametrize("last", ["fc8a", "fc8_flickr", "fc8-20"])
def test_the_same_of_a_file_with_blobs_alone(last):
    found, vgg, contents = changed(names={"fc8": last}, change=lambda parts: [part for part in parts if part[2]])
    assert found.architecture == vgg.architecture and f"'{last}', was taken for fc8" in " ".join(contents.remarks)
    assert all(np.array_equal(found.parameters[path], array) for path, array in vgg.parameters.items())


def test_a_network_in_training_ends_with_its_loss():
    """Data in front, a split for the accuracy, and the loss in the place of the soft-max."""
    vgg = lively("vgg11", **SMALL)
    data = builder.layer("data", "Data", [], 2, top="data") + builder.model(
        vgg, 2, change=lambda parts: [*parts[:-1], ("SoftmaxWithLoss", "loss", [], b"")])
    found = caffe.read(io.BytesIO(data), len(data))
    result = understood(found.tensors, stated=found.stated)
    assert result.architecture == vgg.architecture and result.source_output == "probabilities"


def test_fillers_are_no_numbers():
    """How weights began is a message in the field where a convolution has its padding."""
    filler = builder.piece(1, "gaussian") + b"\x25" + np.float32(-0.005).tobytes()
    options = builder.number(1, 2) + builder.piece(3, filler) + builder.piece(4, filler)
    assert read(builder.layer("d", "InnerProduct", [np.zeros((2, 3), "f4")], 2, options))


def test_a_network_that_ends_with_logits_or_features():
    assert changed(change=lambda parts: parts[:-1])[0].source_output == "logits"
    found, vgg, _ = changed(change=lambda parts: parts[:-2])
    assert found.architecture.head == "avg2 flatten 12 relu drop 9 relu drop" and found.architecture.output == "none"


def test_a_shape_of_many_sizes_is_refused_at_once():
    """Whoever drops them one by one from the front needs hours for 5 MB."""
    sizes = builder.piece(7, builder.piece(1, b"\x01" * 5_000_000)) + builder.piece(5, bytes(4))
    layer = builder.piece(100, builder.piece(1, "c") + builder.piece(2, "Convolution") + builder.piece(7, sizes))
    started = time.monotonic()
    with pytest.raises(BadFileError, match="a blob of more than 32 dimensions"):
        read(layer)
    assert time.monotonic() - started < 1


LAYER = builder.layer("c", "Convolution", [WEIGHT, BIAS], 2)
HOSTILE = {
    "no layer": builder.piece(1, "net"), "endless number": b"\x12" + b"\xff" * 11,
    "number of 70 bits": b"\x12" + b"\xff" * 9 + b"\x7f",
    "length past the end": LAYER[:-1], "group": b"\x13", "wire type 7": b"\x17", "field 0": b"\x02\x00",
    "twice": LAYER + LAYER, "shape that is larger": LAYER.replace(bytes([2, 3, 2, 2]), bytes([2, 3, 2, 3])),
    "negative side": builder.piece(100, builder.piece(1, "c") + builder.piece(2, "Convolution") + builder.piece(
        7, builder.piece(7, builder.piece(1, b"\xff" * 9 + b"\x01" + b"\1\1\1")) + builder.piece(5, bytes(4)))),
    "no numbers": builder.piece(100, builder.piece(2, "Convolution") + builder.piece(7, builder.piece(7, b""))),
    "both kinds of numbers": builder.piece(100, builder.piece(2, "Convolution") + builder.piece(
        7, builder.piece(5, bytes(4)) + builder.piece(8, bytes(8)))),
    "odd bytes": builder.piece(100, builder.piece(2, "Convolution") + builder.piece(7, builder.piece(5, bytes(5)))),
    "name that is no text": builder.piece(100, builder.piece(1, b"\xff\xfe") + builder.piece(2, "Convolution")),
    "many layers": builder.piece(1, "net") + builder.layer("r", "ReLU", [], 1) * 1500,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(data):
    with pytest.raises(BadFileError) as caught:
        read(data)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_fields_are_counted(monkeypatch):
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 5)
    with pytest.raises(BadFileError, match="more than 5 fields"):
        list(protobuf.fields(memoryview(b"\x08\x01" * 6)))


def test_it_is_told_by_its_first_bytes(tmp_path):
    (tmp_path / "x").write_bytes(builder.piece(1, "VGG_ILSVRC_16_layers") + LAYER)
    assert formats.read(tmp_path / "x").container == "Caffe model"
    (tmp_path / "x").write_text("\nname: 'a prototxt'\n")
    with pytest.raises(BadFileError, match="a description of Caffe.s .*give the .caffemodel, which has the weights"):
        formats.read(tmp_path / "x")


def test_every_truncation_and_many_mutants_are_refused_or_read():
    """The format has no checksum, so numbers may differ; but nothing escapes."""
    dense, rng = builder.layer("fc6", "InnerProduct", [np.zeros((2, 3), "f4"), BIAS], 1), random.Random(3)
    seed = builder.piece(1, "net") + LAYER + dense
    for end in range(len(seed)):
        try:
            read(seed[:end])
        except NpvggError as error:
            assert str(error).isprintable()
    until, count = time.monotonic() + float(os.environ.get("NPVGG_FUZZ_SECONDS", 2)), 0
    while time.monotonic() < until:
        data = bytearray(seed)
        for _ in range(rng.choice([1, 1, 2, 9])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, 128, 127, rng.randrange(256)])
        count += 1
        try:
            read(bytes(data))
        except NpvggError as error:
            assert str(error).isprintable()
    assert count > 20
