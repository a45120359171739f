"""Why a class: contributions that add up to its logit; and the answer without some channels."""
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg.errors import UnsupportedError, UsageError

NAMES = ("ant", "bee", "cat", "dog")


def network(**fields):
    return lively("vgg11", width=1 / 8, input_size=32, **(fields or {"hidden": (30,), "pooled_size": 1, "num_classes": 4}))


def test_contributions_add_up_to_the_logit_of_the_class_and_its_probability_is_that_of_predict():
    vgg, picture = replace(network(), class_names=NAMES), photograph(1)
    for label, probability, logit, index in vgg.predict(picture, top=4):
        for name in (label, index, str(index)):
            found = vgg.why(picture, name)
            assert (found.label, found.logit) == (label, logit) and found.probability == pytest.approx(probability, rel=1e-5)
        features = vgg.features(picture, "relu6")["relu6"][0].astype(float)
        assert found.contributions == pytest.approx(vgg.parameters["fc7/weight"][index] * features)
        assert math.fsum(found.contributions) + found.explanation.bias == pytest.approx(logit, rel=1e-5)
    best = vgg.why(picture)
    assert best.label == vgg.predict(picture, top=1)[0].label
    assert best.part(30) == pytest.approx(best.contributions.sum()) and len(json.loads(best.to_json())["contributions"]) == 30
    assert "these 10 " in str(best) and "20 more" in str(best) and max(map(len, best.table(80).splitlines())) <= 80


def test_one_output_tells_two_classes_apart():
    vgg, picture = replace(network(head="avg1 flatten 1"), class_names=("ant", "bee")), photograph(2)
    for label, probability, logit, _ in vgg.predict(picture, top=2):
        found = vgg.why(picture, label)
        assert found.logit == pytest.approx(logit) and found.probability == pytest.approx(probability, rel=1e-5)
        assert found.contributions.sum() + found.sign * found.explanation.bias == pytest.approx(logit, rel=1e-4)
    assert vgg.why(picture).label == vgg.predict(picture, top=1)[0].label


@pytest.mark.parametrize("label, words", [("cow", "no class 'cow'.*ant, bee, cat, dog"), (4, "no class 4; .* from 0 to 3"),
                                          (True, "no class True"), (1.5, "no class 1.5")])
def test_a_class_that_is_not_there_is_refused(label, words):
    with pytest.raises(UsageError, match=words):
        replace(network(), class_names=NAMES).why(photograph(1), label)


def test_features_without_a_classifier_have_no_decision():
    with pytest.raises(UnsupportedError, match="without a classifier"):
        network(head="").why(photograph(1))


@pytest.mark.parametrize("layer", ["conv5_2", "relu2_1", "pool1", "relu6", "fc7"])
def test_ablated_channels_are_multiplied(layer):
    vgg, picture = network(), photograph(1)
    x = vgg.prepare(picture)
    logits = vgg(x)
    assert np.array_equal(vgg.ablate(picture, layer, [0, 2], 1), logits)
    channels = np.arange(vgg.features(picture, layer)[layer].shape[1])
    without = vgg.ablate(picture, layer, channels[channels % 3 == 0])
    step = vgg.features(picture, layer)[layer]
    step[:, channels % 3 == 0] = 0
    names = [each.name for each in vgg.architecture.layers]
    expected = vgg.run_from(names[names.index(layer) + 1], step) if layer != "fc7" else step
    assert np.array_equal(without, expected) and not np.array_equal(without, logits)


@pytest.mark.parametrize("channels, factor, words", [
    ([8], 0, "no channel 8"), ("17", 0, "the channels are '17'"), (5, 0, "the channels are 5"), ([0], "0", "factor is '0'"),
    ([0], math.nan, "factor is nan")])
def test_ablations_that_make_no_sense_are_refused(channels, factor, words):
    with pytest.raises(UsageError, match=words):
        network().ablate(photograph(1), "conv1_1", channels, factor)
