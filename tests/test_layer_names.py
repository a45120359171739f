"""Whose names are these?"""
import pytest

from npvgg import layer_names
from npvgg.architecture import NAMES, architecture
from npvgg.layer_names import are_papers, understood


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_leads_to_layers_of_the_network(name):
    net = architecture(name)
    own = {layer.name for layer in net.layers} | {"input", "prob"}
    for whose, scheme in layer_names.schemes(net).items():
        assert set(scheme.values()) <= own, whose
        assert understood(net, scheme)[1] == scheme


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_names_are_known_without_the_network(name):
    names = ["input", *(layer.name for layer in architecture(name).layers)]
    assert are_papers(names) and all(layer_names.PAPERS.fullmatch(layer) for layer in names)
    assert understood(architecture(name), names) == ("the paper's", {layer: layer for layer in names})


def test_documented_positions():
    assert layer_names.timm_names(architecture("vgg16"))["pre_logits.act2"] == "relu7"
    assert layer_names.mmpretrain_names(architecture("vgg16_bn"))["features.16.bn"] == "bn5_3"
    assert layer_names.mmpretrain_names(architecture("vgg11", num_classes=None))["features.12"] == "pool5"


@pytest.mark.parametrize("names", [[], ["a", "b"], ["fc1"], ["fc1", "fc2", "predictions"], ["conv1_1", "x", "y"], ["module."]])
def test_names_that_say_too_little(names):
    assert understood(architecture("vgg16"), names) == ("", {})


def test_an_input_of_keras():
    assert understood(architecture("vgg16"), ["input_layer_2", "block1_conv1"])[1] == {
        "input_layer_2": "input", "block1_conv1": "relu1_1"}


@pytest.mark.parametrize("names", [[], ["a"], ["features.0", "features.1", "input"]])
def test_names_that_are_not_the_papers(names):
    assert not are_papers(names)
