"""Logits → labels with probabilities, best first."""
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from npvgg.errors import BadFileError, UsageError


class Prediction(NamedTuple):
    """One answer of the classifier."""

    label: str
    probability: float
    logit: float
    index: int                    # position among the classes, from 0


def top(logits, names=None, count=5):
    """(N, classes) → N lists of the `count` most probable classes, best first; equal logits by rising index.

        probability[k] = exp(logit[k] − max) / Σ_j exp(logit[j] − max)          in float64

    Raises BadFileError where a logit is NaN or infinite: such an answer has no order.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise UsageError(f"top is {count!r}; give a whole number of at least 1")
    if not np.isfinite(logits).all():
        raise BadFileError("the network answered with NaN or infinity; check its weights with `npvgg verify FILE`, "
                           "and the values of the picture")
    answers = []
    for row in logits.astype(np.float64):
        exponentials = np.exp(row - row.max())
        probabilities = exponentials / exponentials.sum()
        best = np.argsort(-row, kind="stable")[:count]
        answers.append([Prediction(names[k] if names else f"class {k}", float(probabilities[k]), float(row[k]), int(k))
                        for k in best])
    return answers


@cache
def imagenet():
    """The 1000 ImageNet class names under torchvision's short spelling, in the order of the logits."""
    return tuple(files("npvgg").joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8").splitlines())
