"""Recipes: data that is checked field by field."""
import json
import re
import tomllib
from pathlib import Path

import pytest

from npvgg.architecture import architecture
from npvgg.errors import BadFileError, NpvggError, StorageError, UsageError
from npvgg.training import recipe, selection
from npvgg.training.recipe import of_tables

NET = architecture("vgg16_bn", width=1 / 32)


@pytest.mark.parametrize("name", recipe.NAMES)
def test_each_named_recipe_is_whole(name):
    made = recipe.recipe(name)
    assert made.about and json.dumps(made.to_json())
    for stage in made.staged():
        net = stage.network.architecture(17, 3)
        assert net.num_classes == 17
        assert stage.optimiser.optimiser(net).steps == 0
        for epoch in (0, stage.training.epochs - 1):
            stage.augmentation_of(epoch)
            assert stage.schedule.factor_at(epoch * 10, 10, stage.training.epochs) >= 0
    assert made.preset is None or made.preset.channels == 3


def test_the_recipes_say_what_their_systems_do():
    made = recipe.recipe("mmpretrain")
    rates = [made.optimiser.rate * made.schedule.factor_at(epoch * 7, 7, 100) for epoch in (29, 30, 60, 90)]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5]) and made.optimiser.decay == 1e-4
    six = [stage.network.model for stage in recipe.recipe("pytorchvggnet").staged()]
    assert six == ["vgg11", "a_lrn", "vgg13", "C", "D", "E"]
    assert [stage.network.start for stage in recipe.recipe("paper").staged()] == ["normal", "previous"]
    tiny = recipe.recipe("tiny-imagenet")
    assert tiny.network.architecture(200, 3).width == 0.5 and [tiny.size_of(epoch) for epoch in (0, 35, 36)] == [48, 48, None]
    assert tiny.augmentation_of(73).resized_crop == (0.35, 1) and tiny.augmentation_of(74).resized_crop == (0.8, 1)


def test_in_other_epochs_everything_scales_along():
    short = recipe.recipe("tiny-imagenet").scaled(40)
    assert short.training.epochs == 40 and short.schedule.warm_up == 1.5
    assert [short.size_of(epoch) for epoch in (17, 18)] == [48, None] and short.augmentation_of(37).resized_crop == (0.8, 1)
    assert recipe.recipe("mmpretrain").scaled(10).schedule.milestones == (3, 6, 9)


@pytest.mark.parametrize("tables, telling", [
    ({"optimizer": {}}, "no 'optimizer'; did you mean 'optimiser'"), ({"training": {"epoch": 3}}, "did you mean 'epochs'"),
    ({"training": {"epochs": 0}}, "epochs is 0"), ({"training": 3}, r"write a table \[training\]"),
    ({"network": {"model": "resnet"}}, "no network called 'resnet'"), ({"network": {"start": "zero"}}, "start is 'zero'"),
    ({"network": {"head": "avg1 10"}}, "put flatten before"), ({"schedule": {"name": "cos"}}, "the schedule is 'cos'"),
    ({"schedule": {"milestones": [0]}}, "milestones"), ({"optimiser": {"rates": {"conv1": -1}}}, "each of rates"),
    ({"optimiser": {"nesterov": True, "momentum": 0.0}}, "nesterov"), ({"training": {"sizes": [3]}}, "sizes"),
    ({"training": {"class_weights": "even"}}, "balanced"), ({"preset": "imagenet"}, "preset 'imagenet'"),
    ({"preset": {"name": "mine"}}, "lacks crop, mean, std"), ({"stages": {}}, r"write \[\[stages\]\]"),
    ({"augmentation": {"flip": True}}, "flip is True"), ({"stages": [{"training": {"batch": 0}}]}, "batch is 0"),
    ({"optimiser": {"rate": "fast"}}, "rate is 'fast'"), ({"training": {"smoothing": 1}}, "smoothing is 1"),
])
def test_what_makes_no_sense_is_answered_in_a_sentence(tables, telling):
    with pytest.raises(UsageError, match=telling):
        of_tables(tables, "mine.toml")


def test_files(tmp_path):
    (tmp_path / "a.toml").write_text("[training]\nepochs = 4\n")
    assert recipe.recipe(str(tmp_path / "a.toml")).training.epochs == 4
    (tmp_path / "a.toml").write_text("[training\n")
    with pytest.raises(BadFileError, match="is not TOML"):
        recipe.recipe(str(tmp_path / "a.toml"))
    with pytest.raises(StorageError):
        recipe.recipe(str(tmp_path / "b.toml"))
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        recipe.recipe("cifar-10")


def test_a_head_of_another_number_of_outputs():
    with pytest.raises(UsageError, match="has 10 outputs and the data 3 classes"):
        of_tables({"network": {"head": "avg1 flatten 10", "input_size": 32}}).network.architecture(3, 3)


@pytest.mark.parametrize("text, first, last, count", [
    ("conv1", "conv1_1", "bn1_2", 4), ("conv1:conv4", "conv1_1", "bn4_3", 20), ("conv5_2:fc6", "conv5_2", "fc6", 5),
    ("fc8", "fc8", "fc8", 1), ("conv1,fc8", "conv1_1", "fc8", 5),
])
def test_layers_by_their_names(text, first, last, count):
    found = selection.layers_of(NET, text)
    assert (found[0], found[-1], len(found)) == (first, last, count)


@pytest.mark.parametrize("text", ["conv9", "", "conv2:conv1", "conv", "pool"])
def test_layers_that_are_not_there(text):
    with pytest.raises(NpvggError):
        selection.layers_of(NET, text)


def test_what_decays_and_at_which_rate():
    made = of_tables({"optimiser": {"decay_norms": False, "decay_biases": False, "rates": {"conv1:conv2": 0.1, "fc8": 10}}})
    optimiser = made.optimiser.optimiser(NET)
    assert optimiser.decay_of["bn3_1/weight"] == optimiser.decay_of["fc6/bias"] == 0 and "fc6/weight" not in optimiser.decay_of
    assert optimiser.rate_of["bn2_2/bias"] == 0.1 and optimiser.rate_of["fc8/weight"] == 10
    assert "fc6/weight" not in optimiser.rate_of


def test_the_recipe_of_the_page_is_one():
    page = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    made = of_tables(tomllib.loads(text), "docs/training.md")
    assert made.training.keep == "best" and made.optimiser.optimiser(NET).rate_of["fc6/weight"] == 10
    assert made.size_of(19) == 48 and made.augmentation_of(36).resized_crop == (0.8, 1.0)
