"""The table of what is taken for what, and what is refused rather than answered wrongly."""
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from witnesses.encoded import FILES, PICTURE, encode, noise

from npvgg.errors import ImageError, ShapeError, StorageError, UsageError
from npvgg.images import PRESETS, batch, is_single, prepare, preset

CIFAR = preset("cifar10")
GREY, RGBA = (replace(preset(name), resize=None, crop=32) for name in ("grey", "rgba"))
LEVELS = np.asarray(noise(37, 43))
EXPECTED = prepare(Image.fromarray(LEVELS), CIFAR)
PREPARED = np.random.default_rng(1).standard_normal((3, 35, 41)).astype(np.float32)


def refusal(inputs, error=UsageError, recipe=CIFAR, **options):
    with pytest.raises(error) as caught:
        batch(inputs, recipe, **options)
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.isprintable() and not message.endswith(".") and ";" in message
    return message


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(LEVELS), "PNG"))
    return tmp_path / "a.png"


def test_one_picture_in_every_form_gives_the_same_input(path):
    forms = [path, str(path), np.str_(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path),
             Image.fromarray(LEVELS), LEVELS, np.asfortranarray(LEVELS), LEVELS / 255, LEVELS / np.float32(255),
             (LEVELS / 255).astype(">f4"), np.dstack([LEVELS, np.full((37, 43), 7, np.uint8)]), LEVELS[np.newaxis],
             [LEVELS], (path,)]
    for form in forms:
        x = batch(form, CIFAR)
        assert (x.shape, x.dtype, x.flags.c_contiguous) == ((1, 3, 32, 32), np.float32, True)
        assert np.array_equal(x[0], EXPECTED), type(form)


def test_half_precision_floats_are_rounded_to_the_same_levels():
    assert np.array_equal(batch((LEVELS / 255).astype(np.float16), CIFAR)[0], EXPECTED)


def test_grey_arrays():
    grey = LEVELS[:, :, 0]
    expected = prepare(Image.fromarray(grey), CIFAR)
    for form in (grey, grey[:, :, np.newaxis], grey / 255, grey[np.newaxis, :, :, np.newaxis]):
        assert np.array_equal(batch(form, CIFAR)[0], expected)


@pytest.mark.parametrize("recipe", [GREY, RGBA], ids=["grey", "rgba"])
def test_every_form_is_converted_to_the_channels_of_the_preset(recipe):
    """(H, W), (H, W, 1), (H, W, 3) and (H, W, 4) are pictures for every preset."""
    for mode in ("L", "RGB", "RGBA"):
        picture = noise(37, 43, mode)
        levels = np.asarray(picture)
        expected = prepare(picture.convert(recipe.mode), recipe)
        assert expected.shape == (recipe.channels, 32, 32)
        forms = [picture, encode(picture, "PNG"), levels, levels / 255, [levels], levels[np.newaxis, ...]]
        if mode == "L":
            forms[-1] = levels[np.newaxis, ..., np.newaxis]
            forms.append(levels[..., np.newaxis] / 255)
        for form in forms:
            x = batch(form, recipe)
            assert (x.shape, x.dtype, x.flags.c_contiguous) == ((1, recipe.channels, 32, 32), np.float32, True)
            assert np.array_equal(x[0], expected)


@pytest.mark.parametrize("recipe", [GREY, RGBA], ids=["grey", "rgba"])
def test_what_has_the_presets_channels_first_counts_as_prepared(recipe):
    x = np.random.default_rng(1).standard_normal((2, recipe.channels, 35, 41)).astype(np.float32)
    assert np.array_equal(batch(x, recipe), x) and np.array_equal(batch(x[0], recipe), x[:1])
    assert np.array_equal(batch(list(x), recipe), x)
    assert is_single(x[0]) and not is_single(x[:1])


def test_a_grey_array_of_two_axes_is_a_picture_and_never_prepared():
    """(H, W) of fractions is normalised; the same values as (1, H, W) are those of a picture that was not, and refused."""
    grey = np.asarray(noise(37, 43, "L")) / 255
    assert np.array_equal(batch(grey, GREY)[0], prepare(noise(37, 43, "L"), GREY))
    assert ("holds the levels 0…1 of a picture that is not normalised; pass a picture with its channels last, (H, W, 1)"
            in refusal(grey[np.newaxis], recipe=GREY))
    assert "is a float picture from" in refusal(2 * grey - 1, recipe=GREY)


@pytest.mark.parametrize("channels, recipe", [(3, GREY), (4, GREY), (1, CIFAR), (4, CIFAR), (1, RGBA), (3, RGBA)],
                         ids=lambda value: value if isinstance(value, int) else value.name)
def test_prepared_arrays_of_another_number_of_channels_are_refused(channels, recipe):
    for shape in ((channels, 40, 50), (2, channels, 40, 50)):
        assert refusal(np.zeros(shape, np.float32), ShapeError, recipe) == (
            f"the input has shape {shape}, {channels} channels first, where preset {recipe.name} prepares {recipe.channels}; "
            f"pass a picture that is not normalised with its channels last, (H, W, {channels}), and it is converted")


def test_several_pictures_in_every_form(path):
    other = np.asarray(noise(37, 43, seed=8))
    expected = np.stack([EXPECTED, prepare(Image.fromarray(other), CIFAR)])
    for form in (np.stack([LEVELS, other]), np.stack([LEVELS, other]) / 255, [LEVELS, other], (path, other / 255),
                 [Image.open(path), Image.fromarray(other)], [expected[0], other], expected):
        assert np.array_equal(batch(form, CIFAR), expected)


def test_pictures_of_a_list_may_differ_in_size():
    x = batch([noise(10, 90), noise(90, 10), np.zeros((33, 32, 3), np.uint8)], CIFAR)
    assert x.shape == (3, 3, 32, 32)


def test_prepared_arrays_are_used_as_they_are():
    assert np.array_equal(batch(PREPARED, CIFAR), PREPARED[np.newaxis])
    stack = np.stack([PREPARED, -PREPARED])
    assert np.array_equal(batch(stack, CIFAR), stack)
    assert np.array_equal(batch([PREPARED, -PREPARED], CIFAR), stack)
    strided = np.asfortranarray(stack)
    assert np.array_equal(batch(strided, CIFAR), stack) and batch(strided, CIFAR).flags.c_contiguous
    assert batch(PREPARED.astype(">f4"), CIFAR).dtype == np.float32


@pytest.mark.parametrize("x", [
    np.zeros((3, 32, 32)), np.ones((1, 3, 224, 224), np.float32), np.random.default_rng(0).random((2, 3, 32, 32)),
    np.eye(32, dtype=np.float32)[np.newaxis].repeat(3, axis=0),
], ids=["zeros", "ones", "random", "impulses"])
def test_inputs_that_people_try_out_are_taken(x):
    assert np.array_equal(batch(x, CIFAR), x.reshape(-1, *x.shape[-3:]).astype(np.float32))


def test_a_narrow_last_axis_means_channels():
    """(3, 40, 3) is a picture 3 rows high, not a prepared array 3 columns wide, which VGG could not take."""
    levels = np.asarray(noise(3, 40))
    assert levels.shape == (3, 40, 3)
    expected = prepare(Image.fromarray(levels), CIFAR)
    assert np.array_equal(batch(levels, CIFAR)[0], expected)
    assert np.array_equal(batch(levels / 255, CIFAR)[0], expected)
    assert np.array_equal(batch(np.stack([levels / 255] * 3), CIFAR), np.stack([expected] * 3))


@pytest.mark.parametrize("dtype", [np.float64, "float64", np.dtype("float64")], ids=str)
def test_float64_widens_the_same_float32_pictures(dtype):
    x = batch(LEVELS, CIFAR, dtype)
    assert x.dtype == np.float64 and np.array_equal(x[0], EXPECTED.astype(np.float64))
    exact = PREPARED.astype(np.float64) + 1e-12
    assert np.array_equal(batch(exact, CIFAR, dtype)[0], exact)
    assert np.array_equal(batch([exact, exact], CIFAR, dtype)[1], exact)


@pytest.mark.parametrize("dtype", [np.float16, int, "half", None])
def test_another_dtype_is_a_usage_error(dtype):
    assert "is not possible; choose float32 or float64" in refusal(LEVELS, dtype=dtype)


def test_options_reach_the_reader(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(PICTURE, "PNG", exif=exif)
    expected = prepare(PICTURE.transpose(Image.Transpose.ROTATE_270), CIFAR)
    assert np.array_equal(batch(turned, CIFAR, exif=True)[0], expected)
    clear = np.zeros((33, 44, 4), np.uint8)
    white = prepare(Image.new("RGB", (44, 33), "white"), CIFAR)
    for form in (clear, clear / 255, Image.fromarray(clear), encode(Image.fromarray(clear), "PNG")):
        assert np.array_equal(batch([form], CIFAR, background="white")[0], white)


def test_is_single():
    for one in ("a.png", b"", PICTURE, LEVELS, LEVELS[:, :, 0], PREPARED):
        assert is_single(one)
    for several in ([], ["a.png"], (PICTURE,), LEVELS[np.newaxis], PREPARED[np.newaxis]):
        assert not is_single(several)


def test_torch_tensors_are_arrays_too():
    torch = pytest.importorskip("torch")
    assert np.array_equal(batch(torch.from_numpy(PREPARED), CIFAR)[0], PREPARED)
    assert np.array_equal(batch([torch.from_numpy(LEVELS.copy())], CIFAR)[0], EXPECTED)
    assert not is_single(torch.zeros(1, 3, 32, 32))
    assert "(Tensor) gives no array" in refusal(torch.zeros(3, 32, 32, requires_grad=True))


# ------------------------------------------------------------------------------ wrong preparation is not answered

@pytest.mark.parametrize("recipe", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("scale", [1, 255])
def test_levels_that_were_not_normalised_are_refused(recipe, scale):
    levels = np.atleast_3d(np.asarray(noise(37, 43, recipe.mode)))
    channels_first = np.moveaxis(levels, -1, 0).astype(np.float32) / np.float32(255) * np.float32(scale)
    if scale == 255:
        channels_first = np.rint(channels_first)
    for x in (channels_first, channels_first[np.newaxis], channels_first.astype(np.float64)):
        message = refusal(x, recipe=recipe)
        assert re.match(r"the input, float\d\d \(.*\), counts as prepared because its channels come first, but (holds "
                        rf"the levels 0…{scale} of a picture that is not normalised|goes from 0 to 255 where preset "
                        rf"{recipe.name} gives)", message)
        assert message.endswith(f"pass a picture with its channels last, (H, W, {recipe.channels}) in uint8 or 0…1, or prepare "
                                "it with npvgg.images.prepare")


def test_a_dark_picture_is_recognised_as_levels_too():
    assert "holds the levels 0…255" in refusal(np.float32(np.moveaxis(LEVELS // 40, -1, 0)))


@pytest.mark.parametrize("levels", [range(256), range(128), range(128, 256), range(0, 256, 2), range(129, 256, 2)], ids=str)
@pytest.mark.parametrize("recipe", PRESETS.values(), ids=PRESETS)
def test_no_prepared_picture_is_taken_for_one_that_is_not(recipe, levels):
    """With mean and std ½ a bright picture's values are fractions of 255, as those of a picture that is not normalised."""
    picture = np.resize(np.array(levels, np.uint8), (40, 40, 3))
    x = prepare(Image.fromarray(picture), replace(recipe, resize=None, crop=40))
    assert np.array_equal(batch(x, recipe)[0], x)


@pytest.mark.parametrize("recipe", PRESETS.values(), ids=PRESETS)
def test_prepared_pictures_pass_again(recipe):
    """What `prepare` gives may be collected and passed on: black, white, grey, one colour, noise."""
    small = replace(recipe, resize=None, crop=32)
    for picture in [noise(40, 40), *(Image.new("RGB", (40, 40), colour) for colour in
                                     ("black", "white", "grey", "red", (150, 150, 150), (130, 121, 110)))]:
        x = prepare(picture, small)
        assert np.array_equal(batch(x, small)[0], x)
        assert np.array_equal(batch(np.stack([x, x]), small)[1], x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4, -100])
def test_values_that_no_picture_gives_are_refused(value):
    x = PREPARED.copy()
    x[1, 5, 7] = value
    assert "where preset cifar10 gives -1.989 to 2.126" in refusal(x)


@pytest.mark.parametrize("values", [LEVELS.astype(np.float32), LEVELS / 127.5 - 1, LEVELS / 255 * 1.01,
                                    np.where(LEVELS < 9, np.nan, LEVELS / 255)],
                         ids=["0…255", "-1…1", "above-1", "nan"])
def test_float_pictures_outside_0_to_1_are_refused(values):
    assert re.match(r"the input is a float picture from \S+ to \S+ but 0 to 1 is expected; pass levels 0…255 as uint8",
                    refusal(values))


def test_a_float_picture_may_overshoot_by_less_than_half_a_level():
    assert np.array_equal(batch(LEVELS / 255 * 1.0019, CIFAR).shape, (1, 3, 32, 32))


@pytest.mark.parametrize("shape", [(3, 40, 50), (2, 3, 40, 50), (1, 40, 50), (4, 40, 50), (2, 1, 40, 50)], ids=str)
def test_uint8_with_channels_first_is_refused(shape):
    assert refusal(np.zeros(shape, np.uint8), ShapeError) == (
        f"the input is uint8 {shape} with its channels first; move them last with np.moveaxis(x, -3, -1)")


@pytest.mark.parametrize("shape", [(5,), (), (5, 40, 50), (2, 40, 50), (2, 5, 40, 50), (1, 2, 40, 50, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_other_shapes_are_refused(shape, dtype):
    assert f"the input has shape {shape}; a picture is (H, W, 3)" in refusal(np.zeros(shape, dtype), ShapeError)


@pytest.mark.parametrize("shape", [(0, 5, 3), (0, 3, 32, 32), (3, 0, 32), (0, 0)], ids=str)
def test_arrays_without_pixels_are_refused(shape):
    assert f"the input has shape {shape} and so no pixels" in refusal(np.zeros(shape, np.uint8), ShapeError)


@pytest.mark.parametrize("dtype, step", [
    (np.int64, "levels 0…255 with x.astype(np.uint8)"), (np.int8, "levels 0…255 with x.astype(np.uint8)"),
    (np.uint16, "levels 0…65535 with (x >> 8).astype(np.uint8)"), (bool, "it with x.astype(np.float32)"),
    (complex, "it to one of them"), (object, "it to one of them"), ("U3", "it to one of them")], ids=str)
def test_other_dtypes_are_refused_with_the_way_out(dtype, step):
    message = f"the input is an array of {np.dtype(dtype)}; pictures are uint8, or float from 0 to 1: convert {step}"
    assert refusal(np.zeros((40, 40, 3), dtype)) == message


def test_the_way_out_of_another_dtype_gives_the_same_input():
    assert np.array_equal(batch(LEVELS.astype(np.int64).astype(np.uint8), CIFAR)[0], EXPECTED)
    wide = LEVELS.astype(np.uint16) << 8 | 77
    assert np.array_equal(batch((wide >> 8).astype(np.uint8), CIFAR)[0], EXPECTED)
    mask = LEVELS[:, :, 0] > 99
    white = Image.fromarray(np.uint8(255) * mask)
    assert np.array_equal(batch(mask.astype(np.float32), CIFAR)[0], prepare(white, CIFAR))


@pytest.mark.parametrize("several", [(name for name in ("a.png",)), {"a.png"}, {"a.png": 1}, map(str, ())],
                         ids=["generator", "set", "dict", "map"])
def test_several_pictures_are_a_list_or_a_tuple(several):
    assert refusal(several) == (
        f"the input is of type {type(several).__name__}; several pictures are a list or a tuple, for example list(pictures), "
        "and a long run takes them in parts, as npvgg.classify.stream does")


def test_an_empty_list_is_refused():
    assert refusal([]) == "the list of pictures is empty; give at least one"


def test_messages_say_which_item_of_a_list_is_meant(tmp_path):
    assert refusal([LEVELS, np.zeros((5, 40, 50), np.uint8)], ShapeError).startswith("inputs[1] has shape (5, 40, 50)")
    assert refusal([LEVELS, Image.new("RGB", (1, 99))], ImageError).startswith("inputs[1]: 1×99 is longer than 20:1")
    assert refusal([LEVELS, np.zeros((99, 1), np.uint8)], ImageError).startswith("inputs[1]: 1×99 is longer than 20:1")
    assert refusal([LEVELS, FILES["png"][:90]], ImageError).startswith("inputs[1]: cannot be decoded")
    assert refusal([LEVELS, tmp_path / "cat.jpg"], StorageError).startswith(f"{tmp_path}/cat.jpg: no such file")
    assert refusal([LEVELS, None]).startswith("inputs[1] is of type NoneType; expected a path")
    assert refusal([LEVELS, [LEVELS]]).startswith("inputs[1] is of type list; expected a path")


def test_a_list_has_one_picture_an_item_and_one_size():
    assert refusal([PREPARED, np.stack([PREPARED] * 2)], ShapeError) == (
        "inputs[1] is a stack of 2 pictures; in a list every item is one picture")
    assert refusal([LEVELS, PREPARED], ShapeError) == (
        "inputs[1] gives (C, H, W) = (3, 35, 41) but inputs[0] (3, 32, 32); pictures of one batch have one size")
