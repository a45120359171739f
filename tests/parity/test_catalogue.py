"""The catalogue is whole data, and the page's table is made from it."""
import re
import string
from pathlib import Path

import numpy as np
import pytest
from witnesses import mistakes
from witnesses.networks import lively, photograph

from npvgg import parity
from npvgg.images import PRESETS, preset
from npvgg.parity.catalogue import (
    ACTIVATIONS,
    ANY_LAYER,
    BATCH_NORMS,
    CONVOLUTIONS,
    DAMAGE,
    DENSE_LAYERS,
    LOCAL_RESPONSE,
    MISTAKES,
    POOLINGS,
    WEIGHTS,
)
from npvgg.parity.catalogue.estimates import fitted, snapped
from npvgg.parity.catalogue.normalising import normalisings, of_preset
from npvgg.parity.catalogue.rounding import FORMATS, affine_integers, integers, rounded, step_of
from npvgg.parity.exact import OPERATIONS

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
ROWS = {"a convolution": CONVOLUTIONS, "batch norm": BATCH_NORMS, "ReLU, dropout": ACTIVATIONS, "pooling, flatten": POOLINGS,
        "local response": LOCAL_RESPONSE, "a dense layer, the output": DENSE_LAYERS, "parameters, arithmetic": WEIGHTS,
        "told by the run": DAMAGE, "any layer": ANY_LAYER}


def table():
    """The rows of the page's table; what is found out is an ellipsis there."""
    for what, entries in ROWS.items():
        yield f"| {what} | {'; '.join(re.sub(r'{[a-z]+}', '…', entry.name) for entry in entries)} |"


def test_the_page_lists_every_mistake():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert [row for row in table() if row not in lines] == []
    assert sorted(entry.name for entries in ROWS.values() for entry in entries) == sorted(entry.name for entry in MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_an_entry_is_whole(mistake):
    assert mistake.operations and set(mistake.operations) <= OPERATIONS.keys()
    fields = {field for text in (mistake.name, mistake.remedy) for _, field, _, _ in string.Formatter().parse(text) if field}
    assert {field for _, field, _, _ in string.Formatter().parse(mistake.remedy) if field} <= fields and mistake.remedy


def test_names_are_not_used_twice():
    names = [(mistake.name, operation) for mistake in MISTAKES for operation in mistake.operations]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PRESETS)
def test_no_two_ways_to_normalise_are_the_same(name):
    ways = list(normalisings(preset(name)))
    levels = np.random.default_rng(0).integers(0, 256, (preset(name).channels, 50)).astype(float)
    right = ways[0].of(levels)
    assert np.allclose(ways[0].back(right), levels) and len({way.name for way in ways}) == len(ways)
    assert all(way.remedy for way in ways[1:])


def test_a_preset_normalises_as_images_does():
    picture = photograph(0)[:224, :224]
    for recipe in (preset("torchvision"), preset("caffe")):
        from npvgg import images

        plain = images.Preset(**{**vars(recipe), "resize": None})
        expected = images.batch(picture[np.newaxis], plain)[0]
        assert np.allclose(of_preset(recipe).of(picture.transpose(2, 0, 1).astype(float)), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name, dtype", [("float16", np.float16), ("bfloat16", None), ("TF32", None)])
def test_numbers_are_rounded_as_the_format_does(name, dtype):
    values = np.random.default_rng(0).standard_normal(500) * np.logspace(-9, 4, 500)
    ours = rounded(values.astype(np.float32).astype(float), name)
    if dtype:
        assert np.array_equal(ours, values.astype(np.float32).astype(dtype).astype(float))
    else:
        theirs = {"bfloat16": mistakes.brain, "TF32": mistakes.tensor_float}[name](values.astype(np.float32))
        assert np.array_equal(ours, theirs)
    assert (np.abs(ours - values) <= step_of(values, name)).all() and FORMATS[name]


def test_integers_have_a_step_for_all_or_for_each_output():
    weight = np.array([[1.0, -0.5], [0.1, 0.01]])
    assert np.allclose(integers(weight, 127, None), [[1, -64 / 127], [0.1, 13 * 0.1 / 127]])
    assert np.allclose(integers(weight, 127, weight), [[1, -64 / 127], [13 / 127, 1 / 127]])
    assert np.allclose(integers(weight[1:], 127, weight), [[13 / 127, 1 / 127]])
    assert np.abs(affine_integers(weight, weight) - weight).max() <= 1.5 / 255 / 2 + 1e-12


def test_estimates_come_with_few_digits_first():
    assert list(snapped(0.0123456789, also=(0.0,)))[:4] == [0.0, 0.01, 0.012, 0.0123]
    assert list(snapped(float("nan"))) == []
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5, 4))
    gain, offset = np.array([2.0, -1, 0.5]), np.array([0.0, 3, 0.5])
    y = x * gain.reshape(-1, 1, 1) + offset.reshape(-1, 1, 1)
    assert np.allclose(fitted(y, x), (gain, offset))
    seen = y > 0
    assert np.allclose(fitted(np.where(seen, y, 99), x, seen), (gain, offset))


LARGE = {"width": 1 / 8, "hidden": (64, 48), "num_classes": 10, "pooled_size": 2, "input_size": 96}


@pytest.mark.parametrize("place, what", [
    ("conv2_1", "convolved"), ("conv2_1", "int8 in one"), ("conv2_1", "one number"), ("conv2_1", "older checkpoint"),
    ("conv3_2", "in and out"), ("conv2_1", "circular"), ("fc6", "no bias"), ("conv2_1", "no bias")])
def test_on_large_layers_a_mistake_is_tried_on_a_part_first(place, what, monkeypatch):
    """The answer is that on the whole: with a small SMALL the parts are used on a network of this size."""
    from npvgg.parity import diagnosis

    vgg = lively("vgg11", **LARGE)
    x = vgg.prepare([photograph(0), photograph(1)])
    kind = mistakes.DENSE if place.startswith("fc") else mistakes.CONV | mistakes.SQUARE
    wrong = mistakes.run(vgg, x, {place: kind[what][0]})
    looked_at = []
    monkeypatch.setattr(diagnosis, "SMALL", 1000)
    closer = diagnosis.closer
    monkeypatch.setattr(diagnosis, "closer", lambda *given: looked_at.append(closer(*given)) or looked_at[-1])
    comparison = parity.compare(wrong, {"input": x} | vgg.trace(x), vgg)
    assert comparison.first.name == place and kind[what][1] in comparison.causes[0].name
    assert len(looked_at[0].looked_at) == (2 if place.startswith("fc") else 4)
