"""A folder as the Hugging Face hub has them: one file with weights, or an index and shards, and a config.json beside it.

    model.safetensors.index.json, model.safetensors, pytorch_model.bin.index.json, pytorch_model.bin     the first that is there
    config.json     timm's says how pictures are prepared: {"pretrained_cfg": {"mean": …, "std": …, "input_size": …, …}}

Source: timm/models/_hub.py.
"""
from pathlib import Path

from npvgg import images
from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.images.presets import CROP_MODES, INTERPOLATIONS
from npvgg.storage import strict_json
from weights_convert.refusals import printable, quoted

USUAL = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".h5", ".npz", ".onnx", ".caffemodel", ".pkl")
# How timm resizes and crops where nothing is said, and what npvgg has of it.
USUALLY = {"interpolation": ("bicubic", INTERPOLATIONS), "crop_mode": ("center", CROP_MODES)}
CONFIG, LONGEST_CONFIG = "config.json", 4 << 20


def weights_in(folder: Path) -> Path:
    """The file with weights in a folder.

    BadFileError where there is none, UsageError where it could be several, StorageError where the folder cannot be read.
    """
    try:
        files = {path.name: path for path in sorted(folder.iterdir()) if path.suffix in (*ENDINGS, ".json") and path.is_file()}
    except OSError as error:
        raise StorageError(f"{folder}: it cannot be read: {error.strerror or error} (check its permissions)") from None
    for name in USUAL:
        if name in files:
            return files[name]
    names = [name for name in files if not name.endswith(".json")]
    if not names:
        raise BadFileError(f"{folder}: it is a folder without a file of weights ({', '.join(ENDINGS)}); name the "
                           "checkpoint") from None
    if len(names) > 1:
        raise UsageError(f"{folder}: it is a folder with {quoted(names)}; name the one you want")
    return files[names[0]]


def described(path: Path) -> tuple:
    """A file with weights → (stated, metadata, remarks) of FileContents, of what config.json beside it says."""
    config = path.parent / CONFIG
    if path.name not in USUAL or not config.is_file():
        return {}, {}, ()
    try:
        with open(config, "rb") as file:
            said = strict_json.read(file.read(LONGEST_CONFIG))
        recipe = said.get("pretrained_cfg", said)
        names = said.get("label_names", recipe.get("label_names"))
        metadata = {"classes": tuple(names)} if isinstance(names, list) and all(type(name) is str for name in names) else {}
        if not {"mean", "std"} <= recipe.keys():
            return {}, metadata, ()
        preset = preset_of(recipe)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ArithmeticError, UsageError) as error:
        return {}, {}, (f"{CONFIG} beside it was not understood ({printable(str(error), 200)}); without --preset pictures are "
                        "prepared as its scheme does",)
    other = [f"{field} {printable(str(recipe[field]))}" for field, (usual, ours) in USUALLY.items()
             if recipe.get(field, usual) not in ours]
    sentence = f"pictures are prepared as {CONFIG} beside it says" + (
        f", but for {' and '.join(other)}, which npvgg has not: bilinear, from the centre" if other else "")
    return {"preset": preset, "input_size": preset.crop}, metadata, (sentence,)


def preset_of(recipe):
    """timm's {"mean", "std", "input_size", "crop_pct", "interpolation", "crop_mode"} → the Preset.

    ValueError or UsageError where that makes none.
    """
    _, height, width = recipe.get("input_size", (3, 224, 224))
    if height != width or type(height) is not int or height < 1:
        raise ValueError(f"pictures of {height}×{width}")
    mean, std = (tuple(map(float, recipe[field])) for field in ("mean", "std"))
    usual, ways = images.preset("torchvision"), {}
    for field, (default, ours) in USUALLY.items():
        ways[field] = recipe.get(field, default) if recipe.get(field, default) in ours else getattr(usual, field)
    name = usual.name if (mean, std) == (usual.mean, usual.std) else CONFIG
    return images.Preset(name, int(height / float(recipe.get("crop_pct", 0.875))), height, mean, std,
                         order={1: "L", 3: "RGB", 4: "RGBA"}[len(mean)], **ways)
