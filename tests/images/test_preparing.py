"""Resize, crop and normalise against torchvision, and against their definitions where torchvision is absent."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from witnesses.encoded import FILES, noise, smooth
from witnesses.torchvision_witness import torchvision

from npvgg.errors import ImageError
from npvgg.images import PRESETS, pixels, prepare, preset, read
from npvgg.images.preparing import offset, on_photograph
from npvgg.images.presets import CROP_MODES, INTERPOLATIONS

# Shorter side below, at and above 256; both orientations; halves that round up and down; long sides cut down.
SIZES = [(224, 224), (256, 256), (256, 301), (257, 256), (255, 254), (480, 640), (641, 479), (37, 53), (1, 1), (1, 20),
         (20, 1), (3, 5), (300, 227), (333, 500), (500, 333), (259, 261), (512, 511), (100, 1999), (768, 1025)]


def theirs(picture, recipe):
    """torchvision → (uint8 pixels (H, W, C), float32 (C, H, W))."""
    functional = torchvision().transforms.functional
    picture = picture.convert({"L": "L", "RGBA": "RGBA"}.get(recipe.order, "RGB"))
    if recipe.resize is not None:
        size = [recipe.resize] * (2 if recipe.crop_mode == "squash" else 1)
        picture = functional.resize(picture, size, functional.InterpolationMode(recipe.interpolation), antialias=True)
    picture = functional.center_crop(picture, [recipe.crop])
    levels = functional.pil_to_tensor(picture)
    x = functional.convert_image_dtype(levels) if recipe.divisor == 255 else levels.float() / recipe.divisor
    x = x.flip(0) if recipe.order == "BGR" else x
    return levels.permute(1, 2, 0).numpy(), functional.normalize(x, list(recipe.mean), list(recipe.std)).numpy()


def assert_equal_to_torchvision(picture, recipe):
    levels, x = theirs(picture, recipe)
    assert np.array_equal(pixels(picture, recipe), levels)
    ours = prepare(picture, recipe)
    assert ours.dtype == np.float32 and ours.flags.c_contiguous
    assert np.array_equal(ours, x)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_pixels_and_floats_equal_torchvision(name, size):
    assert_equal_to_torchvision(noise(*size), preset(name))


@pytest.mark.parametrize("size", [(300, 227), (37, 53)], ids=str)
@pytest.mark.parametrize("crop_mode", CROP_MODES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_way_of_resizing_equals_torchvision(interpolation, crop_mode, size):
    assert_equal_to_torchvision(noise(*size), replace(preset("torchvision"), interpolation=interpolation, crop_mode=crop_mode))


def test_the_preset_keras_prepares_as_keras_does():
    """load_img(target_size=(224, 224)) is Pillow's resize with NEAREST; preprocess_input turns to BGR and subtracts means."""
    picture = noise(281, 333)
    levels = np.asarray(picture.resize((224, 224), Image.Resampling.NEAREST), np.float32)[:, :, ::-1]
    expected = (levels - np.float32([103.939, 116.779, 123.68])).transpose(2, 0, 1)
    assert np.array_equal(prepare(picture, preset("keras")), expected)


@pytest.mark.parametrize("size", [(300, 227), (37, 53), (224, 250)], ids=str)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("name", ["grey", "rgba"])
def test_grey_and_alpha_equal_torchvision_whatever_the_picture_was(name, mode, size):
    """Crops of 250 hang over the edges of some: torchvision fills every channel with 0."""
    assert_equal_to_torchvision(noise(*size, mode), replace(preset(name), crop=250))


@pytest.mark.parametrize("name, weights", [("torchvision", "IMAGENET1K_V1"),
                                           ("torchvision-features", "IMAGENET1K_FEATURES")])
def test_floats_equal_the_transforms_of_torchvisions_weights(name, weights):
    transforms = torchvision().models.VGG16_Weights[weights].transforms()
    picture = noise(281, 333)
    assert np.array_equal(prepare(picture, preset(name)), transforms(picture).numpy())


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.none() | st.integers(1, 70), st.integers(1, 70))
def test_any_size_resize_and_crop_equal_torchvision(height, width, resize, crop):
    """Crops larger than the picture, black around it, among them."""
    height, width = max(height, -(-width // 20)), max(width, -(-height // 20))
    assert_equal_to_torchvision(noise(height, width), replace(preset("torchvision"), resize=resize, crop=crop))


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_equal_torchvision(name):
    from pathlib import Path

    path = Path(pytest.importorskip("skimage.data").__file__).with_name(name)
    if not path.is_file():
        pytest.skip(f"this scikit-image does not carry {name}")
    with Image.open(path) as picture:                                      # torchvision's default_loader
        expected = theirs(picture.convert("RGB"), preset("torchvision"))[1]
    assert np.array_equal(prepare(read(path), preset("torchvision")), expected)


def triangle(old, new):
    """(new, old) weights of the antialiased bilinear filter.

    Pixel i of `new` lies at (i + ½) · old / new and weighs old pixel j by the height, there, of a triangle whose half
    base is the reduction old / new, or 1 when the picture grows; the weights of a row sum to 1.
    """
    reduction = old / new
    centre = (np.arange(new)[:, None] + 0.5) * reduction
    weights = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centre) / max(reduction, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(97, 131), (131, 97), (20, 33), (40, 40)], ids=str)
def test_resizing_is_the_triangle_filter_rounded_after_each_direction(size):
    picture, (height, width) = smooth(*size), size
    longer = int(40 * max(size) / min(size))
    out_height, out_width = (longer, 40) if height > width else (40, longer)
    levels = np.asarray(picture, np.float64)
    expected = np.einsum("ih,jw,hwc->ijc", triangle(height, out_height), triangle(width, out_width), levels)
    recipe = replace(preset("torchvision"), resize=40, crop=40)
    top, left = offset(out_height, 40), offset(out_width, 40)
    assert np.abs(pixels(picture, recipe) - expected[top:top + 40, left:left + 40]).max() <= 1.01


@pytest.mark.parametrize("length, start", [(224, 0), (225, 0), (226, 1), (227, 2), (228, 2), (229, 2), (230, 3),
                                           (231, 4), (223, 0), (222, -1), (221, -1), (220, -2), (1, -111)])
def test_the_crop_starts_where_python_rounds_to(length, start):
    assert offset(length, 224) == start


def test_a_picture_smaller_than_the_crop_stands_on_black():
    recipe = replace(preset("torchvision"), resize=None, crop=8)
    framed = pixels(Image.new("RGB", (5, 11), (10, 20, 30)), recipe)
    inside = np.zeros((8, 8), bool)
    inside[:, 1:6] = True                                                  # 3 columns are missing: 1 left, 2 right
    assert (framed[inside] == (10, 20, 30)).all() and (framed[~inside] == 0).all()
    for order, colour in (("L", (18,)), ("RGBA", (10, 20, 30, 255))):
        other = replace(recipe, order=order, mean=(0.5,) * len(order), std=(1.0,) * len(order))
        framed = pixels(Image.new("RGB", (5, 11), (10, 20, 30)), other)
        assert framed.shape == (8, 8, len(order))
        assert (framed[inside] == colour).all() and (framed[~inside] == 0).all()


def test_the_longer_side_is_cut_down_not_rounded():
    """256 · 401 / 333 = 308.3 and 256 · 403 / 333 = 309.8: the black frame of a larger crop shows what is left."""
    recipe = replace(preset("torchvision"), crop=400)
    for width, longer in ((401, 308), (403, 309)):
        is_white = pixels(Image.new("RGB", (width, 333), "white"), recipe)[:, :, 0] == 255
        assert (is_white[200].sum(), is_white[:, 200].sum()) == (longer, 256)


def test_prepare_is_the_equation_in_float32():
    recipe = replace(preset("cifar10"), resize=None, crop=4)
    levels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    x = prepare(Image.fromarray(levels), recipe)
    for (i, j, c), level in np.ndenumerate(levels):
        y = np.float32(level) / np.float32(255)
        assert x[c, i, j] == (y - np.float32(recipe.mean[c])) / np.float32(recipe.std[c])


def test_bgr_puts_blue_first_with_its_own_mean():
    """Caffe's recipe: no scaling, blue first."""
    caffe = preset("caffe")
    picture = Image.new("RGB", (300, 260), (200, 100, 50))
    assert np.allclose(prepare(picture, caffe)[:, 7, 9], [50 - 103.939, 100 - 116.779, 200 - 123.68])
    assert pixels(picture, caffe)[7, 9].tolist() == [200, 100, 50]


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_becomes_a_finite_input(kind):
    x = prepare(read(FILES[kind]), preset("torchvision"))
    assert x.shape == (3, 224, 224) and np.isfinite(x).all()


def test_prepare_reads_what_read_reads(tmp_path):
    (tmp_path / "a.png").write_bytes(FILES["png-alpha"])
    expected = prepare(read(FILES["png-alpha"]), preset("cifar10"))
    for source in (FILES["png-alpha"], tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        assert np.array_equal(prepare(source, preset("cifar10")), expected)


def test_a_resize_to_too_many_pixels_is_refused():
    recipe = replace(preset("torchvision"), resize=4096)
    with pytest.raises(ImageError, match="20×1 resized to a shorter side of 4096 is more than 50,000,000 pixels; crop"):
        prepare(Image.new("RGB", (20, 1)), recipe)


@pytest.mark.parametrize("size, resize, crop, box", [
    ((200, 100), 50, 40, (10, 60, 90, 140)),              # halved; the central 40 of 100×50 begin at 30 and 5
    ((64, 64), None, 32, (16, 16, 48, 48)),               # as it is
    ((30, 20), None, 40, (-10, -5, 30, 35)),              # a black border around it
], ids=str)
def test_what_is_prepared_lies_on_the_photograph(size, resize, crop, box):
    recipe = replace(preset("cifar10"), resize=resize, crop=crop)
    assert on_photograph((0, 0, crop, crop), size, recipe) == box
    picture = Image.new("RGB", size)
    picture.paste("white", (max(0, box[1]), max(0, box[0]), max(0, box[1]) + 4, max(0, box[0]) + 4))
    top, left = np.argwhere(pixels(picture, recipe)[:, :, 0] > 127).min(0)
    assert on_photograph((top, left, top, left), size, recipe)[:2] == (max(0, box[0]), max(0, box[1]))
