"""The recipes, their round trip through a weights file, and what is refused on the way back."""
import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from witnesses.encoded import noise
from witnesses.torchvision_witness import torchvision

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, UsageError
from npvgg.images import PRESETS, Preset, batch, check_channels, default_preset, prepare, preset


def test_the_presets_are_these():
    assert list(PRESETS) == ["torchvision", "torchvision-features", "mmpretrain", "caffe", "keras", "pytorchvggnet", "cifar10",
                             "grey", "rgba"]
    assert all(recipe.name == name and preset(name) is recipe for name, recipe in PRESETS.items())


# What a level of each colour becomes, colour by colour, as the publishers state it: level ↦ (level − mean) / deviation.
PUBLISHED = {
    # torchvision.transforms._presets.ImageClassification; on levels ÷ 255.
    "torchvision": {"red": (0.485 * 255, 0.229 * 255), "green": (0.456 * 255, 0.224 * 255), "blue": (0.406 * 255, 0.225 * 255)},
    # torchvision.models.VGG16_Weights.IMAGENET1K_FEATURES.
    "torchvision-features": {"red": (0.48235 * 255, 1), "green": (0.45882 * 255, 1), "blue": (0.40784 * 255, 1)},
    # mmpretrain, configs/_base_/datasets/imagenet_bs32.py, to_rgb=True.
    "mmpretrain": {"red": (123.675, 58.395), "green": (116.28, 57.12), "blue": (103.53, 57.375)},
    # The Oxford models' page: mean_pixel, BGR.
    "caffe": {"blue": (103.939, 1), "green": (116.779, 1), "red": (123.68, 1)},
    "pytorchvggnet": dict.fromkeys(("red", "green", "blue"), (127.5, 127.5)),
    # CIFAR-10's 50,000 training pictures.
    "cifar10": {"red": (125.307, 62.985), "green": (122.961, 62.0925), "blue": (113.8575, 66.708)},
}
PUBLISHED["rgba"] = PUBLISHED["torchvision"]
LEVELS = {"red": 201, "green": 90, "blue": 17}


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_colour_gets_its_own_published_mean_and_deviation(name):
    ours, side = preset(name), preset(name).crop
    x = prepare(Image.new("RGB", (side, side), tuple(LEVELS.values())), ours)
    colours = ("blue", "green", "red") if name == "caffe" else ("red", "green", "blue")
    for colour, channel in zip(colours, x):
        mean, deviation = PUBLISHED[name][colour]
        assert channel == pytest.approx((LEVELS[colour] - mean) / deviation, rel=2e-6, abs=1e-5)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_mmpretrains_statistics_are_torchvisions_in_levels(level):
    """A law between two recipes: each colour alone, so that no two channels can change places."""
    for colour in ((level, 0, 0), (0, level, 0), (0, 0, level)):
        picture = Image.new("RGB", (224, 224), colour)
        assert prepare(picture, preset("mmpretrain")) == pytest.approx(prepare(picture, preset("torchvision")), abs=3e-6)


def test_grey_has_torchvisions_statistics_under_the_weights_of_grey():
    weights, theirs, ours = np.array([0.299, 0.587, 0.114]), preset("torchvision"), preset("grey")
    assert (ours.mean[0], ours.std[0]) == pytest.approx((weights @ theirs.mean, weights @ theirs.std), abs=5e-4)
    assert (ours.resize, ours.crop, ours.divisor) == (theirs.resize, theirs.crop, theirs.divisor)


def test_rgba_is_torchvisions_with_alpha_from_0_to_1():
    picture = noise(30, 30, "RGBA")
    rgba, rgb = (replace(preset(name), resize=None, crop=30) for name in ("rgba", "torchvision"))
    x = prepare(picture, rgba)
    assert np.array_equal(x[:3], prepare(picture, rgb))
    assert np.array_equal(x[3], np.asarray(picture)[:, :, 3].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("channels, name", [(1, "grey"), (3, "torchvision"), (4, "rgba")])
def test_the_default_preset_is_for_the_networks_channels_and_size(channels, name):
    net = architecture("vgg11", input_channels=channels, input_size=64)
    ours = default_preset(net)
    assert ours == preset(name).resized(64) and (ours.channels, ours.resize, ours.crop) == (channels, 73, 64)
    check_channels(ours, net)


@pytest.mark.parametrize("call", [lambda name: batch("a.png", name), lambda name: prepare("a.png", name),
                                  lambda name: check_channels(name, architecture("vgg11"))], ids=["batch", "prepare", "check"])
def test_a_name_is_no_preset(call):
    with pytest.raises(UsageError, match=r"^the preset is of type str; give a Preset, as images.preset\('torchvision'\)$"):
        call("torchvision")


def test_a_preset_of_other_channels_than_the_networks_is_refused():
    with pytest.raises(UsageError) as caught:
        check_channels(preset("caffe"), architecture("vgg11", input_channels=1))
    assert str(caught.value) == ("preset caffe prepares 3 channels (BGR) but this vgg11 takes 1; give "
                                 "images.default_preset(architecture), or a preset whose order has as many")
    with pytest.raises(UsageError, match=r"^preset rgba prepares 4 channels \(RGBA\) but this vgg11 takes 3; give "):
        network.create("vgg11", width=1 / 64, preset="rgba")


@pytest.mark.parametrize("name, weights", [("torchvision", "IMAGENET1K_V1"),
                                           ("torchvision-features", "IMAGENET1K_FEATURES")])
def test_torchvision_says_the_same(name, weights):
    theirs, ours = torchvision().models.VGG16_Weights[weights].transforms(), preset(name)
    assert (theirs.resize_size, theirs.crop_size) == ([ours.resize], [ours.crop])
    assert (theirs.mean, theirs.std) == (list(ours.mean), list(ours.std))
    assert (theirs.interpolation.value, theirs.antialias) == (ours.interpolation, True)
    assert (ours.divisor, ours.order) == (255, "RGB")


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UsageError) as caught:
        preset("imagenet")
    assert str(caught.value) == ("preset 'imagenet' is not known; choose one of torchvision, torchvision-features, "
                                 "mmpretrain, caffe, keras, pytorchvggnet, cifar10, grey, rgba")


def test_a_preset_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        preset("cifar10").crop = 64


@pytest.mark.parametrize("name, size, resize", [
    ("torchvision", 224, 256), ("torchvision", 299, 342), ("torchvision", 32, 37), ("torchvision", 448, 512),
    ("torchvision", 1, 1), ("torchvision-features", 384, 439), ("cifar10", 64, 64),
])
def test_resized_keeps_the_ratio(name, size, resize):
    ours = preset(name).resized(size)
    assert (ours.resize, ours.crop) == (resize, size)
    assert replace(ours, resize=None, crop=1) == replace(preset(name), resize=None, crop=1)


def test_resized_without_a_resize_only_crops_otherwise():
    assert replace(preset("cifar10"), resize=None).resized(48) == replace(preset("cifar10"), resize=None, crop=48)


@pytest.mark.parametrize("size", [0, -1, 4097, 224.0, "224", True, None])
def test_an_impossible_size_is_a_usage_error(size):
    with pytest.raises(UsageError, match="input size .* is not possible; give a whole number from 1 to 4096"):
        preset("torchvision").resized(size)


WRONG = [
    ("name", ""), ("name", 5), ("name", "a\nb"), ("name", "x" * 81), ("name", None),
    ("resize", 0), ("resize", 4097), ("resize", 256.0), ("resize", True), ("resize", "256"), ("resize", [256]),
    ("crop", None), ("crop", 0), ("crop", 10**9), ("crop", 224.5), ("crop", False),
    ("mean", (0.5, 0.5)), ("mean", 0.5), ("mean", ("a", "b", "c")), ("mean", (0.5, 0.5, None)), ("mean", (1e9, 0, 0)),
    ("mean", (10**400, 0, 0)), ("mean", {"r": 1}), ("mean", (True, 0.5, 0.5)),
    ("std", (0.0, 1.0, 1.0)), ("std", (-1.0, 1.0, 1.0)), ("std", (1e-40, 1.0, 1.0)), ("std", None),
    ("divisor", 0), ("divisor", -255), ("divisor", "255"), ("divisor", None),
    ("interpolation", "box"), ("interpolation", 2), ("interpolation", ["bilinear"]),
    ("crop_mode", "border"), ("crop_mode", None),
    ("order", "GBR"), ("order", None), ("order", "rgb"), ("order", ["RGB"]),
    ("mean", (0.5,)), ("mean", (0.5,) * 4), ("mean", ()), ("std", (1.0,)), ("std", (1.0,) * 5), ("mean", (0.5,) * 1000),
]


@pytest.mark.parametrize("field, value", WRONG, ids=str)
def test_a_wrong_field_is_refused_from_python_and_from_a_file(field, value):
    with pytest.raises(UsageError, match=f"^preset field {field} is .*; expected "):
        replace(preset("torchvision"), **{field: value})
    text = json.dumps(asdict(preset("torchvision")) | {field: value})
    with pytest.raises(BadFileError) as caught:
        Preset.from_json(text)
    assert str(caught.value).startswith(f"preset field {field} is ")
    assert str(caught.value).endswith(" or convert the weights again")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


def test_nan_is_refused():
    with pytest.raises(UsageError, match="preset field mean"):
        replace(preset("torchvision"), mean=(float("nan"), 0.5, 0.5))


def text_without(field):
    return json.dumps({name: value for name, value in asdict(preset("cifar10")).items() if name != field})


GOOD = preset("cifar10").to_json()
FOREIGN = {
    "empty": "", "number": "5", "null": "null", "list": "[]", "cut": GOOD[:-1], "trailing": GOOD + "x",
    "field-too-many": GOOD[:-1] + ', "background": "white"}', "field-twice": GOOD[:-1] + ', "order": "BGR"}',
    "nan": GOOD.replace("0.4914", "NaN"), "infinity": GOOD.replace("0.4914", "Infinity"),
    "overflow": GOOD.replace("0.4914", "1e999"), "deep": "[" * 100_000, "many-digits": GOOD.replace("32", "9" * 5000),
    "line-break": '{"a\\nb": 1}', "not-utf-8": b"\xff\xfe{}", "none": None,
} | {f"without-{field.name}": text_without(field.name) for field in fields(Preset) if field.name != "crop_mode"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_json_of_another_kind_is_a_bad_file(kind):
    with pytest.raises(BadFileError) as caught:
        Preset.from_json(FOREIGN[kind])
    message = str(caught.value)
    assert message.endswith(" or convert the weights again") and message.isprintable() and len(message) < 500


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    text = preset(name).to_json()
    assert "\n" not in text and Preset.from_json(text) == preset(name) == Preset.from_json(text.encode())


numbers = st.floats(-1e6, 1e6) | st.integers(-10**6, 10**6)
scales = st.floats(1e-6, 1e6) | st.integers(1, 10**6)
presets = st.sampled_from(["L", "RGB", "BGR", "RGBA"]).flatmap(lambda order: st.builds(
    Preset, name=st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=80),
    resize=st.none() | st.integers(1, 4096), crop=st.integers(1, 4096), mean=st.tuples(*[numbers] * len(order)),
    std=st.tuples(*[scales] * len(order)), divisor=scales, order=st.just(order)))


def test_an_older_file_s_preset_reads_as_it_was_written():
    """As npvgg 0.1.0 wrote it."""
    text = ('{"name": "caffe", "resize": 256, "crop": 224, "mean": [103.939, 116.779, 123.68], "std": [1.0, 1.0, 1.0], '
            '"divisor": 1, "interpolation": "bilinear", "order": "BGR"}')
    assert Preset.from_json(text) == preset("caffe") and preset("caffe").to_json() == text


@pytest.mark.parametrize("order, count", [("L", 3), ("RGB", 1), ("RGBA", 3), ("RGB", 4)])
@pytest.mark.parametrize("field", ["mean", "std"])
def test_mean_and_deviation_have_an_entry_a_channel(order, count, field):
    values = {"mean": (0.5,) * len(order), "std": (1.0,) * len(order)} | {field: (0.5,) * count}
    with pytest.raises(UsageError, match=rf"^preset field {field} is \(0.5,.*; expected {len(order)} for the order {order}$"):
        Preset("mine", None, 32, **values, order=order)


@settings(deadline=None)
@given(presets)
def test_every_preset_survives_the_round_trip_and_stays_finite(recipe):
    again = Preset.from_json(recipe.to_json())
    assert again == recipe and again.to_json() == recipe.to_json()
    levels = np.float32([[0], [255]])
    assert np.isfinite((levels / np.float32(recipe.divisor) - np.float32(recipe.mean)) / np.float32(recipe.std)).all()
