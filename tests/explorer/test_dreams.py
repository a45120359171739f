"""Pictures made for a number: each step's transpose, and that the number climbs."""
import numpy as np
import pytest
from PIL import Image
from witnesses.networks import lively, photograph

import npvgg
from npvgg import images
from npvgg.errors import ShapeError, UnsupportedError, UsageError
from npvgg.explorer import deep_dream, dreams, maximise


@pytest.mark.parametrize("side", [8, 9])
def test_the_spectrums_gradient_is_its_slope(side):
    rng = np.random.default_rng(0)
    spectrum, direction = rng.standard_normal((2, 2, 3, side, side // 2 + 1))
    g, step = rng.standard_normal((3, side, side)), 1e-6
    levels = dreams.of_spectrum(spectrum, side)
    above, below = (dreams.of_spectrum(spectrum + sign * step * direction, side) for sign in (1, -1))
    slope = (g * (above - below)).sum() / (2 * step)
    assert (dreams.spectrum_gradient(g, levels) * direction).sum() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("name", ["torchvision", "caffe", "cifar10", "pytorchvggnet"])
def test_levels_are_normalised_as_pictures_are_and_back(name):
    preset = images.preset(name).resized(32)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    levels = pixels.transpose(2, 0, 1) / 255
    prepared = images.prepare(Image.fromarray(pixels), preset)
    x = dreams.normalised(levels, preset)
    assert x.shape == prepared.shape and dreams.of_network(x, preset) == pytest.approx(levels)
    if preset.resize in (None, 32):
        assert x == pytest.approx(prepared, abs=1e-4)
    a, b = np.random.default_rng(1).standard_normal((2, 3, 4, 4))
    linear = dreams.normalised(a, preset) - dreams.normalised(0 * a, preset)
    assert (linear * b).sum() == pytest.approx((a * dreams.of_levels(b, preset)).sum())


@pytest.mark.parametrize("target", ["cat", "relu2_1:3", "conv3_1:4,2,2"])
def test_a_unit_answers_more_and_more(target):
    vgg = npvgg.load()
    dream = maximise(vgg, target, steps=15, seed=1)
    assert dream.picture.shape == (32, 32, 3) and dream.picture.dtype == np.uint8 and len(dream.values) == 15
    assert np.mean(dream.values[-4:]) > np.mean(dream.values[:4]) + 0.1
    assert np.array_equal(maximise(vgg, target, steps=15, seed=1).picture, dream.picture)


def test_a_dream_has_more_of_the_layer_in_the_size_of_the_picture(tiny):
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 90)).astype(np.float32)
    dream = deep_dream(tiny, x, "relu2_1", octaves=3, steps=4)
    assert dream.picture.shape == (64, 90, 3) and len(dream.values) == 3 * 4 and dream.values[-1] > dream.values[8]
    still = deep_dream(tiny, photograph(1), "relu2_1", octaves=1, steps=1, rate=1e-9)
    assert np.array_equal(still.picture, images.pixels(Image.fromarray(photograph(1)), tiny.preset))


@pytest.mark.parametrize("call, error, words", [
    (lambda vgg: maximise(vgg, None), UsageError, "no target was given"),
    (lambda vgg: maximise(vgg, "cow"), UsageError, "no class"),
    (lambda vgg: maximise(vgg, "cat", steps=0), UsageError, "steps is 0"),
    (lambda vgg: maximise(vgg, 0, size=5), UsageError, "size is 5"),
    (lambda vgg: maximise(vgg, 0, rate=0), UsageError, "rate is 0"),
    (lambda vgg: maximise(vgg, 0, shift=-1), UsageError, "shift is -1"),
    (lambda vgg: deep_dream(vgg, photograph(1), "conv9"), UsageError, "no layer"),
    (lambda vgg: deep_dream(vgg, [photograph(1)] * 2, "conv1_1"), ShapeError, "2 pictures"),
    (lambda _: maximise(lively("vgg11", width=1 / 16, input_size=32, input_channels=1, head=""), "conv1_1:0"),
     UnsupportedError, "takes L"),
])
def test_what_makes_no_sense_is_refused(call, error, words, tiny):
    with pytest.raises(error, match=words):
        call(tiny)
