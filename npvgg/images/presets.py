"""How a picture becomes the input of a network, as data that travels in its weights file.

    resize      the shorter side becomes `resize` pixels (None: as it is), the longer one int(resize · long / short)
    crop        the central crop × crop square; outside the picture it is black
    normalise   x[c] = (level[c] / divisor − mean[c]) / std[c], levels 0 … 255, channels in `order`

Resizing is Pillow's: each new pixel weighs every old pixel under a triangle that grows with the reduction
(antialiasing), rounded to 8 bits after each direction.
"""
import json
from dataclasses import asdict, dataclass, fields, replace

from npvgg.errors import BadFileError, UsageError
from npvgg.storage import strict_json

MAX_SIDE = 4096
MAX_FACTOR = 1e6                                          # keeps every normalised value finite in float32
INTERPOLATIONS = ("bilinear",)
ORDERS = ("RGB", "BGR")


def preset(name):
    """A preset by its name, one of PRESETS."""
    if name not in PRESETS:
        raise UsageError(f"preset {name!r} is not known; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True)
class Preset:
    """One recipe for preparing pictures.  UsageError for a field that makes no sense."""

    name: str
    resize: int | None
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    divisor: float = 255.0
    interpolation: str = "bilinear"
    order: str = "RGB"

    def __post_init__(self):
        for field, (is_valid, expected) in FIELDS.items():
            value = getattr(self, field)
            if not is_valid(value):
                raise UsageError(f"preset field {field} is {value!r:.80}; expected {expected}")

    def resized(self, input_size):
        """The same recipe for another input size; resize : crop is kept, as 256 : 224 becomes 342 : 299."""
        if not is_side(input_size):
            raise UsageError(f"input size {input_size!r:.80} is not possible; give {SIDE}")
        return replace(self, crop=input_size, resize=self.resize and round(self.resize * input_size / self.crop))

    def to_json(self):
        """→ one line of JSON with every field, which `from_json` reads back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        """The preset that `to_json` wrote.  BadFileError for a field too many, too few or of another type."""
        try:
            values = strict_json.read(text)
        except (ValueError, TypeError) as error:
            raise BadFileError(f"the preset is not JSON ({error}); convert the weights again") from None
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            found = sorted(values) if isinstance(values, dict) else values
            raise BadFileError(f"the preset holds {found!r:.200}; expected the fields {sorted(names)}; "
                               "convert the weights again")
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except UsageError as error:
            raise BadFileError(f"{error}; convert the weights again") from None


def is_side(value):
    return type(value) is int and 1 <= value <= MAX_SIDE


def is_number(value):
    return type(value) in (int, float) and abs(value) <= MAX_FACTOR


def is_scale(value):
    return is_number(value) and value >= 1 / MAX_FACTOR


def three(is_valid):
    return lambda value: type(value) is tuple and len(value) == 3 and all(map(is_valid, value))


SIDE = f"a whole number from 1 to {MAX_SIDE}"
FIELDS = {
    "name": (lambda value: type(value) is str and value.isprintable() and 0 < len(value) <= 80, "a short name"),
    "resize": (lambda value: value is None or is_side(value), f"nothing or {SIDE}"),
    "crop": (is_side, SIDE),
    "mean": (three(is_number), "a tuple of three numbers"),
    "std": (three(is_scale), "a tuple of three positive numbers"),
    "divisor": (is_scale, "a positive number"),
    "interpolation": (lambda value: value in INTERPOLATIONS, "bilinear"),
    "order": (lambda value: value in ORDERS, "RGB or BGR"),
}

PRESETS = {recipe.name: recipe for recipe in (
    # torchvision.transforms._presets.ImageClassification(crop_size=224), the means and deviations of ImageNet.
    Preset("torchvision", 256, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    # VGG16_Weights.IMAGENET1K_FEATURES: levels minus (123, 117, 104), not scaled, as the paper's own weights want them.
    Preset("torchvision-features", 256, 224, mean=(0.48235, 0.45882, 0.40784), std=(1 / 255, 1 / 255, 1 / 255)),
    # mmpretrain's data_preprocessor: the same means and deviations, on levels from 0 to 255.
    Preset("mmpretrain", 256, 224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), divisor=1),
    # The Oxford models, and Keras' preprocess_input(mode="caffe"): BGR levels minus their mean over the training set.
    Preset("caffe", 256, 224, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), divisor=1, order="BGR"),
    # CellEight/PytorchVGGNet, train.py: ToTensor, Normalize(0.5, 0.5); its pictures are 224×224 already.
    Preset("pytorchvggnet", 224, 224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    # The means and deviations of CIFAR-10's training pictures.
    Preset("cifar10", 32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
)}
