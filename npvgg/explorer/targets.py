"""What is to be explained: a class, or one unit of a layer, in the words of a caller.

    "cat", 281                        the logit of that class
    "conv4_3:17,5,9"                  channel 17 of conv4_3, row 5, column 9; also ("conv4_3", 17, 5, 9)
    "conv4_3:17"                      the mean of channel 17 of conv4_3; of a dense layer unit 17; also ("conv4_3", 17)
    None                              the class whose logit is largest
"""
import re
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from npvgg import labels
from npvgg.architecture import Architecture
from npvgg.counting import Row, describe
from npvgg.errors import UsageError
from npvgg.layer_names import canonical_layer
from npvgg.text import meant

UNIT = re.compile(r"([^:]+):(\d{1,7})(?:,(\d{1,7}),(\d{1,7}))?")


@dataclass(frozen=True)
class Target:
    """A number S that the network computes: one value of a layer's output, or the mean of a channel's map."""

    layer: str
    index: tuple[int, ...]                # (unit,), (channel, y, x), or (channel,) of a map
    name: str                             # for people
    sign: int = 1                         # −1 for the first class of a network with one output, whose logit is −z

    def value(self, output: np.ndarray) -> np.ndarray:
        """The output of its layer (N, …) → S (N,) in float64."""
        chosen = output[(slice(None), *self.index)].astype(np.float64)
        return self.sign * (chosen if chosen.ndim == 1 else chosen.mean((1, 2)))

    def gradient(self, output: np.ndarray) -> np.ndarray:
        """The output of its layer (N, …) → ∂S/∂output, in its shape and dtype."""
        g = np.zeros_like(output)
        chosen = g[(slice(None), *self.index)]
        g[(slice(None), *self.index)] = self.sign / max(1, chosen[:1].size)
        return g


def target_of(vgg, target, size: tuple[int, int], logits: np.ndarray | None = None) -> Target:
    """A caller's words → the Target in a VGG that is given pictures of (H, W) = `size`.

    None takes the largest of the `logits` (1, classes).  UsageError for what the network does not have.
    """
    if target is None:
        vgg.require_classifier()
        return of_class(vgg, best_class(logits, vgg.architecture))
    if isinstance(target, bool) or not isinstance(target, (str, Integral, tuple, list)):
        raise UsageError(f"the target is {target!r:.80}; give a class, or a unit such as 'conv4_3:17,5,9'")
    if isinstance(target, Integral) or isinstance(target, str) and target in (vgg.class_names or ()):
        return of_class(vgg, target)
    if isinstance(target, str) and not UNIT.fullmatch(target):
        return of_class(vgg, target)
    layer, *index = unit(target)
    row = row_of(vgg.architecture, layer, size)
    if len(index) not in (1, len(row.output_shape)):
        shape, name = "×".join(map(str, row.output_shape)), row.layer.name
        raise UsageError(f"{target!r:.80} is no unit of {name}, which gives {shape}; give {name}:CHANNEL, and of a map also "
                         f"{name}:CHANNEL,ROW,COLUMN")
    place = checked_place(row, index)
    return Target(row.layer.name, place, f"{row.layer.name}:{','.join(map(str, place))}")


def best_class(logits, net):
    """Logits (1, outputs) → the number of the most probable class; BadFileError where a logit is NaN or infinite."""
    return labels.top(logits, None, 1, net.output)[0][0].index


def of_class(vgg, label) -> Target:
    """A class, by its name or number from 0 → the Target that is its logit; UsageError where there is no such class."""
    vgg.require_classifier()
    count, names = vgg.architecture.label_count, vgg.class_names
    if isinstance(label, str) and names is not None and label in names:
        number = names.index(label)
    elif (re.fullmatch(r"\d{1,7}", label) if isinstance(label, str) else
          isinstance(label, Integral) and not isinstance(label, bool)):
        number = int(label)
    else:
        known = f"{meant(label, names)}; give one of its {count} classes, " if names else f"; it has {count} classes, "
        shown = f"{', '.join(names)}, or " if names and len(names) <= 20 else ""
        raise UsageError(f"the network has no class {label!r:.80}{known}{shown}a number from 0 to {count - 1}, or a unit such "
                         "as conv4_3:17,5,9")
    if not 0 <= number < count:
        raise UsageError(f"there is no class {number}; give a number from 0 to {count - 1}")
    last, is_pair = vgg.architecture.layers[-1].name, vgg.architecture.num_classes == 1
    name = names[number] if names else f"class {number}"
    return Target(last, (0,), name, 1 if number else -1) if is_pair else Target(last, (number,), name)


def unit(words) -> tuple:
    """"conv4_3:17,5,9" or ("conv4_3", 17, 5, 9) → ("conv4_3", 17, 5, 9); UsageError for anything else."""
    if isinstance(words, str):
        match = UNIT.fullmatch(words)
        if match:
            return match[1], *(int(number) for number in match.groups()[1:] if number is not None)
    elif isinstance(words, (tuple, list)) and len(words) in (2, 4) and isinstance(words[0], str):
        return tuple(words)
    raise UsageError(f"{words!r:.80} names no unit; give LAYER:CHANNEL,ROW,COLUMN such as conv4_3:17,5,9, or LAYER:UNIT "
                     "such as fc6:17")


def row_of(net: Architecture, layer: str, size: tuple[int, int]) -> Row:
    """Any name of a layer → its Row, for pictures of (H, W); UsageError where there is no such layer."""
    name = canonical_layer(net, layer)
    return next(row for row in describe(net, size) if row.layer.name == name)


def checked_place(row: Row, index) -> tuple[int, ...]:
    """Indices into a layer's output as whole numbers; UsageError for one that lies outside."""
    for what, at, extent in zip(("channel", "row", "column") if len(row.output_shape) == 3 else ("unit",), index,
                                row.output_shape):
        if isinstance(at, bool) or not isinstance(at, Integral) or not 0 <= at < extent:
            raise UsageError(f"{row.layer.name} has no {what} {at!r:.80}; give a whole number from 0 to {extent - 1}")
    return tuple(map(int, index))
