"""The configuration that OpenMMLab's trainers keep as a text beside the weights → how pictures were prepared.

    data_preprocessor = dict(mean=[123.675, 116.28, 103.53], num_classes=1000, std=[58.395, 57.12, 57.375], to_rgb=True)
    img_norm_cfg = dict(mean=…, std=…, to_rgb=True)                                            mmcls before 1.0
    dict(type='ResizeEdge', scale=256, edge='short'), dict(type='CenterCrop', crop_size=224)   mmcls: Resize, size=(256, -1)

The text is Python, and is searched and never run.  Without to_rgb channels are in OpenCV's order, BGR.
Source: mmengine/runner/runner.py, save_checkpoint; mmpretrain/models/utils/data_preprocessor.py.
"""
import re
from dataclasses import replace

from npvgg import images
from npvgg.errors import UsageError
from npvgg.images.presets import INTERPOLATIONS

TEXTS = ("cfg", "config")                 # in "meta", of mmengine and of mmcv
NUMBERS = r"\s*[\[(]([\d.,\s e+-]{1,200})[\])]"
NORMALISE = re.compile(r"(?:data_preprocessor|img_norm_cfg)\s*=\s*dict\(([^()]{0,1000})\)")
RESIZE = re.compile(r"\bscale\s*=\s*(\d{1,4})\b|\bsize\s*=\s*\((\d{1,4}),\s*-1\)")
INTERPOLATION = re.compile(r"\binterpolation\s*=\s*['\"](\w{1,20})['\"]")
CROP = re.compile(r"\bcrop_size\s*=\s*(\d{1,4})\b")


def preparation(meta: dict) -> tuple:
    """"meta" of a checkpoint → (its Preset or None, sentences about it)."""
    text = next((meta[name] for name in TEXTS if type(meta.get(name)) is str), "")
    said = set(NORMALISE.findall(text))
    said = {words for words in said if "mean" in words and "std" in words}
    if not said:
        return None, ()
    try:
        presets = {preset(words, text) for words in said}
    except (ValueError, UsageError):
        presets = set()
    if len(presets) != 1:
        return None, ("its configuration was not understood in what it says of mean and std; without --preset pictures are "
                      "prepared as mmpretrain does",)
    chosen = presets.pop()
    assumed = () if ways(text) else (
        f"its configuration was not understood in how it resizes and crops; {chosen.resize}, then {chosen.crop} from the "
        f"centre, {chosen.interpolation}, was assumed (--preset)",)
    return chosen, ("pictures are prepared as its configuration says", *assumed)


def preset(words, text):
    """The arguments of a data_preprocessor, and the whole text → Preset; ValueError, UsageError where they make none."""
    mean, std = (tuple(map(float, re.search(rf"\b{name}\s*={NUMBERS}", words)[1].rstrip(" ,\n").split(","))) if
                 re.search(rf"\b{name}\s*={NUMBERS}", words) else () for name in ("mean", "std"))
    usual = images.preset("mmpretrain")
    order = "L" if len(mean) == 1 else "RGB" if re.search(r"\bto_rgb\s*=\s*True\b", words) else "BGR"
    resize, crop, interpolation = ways(text) or (usual.resize, usual.crop, usual.interpolation)
    recipe = images.Preset("its configuration", resize, crop, mean, std, divisor=1, interpolation=interpolation, order=order)
    return usual if replace(recipe, name=usual.name) == usual else recipe


def ways(text):
    """(resize, crop, interpolation) as the whole text says; None where it says none, several, or what npvgg has not."""
    resizes = {int(first or second) for first, second in RESIZE.findall(text)}
    crops = set(map(int, CROP.findall(text)))
    interpolations = set(INTERPOLATION.findall(text)) or {"bilinear"}             # what OpenMMLab's own transforms default to
    if len(resizes) != 1 or len(crops) != 1 or len(interpolations) != 1 or not interpolations <= set(INTERPOLATIONS):
        return None
    return resizes.pop(), crops.pop(), interpolations.pop()
