"""The recipes, their round trip through a weights file, and what is refused on the way back."""
import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses.torchvision_witness import torchvision

from npvgg.errors import BadFileError, UsageError
from npvgg.images import PRESETS, Preset, preset


def test_the_presets_are_these():
    assert list(PRESETS) == ["torchvision", "torchvision-features", "mmpretrain", "caffe", "pytorchvggnet", "cifar10"]
    assert all(recipe.name == name and preset(name) is recipe for name, recipe in PRESETS.items())


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
                                 "mmpretrain, caffe, pytorchvggnet, cifar10")


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
    ("interpolation", "bicubic"), ("interpolation", 2), ("interpolation", ["bilinear"]),
    ("order", "GBR"), ("order", None), ("order", "rgb"),
]


@pytest.mark.parametrize("field, value", WRONG, ids=str)
def test_a_wrong_field_is_refused_from_python_and_from_a_file(field, value):
    with pytest.raises(UsageError, match=f"^preset field {field} is .*; expected "):
        replace(preset("torchvision"), **{field: value})
    text = json.dumps(asdict(preset("torchvision")) | {field: value})
    with pytest.raises(BadFileError) as caught:
        Preset.from_json(text)
    assert str(caught.value).startswith(f"preset field {field} is ")
    assert str(caught.value).endswith("; convert the weights again")
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
} | {f"without-{field.name}": text_without(field.name) for field in fields(Preset)}


@pytest.mark.parametrize("kind", FOREIGN)
def test_json_of_another_kind_is_a_bad_file(kind):
    with pytest.raises(BadFileError) as caught:
        Preset.from_json(FOREIGN[kind])
    message = str(caught.value)
    assert message.endswith("; convert the weights again") and message.isprintable() and len(message) < 500


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    text = preset(name).to_json()
    assert "\n" not in text and Preset.from_json(text) == preset(name) == Preset.from_json(text.encode())


numbers = st.floats(-1e6, 1e6) | st.integers(-10**6, 10**6)
scales = st.floats(1e-6, 1e6) | st.integers(1, 10**6)
presets = st.builds(Preset, name=st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=80),
                    resize=st.none() | st.integers(1, 4096), crop=st.integers(1, 4096), mean=st.tuples(*[numbers] * 3),
                    std=st.tuples(*[scales] * 3), divisor=scales, order=st.sampled_from(["RGB", "BGR"]))


@settings(deadline=None)
@given(presets)
def test_every_preset_survives_the_round_trip_and_stays_finite(recipe):
    again = Preset.from_json(recipe.to_json())
    assert again == recipe and again.to_json() == recipe.to_json()
    levels = np.float32([[0], [255]])
    assert np.isfinite((levels / np.float32(recipe.divisor) - np.float32(recipe.mean)) / np.float32(recipe.std)).all()
