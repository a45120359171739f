"""Logits → labels with probabilities, best first.

What makes a probability of a logit z is the network's `output`:

    softmax    one class of several      p[k] = exp(z[k] − max) / Σ_j exp(z[j] − max)           they sum to 1
    sigmoid    independent labels        p[k] = 1 / (1 + exp(−z[k]))                            each by itself
               one output, two classes   p[1] = 1 / (1 + exp(−z)),  p[0] = 1 − p[1]
    none       no class scores           refused
"""
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from npvgg.architecture import Architecture
from npvgg.checks import check_choice, check_count
from npvgg.errors import BadFileError, ShapeError, UnsupportedError, UsageError
from npvgg.heads import OUTPUTS


class Prediction(NamedTuple):
    """One answer of the classifier."""

    label: str
    probability: float
    logit: float                  # of a network with one output: −z for the first class, z for the second
    index: int                    # position among the classes, from 0


def top(logits: np.ndarray, class_names: Sequence[str] | None = None, count: int = 5,
        output: str = "softmax") -> list[list[Prediction]]:
    """(N, outputs) → N lists of the `count` most probable labels, best first; equal logits by rising index.

    The probabilities are those of `probabilities`.  A single sigmoid output z tells two classes apart: `class_names` has two
    names, the second has the probability 1 / (1 + exp(−z)) and the logit z, the first what is left and the logit −z, whose
    sigmoid it is.  Without names, "class 0" and so on.
    BadFileError where a logit is NaN or infinite, for such an answer has no order; UnsupportedError for the output "none";
    ShapeError for logits of another shape; UsageError for another count, output or number of names.
    """
    check_count("top", count)
    logits = class_scores(logits, output)
    if (output, logits.shape[1]) == ("sigmoid", 1):
        logits = np.concatenate([-logits, logits], axis=1)
    if class_names is not None and (not isinstance(class_names, Sequence) or isinstance(class_names, (str, bytes))):
        raise UsageError(f"the class names are {class_names!r:.80}; give a list of texts, one for each class")
    if class_names is not None and len(class_names) != logits.shape[1]:
        raise UsageError(f"{len(class_names)} class names were given for {logits.shape[1]} classes; give one for each")
    answers = []
    for row, chances in zip(logits, probabilities(logits, output), strict=True):
        best = np.argsort(-row, kind="stable")[:count]
        answers.append([Prediction(class_names[k] if class_names else f"class {k}", float(chances[k]), float(row[k]), int(k))
                        for k in best])
    return answers


def probabilities(logits: np.ndarray, output: str) -> np.ndarray:
    """(N, outputs) logits → (N, outputs) probabilities in float64, by the table above; a single sigmoid output stays one.

    Errors: those of `top`.
    """
    logits = class_scores(logits, output)
    if output == "softmax":
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)
    smaller = np.exp(-np.abs(logits))                     # at most 1, where exp(−z) itself could overflow
    return np.where(logits < 0, smaller, 1) / (1 + smaller)


def check_classifier(net: Architecture, source: str = ""):
    """UnsupportedError where the numbers of the network's last layer are not class scores (its output is "none")."""
    if net.output == "none":
        last = net.layers[-1].name
        raise UnsupportedError(f"{source or net.name} holds features without a classifier, so it cannot name what it sees; "
                               f"take them with features(pictures, ['{last}']), or load a network with a classifier")


def class_scores(logits, output):
    """The logits in float64, checked."""
    check_choice("output", output, OUTPUTS)
    if output == "none":
        raise UnsupportedError("the network's output is 'none': its numbers are not class scores and have no probabilities; "
                               "use features(…), or a network whose output is softmax or sigmoid")
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.dtype.kind != "f" or not logits.shape[1]:
        raise ShapeError(f"logits are {logits.dtype} of shape {logits.shape}; give floats of shape (N, outputs)")
    if (output, logits.shape[1]) == ("softmax", 1):
        raise ShapeError("a soft-max over one output is always 1; give output='sigmoid', for two classes")
    if not np.isfinite(logits).all():
        raise BadFileError("the network answered with NaN or infinity; check its weights with `npvgg verify FILE`, "
                           "and the values of the picture")
    return logits.astype(np.float64)


@cache
def imagenet() -> tuple[str, ...]:
    """The 1000 ImageNet class names under torchvision's short spelling, in the order of the logits."""
    return tuple(files("npvgg").joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8").splitlines())
