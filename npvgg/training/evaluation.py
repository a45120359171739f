"""How often a network is right."""
from dataclasses import dataclass

import numpy as np

from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.training import losses
from npvgg.training.feeding import in_parts
from npvgg.training.pictures import Pictures

BATCH = 64              # pictures computed together


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network answered to a data set.

    `top1` and `top5` are shares of the pictures whose class is the most probable one, or among the five; with several labels
    `top1` is the share of the labels that are on the right side of ½, and `top5` is None, as it is for fewer than six classes.
    """

    loss: float                       # mean over the pictures, without smoothing
    top1: float
    top5: float | None
    logits: np.ndarray                # (N, classes)
    targets: np.ndarray


def evaluate(vgg: VGG, pictures: Pictures, *, mirror: bool = False, batch: int = BATCH, workers: int = 1) -> Evaluation:
    """A network on a data set, prepared as its preset says; with `mirror` the mean of the logits of each and its mirror image.

    UsageError where the numbers of classes differ.
    """
    if vgg.architecture.num_classes != len(pictures.class_names):
        raise UsageError(f"the network has {vgg.architecture.num_classes} classes and the data {len(pictures.class_names)}; "
                         "give pictures of the same classes")
    logits = []
    for x, _ in in_parts(pictures.in_mode(vgg.preset.mode), vgg.preset, batch, workers):
        x = x.astype(vgg.dtype, copy=False)
        answer = vgg.forward(x)
        if mirror:
            answer = (answer + vgg.forward(np.ascontiguousarray(x[:, :, :, ::-1]))) / 2
        logits.append(answer)
    return judged(np.concatenate(logits), pictures.targets)


def judged(logits: np.ndarray, targets: np.ndarray) -> Evaluation:
    """(N, classes) logits and (N,) classes, or (N, labels) of 0 and 1 → Evaluation."""
    exact = logits.astype(np.float64)
    if targets.ndim == 2:
        loss, _ = losses.binary_cross_entropy(exact, targets.astype(np.float64))
        return Evaluation(loss, float(((exact > 0) == (targets > 0.5)).mean()), None, logits, targets)
    loss, _ = losses.cross_entropy(exact, targets)
    top5 = share_among(logits, targets, 5) if logits.shape[1] > 5 else None
    return Evaluation(loss, share_among(logits, targets, 1), top5, logits, targets)


def share_among(logits: np.ndarray, targets: np.ndarray, count: int) -> float:
    """The share of the rows whose class is among the `count` largest logits; of equal ones the first comes first."""
    return float((ranks(logits, targets) < count).mean())


def ranks(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, classes) and (N,) → (N,): how many classes stand before the right one."""
    own = logits[np.arange(len(targets)), targets][:, np.newaxis]
    before = (logits > own) | (logits == own) & (np.arange(logits.shape[1]) < targets[:, np.newaxis])
    return before.sum(axis=1)


def confusion(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N, classes) and (N,) → (classes, classes): how often class i was taken for class j."""
    table = np.zeros((logits.shape[1],) * 2, np.int64)
    np.add.at(table, (targets, logits.argmax(axis=1)), 1)
    return table


def hits(logits: np.ndarray, targets: np.ndarray, is_multi_label: bool = False) -> float:
    """How many pictures of a batch were answered rightly; mixed ones by their larger label, of several labels their share."""
    if is_multi_label:
        return float(((logits > 0) == (targets > 0.5)).mean(axis=1).sum())
    if targets.ndim == 1:
        return float((logits.argmax(axis=1) == targets).sum())
    return float((logits.argmax(axis=1) == targets.argmax(axis=1)).sum())
