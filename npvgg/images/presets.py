"""How a picture becomes the input of a network, as data that travels in its weights file.

    resize      the shorter side becomes `resize` pixels (None: as it is), the longer one int(resize · long / short); with the
                crop mode "squash" both do, whatever the proportions
    crop        the central crop × crop square; outside the picture every channel is 0
    normalise   x[c] = (level[c] / divisor − mean[c]) / std[c], levels 0 … 255, channels in `order`
    order       L: one channel, Pillow's grey, (299 R + 587 G + 114 B) / 1000; RGB; BGR; RGBA: the fourth is alpha, 255 where a
                picture has none

A preset serves networks of as many input channels as its order has letters.

Resizing is Pillow's: bilinear, each new pixel weighs every old pixel under a triangle that grows with the reduction
(antialiasing), rounded to 8 bits after each direction; bicubic and lanczos have other curves in its place; nearest takes the
pixel in the middle.
"""
import json
from dataclasses import asdict, dataclass, fields, replace

from npvgg.architecture import CHANNELS, Architecture
from npvgg.errors import BadFileError, UsageError
from npvgg.storage import strict_json
from npvgg.text import meant

MAX_SIDE = 4096
MAX_FACTOR = 1e6                                          # keeps every normalised value finite in float32
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")
AGAIN = "write it as Preset.to_json does, or convert the weights again"
CROP_MODES = ("center", "squash")                         # as timm calls them
ORDERS = {"L": "L", "RGB": "RGB", "BGR": "RGB", "RGBA": "RGBA"}        # → Pillow's mode of the picture


def preset(name: str) -> "Preset":
    """A preset by its name, one of PRESETS; UsageError with the list of names for any other."""
    if not isinstance(name, str) or name not in PRESETS:
        raise UsageError(f"preset {name!r} is not known{meant(name, PRESETS)}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def default_preset(net: Architecture) -> "Preset":
    """The preset of a network that comes without one: ImageNet's statistics, for its input channels and size.

    3 channels torchvision, 1 grey, 4 rgba; `resized` to net.input_size.
    """
    if not isinstance(net, Architecture):
        raise UsageError(f"the network is of type {type(net).__name__}; give an Architecture, as architecture('vgg16')")
    return PRESETS[DEFAULTS[net.input_channels]].resized(net.input_size)


def check_preset(recipe):
    """UsageError unless it is a Preset, not its name for example."""
    if not isinstance(recipe, Preset):
        raise UsageError(f"the preset is of type {type(recipe).__name__}; give a Preset, as images.preset('torchvision')")


def check_channels(recipe: "Preset", net: Architecture):
    """UsageError unless the preset prepares as many channels as the network takes."""
    check_preset(recipe)
    if recipe.channels != net.input_channels:
        raise UsageError(f"preset {recipe.name} prepares {recipe.channels} channels ({recipe.order}) but this {net.name} takes "
                         f"{net.input_channels}; give images.default_preset(architecture), or a preset whose order has as many")


@dataclass(frozen=True)
class Preset:
    """One recipe for preparing pictures.  UsageError for a field that makes no sense.

    `resize` and `crop` are in pixels; `mean` and `std`, in the order of `order`, are of levels ÷ `divisor`.
    """

    name: str
    resize: int | None
    crop: int
    mean: tuple[float, ...]               # one a channel
    std: tuple[float, ...]
    divisor: float = 255.0
    interpolation: str = "bilinear"
    order: str = "RGB"
    crop_mode: str = "center"

    def __post_init__(self):
        for field, (is_valid, expected) in FIELDS.items():
            value = getattr(self, field)
            if not is_valid(value):
                raise UsageError(f"preset field {field} is {value!r:.80}; expected {expected}")
        for field in ("mean", "std"):
            value = getattr(self, field)
            if len(value) != self.channels:
                raise UsageError(f"preset field {field} is {value!r:.80}; expected {self.channels} for the order {self.order}")

    @property
    def channels(self) -> int:
        """How many channels it prepares: 1, 3 or 4."""
        return len(self.order)

    @property
    def mode(self) -> str:
        """Pillow's mode of the picture that it resizes and crops: L, RGB or RGBA."""
        return ORDERS[self.order]

    def resized(self, input_size: int) -> "Preset":
        """The same recipe for another input size; resize : crop is kept, as 256 : 224 becomes 342 : 299."""
        if not is_side(input_size):
            raise UsageError(f"input size {input_size!r:.80} is not possible; give {SIDE}")
        return replace(self, crop=input_size, resize=self.resize and round(self.resize * input_size / self.crop))

    def to_json(self) -> str:
        """→ one line of JSON with every field but the usual crop mode, as in 0.1.0; `from_json` reads it back."""
        return json.dumps({name: value for name, value in asdict(self).items() if (name, value) != ("crop_mode", "center")})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Preset":
        """The preset that `to_json` wrote.  BadFileError for a field too many, too few or of another type."""
        try:
            values = strict_json.read(text)
        except (ValueError, TypeError) as error:
            raise BadFileError(f"the preset is not JSON ({error}); {AGAIN}") from None
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or {"crop_mode", *values} != names:
            content = sorted(values) if isinstance(values, dict) else values
            raise BadFileError(f"the preset holds {content!r:.200}; expected the fields {sorted(names)}; "
                               f"{AGAIN}")
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except UsageError as error:
            raise BadFileError(f"{error}; {AGAIN}") from None


def is_side(value):
    """Whether the value is a side in pixels, an int from 1 to MAX_SIDE."""
    return type(value) is int and 1 <= value <= MAX_SIDE


def is_number(value):
    """Whether the value is an int or float of at most MAX_FACTOR in size, and so not NaN."""
    return type(value) in (int, float) and abs(value) <= MAX_FACTOR


def is_scale(value):
    """Whether the value can be divided by: from 1 / MAX_FACTOR to MAX_FACTOR."""
    return is_number(value) and value >= 1 / MAX_FACTOR


def one_a_channel(is_valid):
    """A check of one value → the check of a tuple of them, one a channel."""
    return lambda value: type(value) is tuple and len(value) in CHANNELS and all(map(is_valid, value))


SIDE = f"a whole number from 1 to {MAX_SIDE}"
FIELDS = {
    "name": (lambda value: type(value) is str and value.isprintable() and 0 < len(value) <= 80, "a short name"),
    "resize": (lambda value: value is None or is_side(value), f"nothing or {SIDE}"),
    "crop": (is_side, SIDE),
    "mean": (one_a_channel(is_number), "a tuple of 1, 3 or 4 numbers"),
    "std": (one_a_channel(is_scale), "a tuple of 1, 3 or 4 positive numbers"),
    "divisor": (is_scale, "a positive number"),
    "interpolation": (lambda value: type(value) is str and value in INTERPOLATIONS,
                      "bilinear, bicubic, lanczos or nearest"),
    "order": (lambda value: type(value) is str and value in ORDERS, "L, RGB, BGR or RGBA"),
    "crop_mode": (lambda value: type(value) is str and value in CROP_MODES, "center or squash"),
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
    # The same as keras.utils.load_img(path, target_size=(224, 224)) prepares pictures for it.
    Preset("keras", 224, 224, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), divisor=1, interpolation="nearest",
           order="BGR", crop_mode="squash"),
    # CellEight/PytorchVGGNet, train.py: ToTensor, Normalize(0.5, 0.5); its pictures are 224×224 already.
    Preset("pytorchvggnet", 224, 224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    # The means and deviations of CIFAR-10's training pictures.
    Preset("cifar10", 32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    # torchvision's under Pillow's weights of grey.  The mean of a weighted sum is that sum of the means, and its deviation that
    # of the deviations where the channels rise and fall together, as those of photographs nearly do.
    Preset("grey", 256, 224, mean=(0.459,), std=(0.226,), order="L"),
    # torchvision's, and alpha from 0 to 1 as it is.
    Preset("rgba", 256, 224, mean=(0.485, 0.456, 0.406, 0.0), std=(0.229, 0.224, 0.225, 1.0), order="RGBA"),
)}
DEFAULTS = {3: "torchvision", 1: "grey", 4: "rgba"}         # by input channels
