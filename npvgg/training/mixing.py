"""Batches mixed with themselves: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

The partner of picture n is n − 1, and of the first the last.  λ ~ Beta(α, α) is drawn once a batch:

    mixup     x ← λx + (1 − λ)x′                             targets likewise
    CutMix    a square of area 1 − λ comes from x′            λ := 1 − the area that lies inside the picture

Targets become probabilities; what the training accuracy then counts is the larger label.
"""
import math

import numpy as np

from npvgg.training import draws
from npvgg.training.augmentation import Augmentation


def mixed(x: np.ndarray, targets: np.ndarray, augmentation: Augmentation, classes: int, seed: int, epoch: int, batch: int
          ) -> tuple[np.ndarray, np.ndarray]:
    """(N, C, H, W) and (N,) or (N, labels) → the same mixed, targets (N, classes) where they are mixed; x may change."""
    alphas = [alpha for alpha in (augmentation.mixup, augmentation.cutmix) if alpha]
    rng = draws.generator(seed, "mixing", epoch, batch)
    if not alphas or rng.random() >= augmentation.mixing:
        return x, targets
    is_cut = bool(augmentation.cutmix) and (not augmentation.mixup or rng.random() < 0.5)
    share = rng.beta(augmentation.cutmix, augmentation.cutmix) if is_cut else rng.beta(augmentation.mixup, augmentation.mixup)
    partner = np.roll(x, 1, axis=0)
    if is_cut:
        share = cut(x, partner, share, rng.random(2))
    else:
        x *= x.dtype.type(share)
        x += partner * x.dtype.type(1 - share)
    rows = targets if targets.ndim == 2 else one_hot(targets, classes, x.dtype)
    return x, (share * rows + (1 - share) * np.roll(rows, 1, axis=0)).astype(x.dtype)


def cut(x, partner, share, u):
    """Put the same square of each partner into x → the share of the area that stays."""
    height, width = x.shape[2:]
    (top, bottom), (left, right) = (sides(length, u[axis], share) for axis, length in enumerate((height, width)))
    x[:, :, top:bottom, left:right] = partner[:, :, top:bottom, left:right]
    return 1 - (bottom - top) * (right - left) / (height * width)


def sides(length, u, share):
    """Where a side of √(1 − share) of the length begins and ends around a place that was drawn, cut at the border."""
    middle, half = math.floor(u * length), int(0.5 * math.sqrt(1 - share) * length)
    return max(middle - half, 0), min(middle + half, length)


def one_hot(targets: np.ndarray, classes: int, dtype: np.dtype) -> np.ndarray:
    """(N,) class numbers → (N, classes) of 0 and 1."""
    rows = np.zeros((len(targets), classes), dtype)
    rows[np.arange(len(targets)), targets] = 1
    return rows
