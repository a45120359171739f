"""How pictures are prepared, from the configuration that OpenMMLab's trainers keep beside the weights."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import tensor
from witnesses.refusal import read

from npvgg import images
from weights_convert.formats.pytorch import openmmlab

NEWER = """
auto_scale_lr = dict(base_batch_size=256)
data_preprocessor = dict(
    mean=[
        {mean},
    ],
    num_classes=1000,
    std=[58.395, 57.12, 57.375],
    to_rgb={to_rgb})
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(edge='short', scale={scale}, type='ResizeEdge'),
    dict(crop_size=224, type='CenterCrop'),
    dict(type='PackInputs'),
]
train_pipeline = [dict(scale=(224, 224), type='RandomResizedCrop')]
"""
OLDER = "img_norm_cfg = dict(mean=[{mean}], std=[58.395, 57.12, 57.375], to_rgb={to_rgb})\n" \
        "test = [dict(type='Resize', size=({scale}, -1)), dict(type='CenterCrop', crop_size=224)]\n"
USUAL = {"mean": "123.675, 116.28, 103.53", "to_rgb": True, "scale": 256}


@pytest.mark.parametrize("name, text", [("cfg", NEWER), ("config", OLDER)])
def test_the_usual_numbers_are_the_preset_of_mmpretrain(name, text):
    assert openmmlab.preparation({name: text.format(**USUAL)})[0] == images.preset("mmpretrain")


@pytest.mark.parametrize("name, text", [("cfg", NEWER), ("config", OLDER)])
@pytest.mark.parametrize("change, field, value", [({"mean": "1, 2.5, 3e1"}, "mean", (1.0, 2.5, 30.0)),
                                                  ({"to_rgb": False}, "order", "BGR"), ({"scale": 232}, "resize", 232)])
def test_other_numbers_are_taken(name, text, change, field, value):
    preset, sentences = openmmlab.preparation({name: text.format(**USUAL | change)})
    assert getattr(preset, field) == value and preset.crop == 224 and preset.divisor == 1
    assert sentences == ("pictures are prepared as its configuration says",)


def test_another_interpolation_is_taken():
    text = NEWER.format(**USUAL).replace("edge='short'", "edge='short', interpolation='bicubic'")
    preset, sentences = openmmlab.preparation({"cfg": text})
    assert preset.interpolation == "bicubic" and len(sentences) == 1


@pytest.mark.parametrize("change", [("edge='short'", "interpolation='area'"), ("crop_size=224", "size=224"),
                                    ("scale=(224, 224)", "scale=224"), ("scale=(224, 224)", "interpolation='cubic'")])
def test_ways_of_resizing_that_are_not_understood_are_said(change):
    preset, (_, sentence) = openmmlab.preparation({"cfg": NEWER.format(**USUAL).replace(*change)})
    assert preset == images.preset("mmpretrain")
    assert "256, then 224 from the centre, bilinear, was assumed (--preset)" in sentence


@pytest.mark.parametrize("text", [NEWER.format(**USUAL | {"mean": "1, 2"}), NEWER.format(**USUAL | {"mean": "1, -, 3"}),
                                  NEWER.format(**USUAL) + NEWER.format(**USUAL | {"mean": "1, 2, 3"}),
                                  NEWER.format(**USUAL).replace("58.395", "0")])
def test_what_is_not_understood_is_said(text):
    preset, (sentence,) = openmmlab.preparation({"cfg": text})
    assert preset is None and "--preset" in sentence


@pytest.mark.parametrize("meta", [{}, {"cfg": 5}, {"cfg": "model = 1"}, {"cfg": "data_preprocessor = dict(" * 1000}])
def test_nothing_is_said_of_nothing(meta):
    assert openmmlab.preparation(meta) == (None, ())


def test_the_preset_comes_with_the_file():
    meta = {"cfg": "x" * 20_000 + NEWER.format(**USUAL | {"mean": "1, 2, 3"})}
    found = read(builder.write("zip", {"meta": meta, "state_dict": {"w": tensor("0", (6,))}}, {"0": np.arange(6, dtype="f4")}))
    assert found.stated["preset"].mean == (1.0, 2.0, 3.0)
    assert "pictures are prepared as its configuration says" in found.remarks and found.assumptions
