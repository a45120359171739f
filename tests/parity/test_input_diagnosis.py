"""Every wrong preparation of `preparations.py` is named, in the run that has it."""
import numpy as np
import pytest
from PIL import Image
from witnesses import preparations
from witnesses.networks import lively, photograph

from npvgg import parity
from npvgg.errors import UsageError

EVERY = preparations.WITHOUT_PICTURE | preparations.WITH_PICTURE
# Either run could be the wrong one here: both come from whole levels.
EITHER = {"BGR before", "mirrored", "transposed", "upside down", "crop off", "mirrored BGR"}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11", width=1 / 16, hidden=(20, 20), num_classes=10, pooled_size=2, input_size=64)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A photograph with an EXIF orientation."""
    picture = Image.fromarray(photograph(1))
    exif = picture.getexif()
    exif[0x112] = 6
    path = tmp_path_factory.mktemp("picture") / "cat.png"
    picture.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def picture(file):
    with Image.open(file) as opened:
        opened.load()
        return opened


def prepared(picture, what):
    return np.ascontiguousarray(EVERY[what][0](picture), np.float32)[np.newaxis]


def test_the_right_preparation_is_npvggs(vgg, file, picture):
    right = preparations.normal(preparations.crop(preparations.resize(picture)))[np.newaxis]
    comparison = parity.compare({"input": right}, {"input": vgg.prepare(file)}, vgg, picture=file)
    assert not comparison.diverges and not comparison.notes


@pytest.mark.parametrize("what", EVERY)
def test_a_wrong_preparation_is_named_with_the_picture(vgg, file, picture, what):
    wrong, right, words = prepared(picture, what), vgg.prepare(file), EVERY[what][1]
    which = "AB"[len(what) % 2]
    a, b = (wrong, right) if which == "A" else (right, wrong)
    comparison = parity.compare({"input": a}, {"input": b}, vgg, picture=file)
    cause, = comparison.causes
    assert (comparison.first.name, comparison.run) == ("input", which) and words in cause.name and cause.remedy


@pytest.mark.parametrize("what", preparations.WITHOUT_PICTURE)
def test_and_where_no_pixel_is_made_anew_without_it(vgg, file, picture, what):
    wrong, right, words = prepared(picture, what), vgg.prepare(file), EVERY[what][1]
    for a, b, which in ((wrong, right, "A"), (right, wrong, "B")):
        comparison = parity.compare({"input": a}, {"input": b}, vgg)
        cause, = comparison.causes
        assert words in cause.name and comparison.run == (None if what in EITHER else which)


@pytest.mark.parametrize("what", ["bicubic", "squashed", "top left"])
def test_without_the_picture_a_resize_is_not_guessed_at(vgg, file, picture, what):
    comparison = parity.compare({"input": prepared(picture, what)}, {"input": vgg.prepare(file)}, vgg)
    assert not comparison.causes and any("--picture" in fact for fact in comparison.findings[0].facts)


def test_without_a_network_the_presets_are_tried(file, picture):
    comparison = parity.compare({"input": prepared(picture, "caffe")}, {"input": prepared(picture, "cifar10")})
    assert any("caffe" in cause.name or "cifar10" in cause.name for cause in comparison.causes)


def test_two_wrong_inputs_are_two_causes(vgg, file, picture):
    comparison = parity.compare({"input": prepared(picture, "bicubic")}, {"input": prepared(picture, "256")}, vgg, picture=file)
    assert [cause.run for cause in comparison.causes] == ["A", "B"] and comparison.run is None


def test_inputs_that_agree_and_are_not_of_the_picture_are_told(vgg, file, picture):
    wrong = prepared(picture, "bicubic")
    comparison = parity.compare({"input": wrong}, {"input": wrong}, vgg, picture=[file])
    assert not comparison.diverges and any("are not what the preset torchvision makes" in note for note in comparison.notes)


def test_a_picture_that_cannot_be_used_is_refused(vgg, file):
    run = {"input": vgg.prepare(file)}
    with pytest.raises(UsageError, match="hold 1 picture and 2 were given"):
        parity.compare(run, run, vgg, picture=[file, file])
    with pytest.raises(UsageError, match="nothing says how to prepare it"):
        parity.compare(run, run, picture=file)
    with pytest.raises(UsageError, match="hold no input"):
        parity.compare({"fc8": run["input"]}, {"fc8": run["input"]}, vgg, picture=file)
