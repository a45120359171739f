"""The first journey."""
import io

import numpy as np
import pytest

import npvgg
from npvgg import classify, images, network
from npvgg.errors import ImageError, NpvggError, UnsupportedError, UsageError


@pytest.mark.parametrize("name, path", [("vgg16.h5", True), ("./vgg16", True), ("models/vgg16", True), ("vgg16", False),
                                        ("vgg13_bn-cifar10", False)])
def test_what_looks_like_a_path_is_one(name, path):
    assert classify.is_path(name) is path


def test_a_file_without_suffix_is_a_path_if_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").touch()
    assert classify.is_path("weights")


def test_predict_takes_a_network_or_a_file(tiny, tiny_file, pictures):
    assert classify.predict(pictures / "a.png", tiny) == classify.predict(pictures / "a.png", tiny_file)


def test_an_error_of_another_kind_is_one_answer(tiny, pictures, monkeypatch):
    prepare = images.prepare

    def fails(path, *arguments, **options):
        if path.name == "b.jpg":
            raise ZeroDivisionError("of a library\x1b[2J")
        return prepare(path, *arguments, **options)

    monkeypatch.setattr(images, "prepare", fails)
    first, second = classify.stream([pictures / "b.jpg", pictures / "a.png"], tiny)
    assert isinstance(first.error, ImageError) and r"of a library\x1b[2J" in str(first.error) and second.predictions


def test_the_public_names():
    assert npvgg.predict is classify.predict
    assert set(npvgg.__all__) <= set(dir(npvgg))
    with pytest.raises(AttributeError, match="module 'npvgg' has no attribute 'train'"):
        npvgg.train  # noqa: B018


def test_the_stream_keeps_order_and_puts_errors_in_their_place(tiny, pictures):
    paths = [pictures / name for name in ("broken.jpg", "a.png", "broken.jpg", "b.jpg", "missing.png")]
    answers = list(classify.stream(paths, tiny, batch=2))
    assert [answer.image for answer in answers] == [str(path) for path in paths]
    assert [answer.error is None for answer in answers] == [False, True, False, True, False]
    assert isinstance(answers[0].error, ImageError) and isinstance(answers[4].error, NpvggError)
    assert answers[1].predictions == tiny.predict(paths[1])


@pytest.mark.parametrize("paths, options, message", [
    ([], {"batch": 0}, "batch is 0; give a whole number of at least 1"),
    ([], {"batch": 2.0}, "batch is 2.0; give a whole number of at least 1"),
    ([], {"top": True}, "top is True; give a whole number of at least 1"),
    ([], {"background": "whitish"}, "background 'whitish' is not an opaque colour"),
    (5, {}, "paths are of type int; give names of picture files"), (b"a.png", {}, "paths are of type bytes; give names of"),
    (np.zeros((2, 32, 32, 3), np.uint8), {},
     "paths are of type ndarray; give names of picture files, or binary files "),
], ids=str)
def test_an_argument_that_makes_no_sense_is_refused_at_once(tiny, paths, options, message):
    with pytest.raises(UsageError) as caught:
        classify.stream(paths, tiny, **options)
    assert str(caught.value).startswith(message)


def test_a_network_is_wanted_and_one_with_class_scores(tiny):
    with pytest.raises(UsageError, match="vgg is of type str; give what npvgg.load returns"):
        classify.stream([], "vgg16")
    with pytest.raises(UnsupportedError, match="cannot name what it sees"):
        classify.stream([], network.create("vgg11", width=1 / 32, num_classes=None, input_size=32))
    with pytest.raises(UsageError, match="model is of type int; give a name from `npvgg models`"):
        classify.load(5)
    with pytest.raises(UsageError, match=r"threads and a VGG were given; give them to the network itself, vgg.using\(…\)"):
        classify.predict("a.png", tiny, threads=1)
    with pytest.raises(UsageError, match="top is 0; give a whole number of at least 1"):
        classify.predict("nowhere.png", "nowhere.h5", top=0)


def test_something_that_is_no_path_ends_the_stream(tiny, pictures):
    for wrong, kind in ((b"bytes", "bytes"), (np.zeros((32, 32, 3), np.uint8), "ndarray"), (None, "NoneType")):
        with pytest.raises(UsageError, match=f"one of the paths is of type {kind}; give names of picture files"):
            list(classify.stream([pictures / "a.png", wrong], tiny))


def test_paths_may_come_one_by_one_and_a_batch_of_them_is_taken_at_a_time(tiny, pictures):
    taken = []

    def endless():
        while True:
            taken.append(str(pictures / "a.png"))
            yield taken[-1]

    stream = classify.stream(endless(), tiny, batch=3)
    assert not taken
    assert [next(stream).predictions for _ in range(4)] == [tiny.predict(pictures / "a.png")] * 4 and len(taken) == 6
    (answer,) = classify.stream(str(pictures / "a.png"), tiny)
    assert answer == next(classify.stream(pictures / "a.png", tiny)) == (str(pictures / "a.png"), answer.predictions, None)


def test_a_picture_is_read_once_and_prepared_once(tiny, pictures, monkeypatch):
    reads = []
    monkeypatch.setattr(images.preparing, "read", lambda *source, **options: reads.append(source) or images.read(*source,
                                                                                                                 **options))
    list(classify.stream([pictures / "a.png", pictures / "b.jpg"], tiny))
    assert reads == [(pictures / "a.png",), (pictures / "b.jpg",)]


def test_the_stream_answers_what_the_library_answers_in_float64_too(tiny, pictures):
    vgg = tiny.using(dtype=np.float64, tier="reference")
    (answer,) = classify.stream([pictures / "a.png"], vgg)
    assert answer.predictions == vgg.predict(pictures / "a.png")


def test_the_bundled_network_answers_offline(monkeypatch, pictures):
    monkeypatch.setenv("NPVGG_OFFLINE", "1")
    vgg = npvgg.load()
    assert vgg.class_names == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert vgg.run_self_test() < 1e-5
    assert np.isclose(sum(p.probability for p in vgg.predict(pictures / "a.png", top=10)), 1)


def test_a_picture_that_makes_infinity_of_these_weights_or_takes_too_much_memory_ends_nothing(tiny, pictures, monkeypatch):
    names = [pictures / "a.png", pictures / "b.jpg", pictures / "inner/c.png"]
    expected = [answer.predictions for answer in classify.stream(names, tiny)]
    forward, prepare = type(tiny).forward, images.prepare

    def overflowing(self, x):
        logits = forward(self, x).copy()
        logits[0, 1] = np.inf
        return logits

    def exhausted(path, *arguments, **options):
        if path.name == "b.jpg":
            raise MemoryError
        return prepare(path, *arguments, **options)

    monkeypatch.setattr(type(tiny), "forward", overflowing)
    monkeypatch.setattr(images, "prepare", exhausted)
    first, second, third = classify.stream(names, tiny)
    assert "the network answered with NaN or infinity" in str(first.error)
    assert str(second.error).endswith("b.jpg: not enough memory to prepare it; scale it down first")
    assert (third.predictions, third.error) == (expected[2], None)


def test_binary_files_may_stand_among_the_paths(tiny, pictures):
    with open(pictures / "a.png", "rb") as file:
        named, nameless = classify.stream([file, io.BytesIO((pictures / "a.png").read_bytes())], tiny)
    assert named == (str(pictures / "a.png"), nameless.predictions, None) and nameless.image == ""
