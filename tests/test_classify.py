"""The first journey."""
import numpy as np
import pytest

import npvgg
from npvgg import classify
from npvgg.errors import ImageError, NpvggError, UsageError


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


@pytest.mark.parametrize("batch", [0, -3])
def test_an_impossible_batch_is_refused(tiny, batch):
    with pytest.raises(UsageError, match=f"batch is {batch}; give a whole number of at least 1"):
        list(classify.stream([], tiny, batch=batch))


def test_the_bundled_network_answers_offline(monkeypatch, pictures):
    monkeypatch.setenv("NPVGG_OFFLINE", "1")
    vgg = npvgg.load()
    assert vgg.class_names == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert vgg.run_self_test() < 1e-5
    assert np.isclose(sum(p.probability for p in vgg.predict(pictures / "a.png", top=10)), 1)
