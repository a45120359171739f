"""Gradients no longer than so much, and gradients of several batches as one."""
import math
from collections.abc import Mapping

import numpy as np

from npvgg.training import updates

EPS = 1e-6


def global_norm(gradients: Mapping[str, np.ndarray]) -> float:
    """√ Σ g² over every element of every gradient, summed in float64."""
    return math.sqrt(math.fsum(updates.sum_of_squares(gradient) for gradient in gradients.values()))


def scale_for(norm: float, most: float | None) -> float:
    """What to multiply gradients of this global norm with so that it is at most `most`; 1 for None.

        min(1, most / (norm + 10⁻⁶))            as torch.nn.utils.clip_grad_norm_
    """
    return 1.0 if most is None else min(1.0, most / (norm + EPS))


def add(total: dict[str, np.ndarray] | None, gradients: Mapping[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """total + share·gradients, in place where there is a total: the gradient of several batches' mean loss."""
    if total is None:
        return {path: gradient * gradient.dtype.type(share) for path, gradient in gradients.items()}
    for path, gradient in gradients.items():
        total[path] += gradient * gradient.dtype.type(share)
    return total
