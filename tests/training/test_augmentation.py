"""What becomes of a picture is a function of (seed, epoch, picture)."""
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from witnesses import training_data

from npvgg import images
from npvgg.errors import UsageError
from npvgg.training import augmentation, draws, feeding, mixing
from npvgg.training.augmentation import NOTHING, Augmentation
from npvgg.training.feeding import Feed

PRESET = images.preset("cifar10")
EVERYTHING = [
    Augmentation(resized_crop=(0.3, 1.0), flip="random"),
    Augmentation(padded_crop=4, padding="reflect", flip="alternating", cutout=8),
    Augmentation(scale_jitter=(32, 48), colour_shift=0.1),
    Augmentation(colour_jitter=(0.4, 0.4, 0.4, 0.1), mixup=0.2, cutmix=1.0),
]


def feed(count=20, batch=8, **options):
    return Feed(training_data.arrays(count), PRESET, batch, seed=2, **options)


def shown(feed, changes, epoch=0, first=0):
    return [(batch.number, batch.x.tobytes(), batch.targets.tobytes()) for batch in feed.batches(epoch, changes, first=first)]


@pytest.mark.parametrize("changes", EVERYTHING, ids=["crop", "shift", "scale", "colour"])
def test_a_batch_depends_on_neither_threads_nor_where_one_begins(changes):
    expected = shown(feed(workers=1), changes)
    assert shown(feed(workers=3), changes) == expected
    assert shown(feed(), changes, first=2) == expected[2:]
    assert shown(feed(), changes, epoch=1) != expected


def test_a_picture_is_the_same_in_batches_of_another_size():
    small, large = ({int(index): batch.x[place].tobytes() for batch in feed(batch=size).batches(3, EVERYTHING[0])
                     for place, index in enumerate(batch.indices)} for size in (4, 10))
    assert small == large and len(small) == 20


def test_without_changes_pictures_are_prepared_as_at_inference():
    data = training_data.arrays(10)
    x = np.concatenate([part for part, _ in feeding.in_parts(data, PRESET, 4)])
    assert np.array_equal(x, images.batch(data.levels, PRESET))
    bgr = images.preset("caffe").resized(32)
    x = np.concatenate([part for part, _ in feeding.in_parts(data, bgr, 4)])
    assert np.array_equal(x, images.batch(data.levels, bgr))
    for size, resize in ((32, 40), (48, 36)):
        other = replace(PRESET, crop=size, resize=resize)
        x = next(iter(feeding.in_parts(data, other, 10)))[0]
        assert np.array_equal(x, images.batch(data.levels, other))


def torchvisions_crop(height, width, numbers):
    """torchvision.transforms.RandomResizedCrop.get_params, with the uniform numbers in the order in which it draws them."""
    for area, ratio, top, left in numbers:
        target = height * width * (0.08 + area * (1.0 - 0.08))
        aspect = math.exp(math.log(3 / 4) + ratio * (math.log(4 / 3) - math.log(3 / 4)))
        w, h = int(round(math.sqrt(target * aspect))), int(round(math.sqrt(target / aspect)))
        if 0 < w <= width and 0 < h <= height:
            return [int(top * (height - h + 1)), int(left * (width - w + 1)), h, w]
    w, h = (width, int(round(width / (3 / 4)))) if width / height < 3 / 4 else (int(round(height * (4 / 3))), height)
    return [(height - h) // 2, (width - w) // 2, h, w]


def test_the_crop_is_torchvisions_for_the_same_numbers():
    for size in ([60, 40], [32, 32], [10, 90]):
        boxes = augmentation.crop_boxes(Augmentation(resized_crop=(0.08, 1.0)), np.array([size] * 60), 0, 5)
        numbers = np.stack([draws.table(0, "crop", 5, 60, 4, attempt + 1) for attempt in range(10)], axis=1)
        assert boxes.tolist() == [torchvisions_crop(*size, rows) for rows in numbers.tolist()]


def test_a_picture_too_narrow_gives_its_middle():
    boxes = augmentation.crop_boxes(Augmentation(resized_crop=(0.9, 1.0)), np.array([[10, 200]]), 0, 0)
    assert boxes.tolist() == [[0, 93, 10, 13]]


def test_alternating_flips_show_each_picture_both_ways_in_two_epochs():
    changes = Augmentation(flip="alternating")
    flips = [augmentation.views(changes, np.full((100, 2), 32), 0, epoch).flips for epoch in range(3)]
    assert np.array_equal(flips[0], ~flips[1]) and np.array_equal(flips[0], flips[2]) and 30 < flips[0].sum() < 70
    assert not augmentation.views(NOTHING, np.full((100, 2), 32), 0, 0).flips.any()


@pytest.mark.parametrize("padding, mode", [("zeros", "constant"), ("reflect", "reflect")])
def test_a_padded_crop_is_a_part_of_the_padded_picture(padding, mode):
    changes = Augmentation(padded_crop=3, padding=padding)
    data = training_data.arrays(6)
    drawn = augmentation.views(changes, data.sizes, 0, 0)
    x = Feed(data, PRESET, 6).prepared(np.arange(6), changes, drawn, PRESET)
    for index in range(6):
        top, left = np.floor(drawn.shifts[index] * 7).astype(int)
        padded = np.pad(data.levels[index], ((3, 3), (3, 3), (0, 0)), mode=mode)[top:top + 32, left:left + 32]
        assert np.array_equal(x[index], images.prepare(Image.fromarray(padded), PRESET))


def test_cutout_blanks_a_square_to_the_mean():
    changes = Augmentation(cutout=8)
    x = next(iter(feed().batches(0, changes))).x
    blank = (x == 0).all(axis=1).sum(axis=(1, 2))
    assert (blank <= 64).all() and (blank >= 16).all()


def test_mixup_and_cutmix():
    x = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    targets = np.arange(6) % 3
    mixed, rows = mixing.mixed(x.copy(), targets, Augmentation(mixup=1.0), 3, 0, 0, 0)
    share = rows[0, 0] if targets[0] != targets[5] else None
    assert rows.sum(axis=1) == pytest.approx(1) and mixed == pytest.approx(share * x + (1 - share) * np.roll(x, 1, 0), abs=1e-6)
    mixed, rows = mixing.mixed(x.copy(), targets, Augmentation(cutmix=1.0), 3, 0, 0, 1)
    kept = (mixed == x).all(axis=1)
    assert (kept.mean(axis=(1, 2)) == pytest.approx(rows[np.arange(6), targets], abs=1e-6))
    assert np.array_equal(mixed[:, :, ~kept[0]], np.roll(x, 1, 0)[:, :, ~kept[0]])
    same, labels = mixing.mixed(x.copy(), targets, Augmentation(mixup=1.0, mixing=0.0), 3, 0, 0, 0)
    assert np.array_equal(same, x) and labels is targets


@pytest.mark.parametrize("kind, name", [(0, "brightness"), (1, "contrast"), (2, "saturation")])
def test_colours_are_pillows_enhancers(kind, name):
    from PIL import ImageEnhance

    picture = Image.fromarray(training_data.levels(1)[0][0])
    enhancer = getattr(ImageEnhance, "Color" if name == "saturation" else name.capitalize())
    for factor in (0.6, 1.0, 1.4):
        ours = augmentation.JITTERS[kind](np.asarray(picture), factor).astype(int)
        assert np.abs(ours - np.asarray(enhancer(picture).enhance(factor)).astype(int)).max() <= 1


def test_hue_turns_colours_around():
    red = np.full((2, 2, 3), (200, 0, 0), np.uint8)
    assert augmentation.hue(red, 1 / 3)[0, 0].argmax() == 1 and np.array_equal(augmentation.hue(red, 0.0), red)


def test_the_last_batch_is_small_and_one_of_one_picture_is_left_out():
    assert [len(batch.x) for batch in feed(19, 8).batches(0)] == [8, 8, 3]
    assert [len(batch.x) for batch in feed(17, 8, least=2).batches(0)] == [8, 8] and feed(17, 8, least=2).count == 2


def test_every_picture_comes_once_an_epoch_in_another_order():
    orders = [np.concatenate([batch.indices for batch in feed().batches(epoch)]) for epoch in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20)) and list(orders[0]) != list(orders[1])


@pytest.mark.parametrize("values, telling", [
    ({"flip": "yes"}, "flip is 'yes'"), ({"resized_crop": (0.9, 0.1)}, "smaller one first"),
    ({"resized_crop": 0.5}, "resized_crop"),
    ({"colour_jitter": (0, 0, 0, 0.7)}, "at most 0.5"), ({"padded_crop": 4, "scale_jitter": (32, 40)}, "one of them"),
    ({"mixup": -1}, "mixup is -1"),
])
def test_augmentations_that_make_no_sense(values, telling):
    with pytest.raises(UsageError, match=telling):
        Augmentation(**values)


def test_a_row_of_a_table_does_not_depend_on_how_many_there_are():
    assert np.array_equal(draws.table(1, "crop", 2, 5, 4), draws.table(1, "crop", 2, 9, 4)[:5])
    assert draws.generator(1, "mixing", 0, 1).random() != draws.generator(1, "mixing", 0, 2).random()
