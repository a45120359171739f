"""Pictures that a channel answers to, and pictures that are alike."""
import numpy as np
import pytest
from PIL import Image

from npvgg import images
from npvgg.errors import ImageError, UsageError
from npvgg.explorer import nearest, patches


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(1)
    for number in range(11):
        pixels = rng.integers(0, 256, (40 + number, 60, 3), np.uint8) // (1 + number % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"{number:02}.png")
    return path


def test_patches_are_the_largest_values_and_lie_where_they_are(tiny, folder):
    paths = images.find([folder])
    found = patches(tiny, paths, "relu2_1", 3, count=4)
    maps = tiny.features(paths, "relu2_1")["relu2_1"][:, 3]
    order = np.argsort(-maps.max((1, 2)), kind="stable")[:4]
    assert [each.image for each in found] == [str(paths[at]) for at in order]
    for each, at in zip(found, order):
        assert each.value == maps[at].max() == maps[at][each.place]
        explained = tiny.explain(paths[at], "relu2_1", 3, *each.place)
        assert (each.seen, each.on_photograph) == (explained.seen, explained.on_photograph)
    assert len(patches(tiny, paths, "fc6", 2, count=99)) == 11 and patches(tiny, paths, "fc6", 2)[0].place == ()


def test_the_nearest_picture_is_the_picture_itself(tiny, folder):
    paths = images.find([folder])
    for layer in (None, "relu3_1"):
        found = nearest(tiny, paths[5], paths, layer, count=3)
        assert found[0].image == str(paths[5]) and found[0].cosine == pytest.approx(1) and len(found) == 3
        assert found[0].cosine >= found[1].cosine >= found[2].cosine
    features = tiny.features(paths, "drop7")["drop7"].astype(float)
    cosines = features @ features[5] / np.linalg.norm(features, axis=1) / np.linalg.norm(features[5])
    assert [each.cosine for each in nearest(tiny, paths[5], paths, count=11)] == pytest.approx(sorted(cosines)[::-1])


def test_what_makes_no_sense_is_refused(tiny, folder, pictures):
    for arguments, words in ((("conv1_1", 99), "no channel 99"), (("conv9", 0), "no layer"), (("conv1_1", 0, 0), "count is 0")):
        with pytest.raises(UsageError, match=words):
            patches(tiny, images.find([folder]), *arguments)
    for paths in (str(folder), 5, [5]):
        with pytest.raises(UsageError, match="give"):
            nearest(tiny, folder / "00.png", paths)
    with pytest.raises(ImageError, match="broken.jpg"):
        patches(tiny, [pictures / "broken.jpg"], "conv1_1", 0)
