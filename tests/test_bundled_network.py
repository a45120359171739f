"""The network that npvgg ships: its size, what it says of itself, and how often it is right.

The accuracy needs CIFAR-10's test pictures as files, test/<class>/*.jpg, in the folder $NPVGG_CIFAR10:

    NPVGG_CIFAR10=cifar10 python -m pytest -m heavy tests/test_bundled_network.py
"""
import os
from pathlib import Path

import pytest

from npvgg import classify, hub, images, network, weights
from npvgg.kernels import tiers

PATH = hub.DATA / hub.BUNDLED[hub.DEFAULT]


def test_it_is_small_and_says_how_it_was_made():
    file = weights.read(PATH, verify=True)
    assert PATH.stat().st_size <= 8_000_000
    assert file.architecture.name == "vgg13_bn" and file.architecture.input_size == 32
    assert "CIFAR-10" in file.notes and f"{hub.BUNDLED_FACTS[hub.DEFAULT]['top1']:.2f} %" in file.notes
    assert images.Preset.from_json(file.preset_json) == images.preset("cifar10")


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_it_still_gives_the_answer_it_gave_when_it_was_made(tier):
    assert network.load_file(PATH, tier=tier).run_self_test() < 1e-5


@pytest.mark.heavy
def test_it_names_as_many_test_pictures_correctly_as_it_claims():
    if not os.environ.get("NPVGG_CIFAR10"):
        pytest.skip("NPVGG_CIFAR10 does not name the folder of CIFAR-10's pictures")
    paths = images.find([Path(os.environ["NPVGG_CIFAR10"]) / "test"])
    assert len(paths) == 10_000
    answers = classify.stream(paths, network.load_file(PATH), top=1, batch=250)
    hits = sum(answer.predictions[0].label == Path(answer.image).parent.name for answer in answers)
    assert hits / len(paths) == pytest.approx(hub.BUNDLED_FACTS[hub.DEFAULT]["top1"] / 100, abs=1e-9)
    assert hits >= 9_000
