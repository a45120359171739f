"""Parts resized as Pillow does, to the bit."""
import numpy as np
import pytest
from PIL import Image
from witnesses import training_data

from npvgg import images
from npvgg.training import augmentation, resampling
from npvgg.training.augmentation import Augmentation
from npvgg.training.feeding import Feed


@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_is_pillows(channels):
    rng = np.random.default_rng(channels)
    for _ in range(60):
        height, width, size = rng.integers(1, 90, 3)
        x = rng.integers(0, 256, (height + 3, width + 5, channels)).astype(np.uint8)
        x[rng.random(x.shape) < 0.3] = 255
        y = np.empty((size, size, channels), np.uint8)
        resampling.resized_part(x, 2, 4, height, width, y)
        part = Image.fromarray(np.squeeze(x, 2) if channels == 1 else x).crop((4, 2, 4 + width, 2 + height))
        expected = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)).reshape(size, size, channels)
        assert np.array_equal(y, expected), (height, width, size)


def test_whole_batches_are_those_of_single_pictures():
    data, changes = training_data.arrays(12), Augmentation(resized_crop=(0.2, 1.0), flip="random")
    for preset in (images.preset("cifar10"), images.preset("caffe").resized(48)):
        drawn = augmentation.views(changes, data.sizes, 0, 0)
        x = Feed(data, preset, 12).prepared(np.arange(12), changes, drawn, preset)
        for index in range(12):
            levels = augmentation.view(data.picture(index), changes, drawn, index, preset)
            levels = levels[:, ::-1] if drawn.flips[index] else levels
            flat = images.Preset("flat", None, preset.crop, preset.mean, preset.std, preset.divisor, order=preset.order)
            assert np.array_equal(x[index], images.prepare(Image.fromarray(np.ascontiguousarray(levels)), flat))
