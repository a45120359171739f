"""The optimisers' steps, in place and in one pass over memory: `optimisers` has the formulas.

A step of VGG-16 reads and writes 138 million parameters, gradients and velocities.  NumPy would go through memory once for each
operation.  Each element is computed by itself, so the bits do not depend on the number of threads.
"""
import math

import numpy as np
from numba import prange

from npvgg.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial

SPAN = 16384            # elements a task
FEW = 65536             # elements that one thread has finished before others would have begun


def sgd(p: np.ndarray, g: np.ndarray, v: np.ndarray, scale: float, rate: float, momentum: float, keep: float, decay: float,
        nesterov: bool, decoupled: bool, is_first: bool) -> None:
    """`optimisers.sgd` of p and v, in place; v is empty without momentum; the gradient counts `scale` times."""
    number = p.dtype.type
    shrink = number(1 - rate * decay if decoupled else 1)
    numbers = (number(scale), number(rate), number(momentum), number(keep), number(0 if decoupled else decay), shrink)
    run = every_sgd if p.size > FEW else some_sgd
    run(p.reshape(-1), g.reshape(-1), v.reshape(-1), *numbers, nesterov, is_first)


@parallel
def every_sgd(p, g, v, scale, rate, momentum, keep, decay, shrink, nesterov, is_first):
    """(elements,) each, SPAN of them a task."""
    for span in prange((p.size + SPAN - 1) // SPAN):
        low, high = span * SPAN, min(p.size, (span + 1) * SPAN)
        some_sgd(p[low:high], g[low:high], v[low:high], scale, rate, momentum, keep, decay, shrink, nesterov, is_first)


@serial
def some_sgd(p, g, v, scale, rate, momentum, keep, decay, shrink, nesterov, is_first):
    """(elements,) each, v empty without momentum."""
    if v.size == 0:
        for i in range(p.size):
            p[i] = p[i] * shrink - rate * (g[i] * scale + decay * p[i])
    elif is_first:
        for i in range(p.size):
            d = g[i] * scale + decay * p[i]
            v[i] = d
            if nesterov:
                d = d + momentum * d
            p[i] = p[i] * shrink - rate * d
    elif nesterov:
        for i in range(p.size):
            d = g[i] * scale + decay * p[i]
            v[i] = momentum * v[i] + keep * d
            p[i] = p[i] * shrink - rate * (d + momentum * v[i])
    else:
        for i in range(p.size):
            d = g[i] * scale + decay * p[i]
            v[i] = momentum * v[i] + keep * d
            p[i] = p[i] * shrink - rate * v[i]


def adamw(p: np.ndarray, g: np.ndarray, m: np.ndarray, s: np.ndarray, scale: float, shrink: float, decay: float,
          rate: float, root: float, gain: float, beta2: float, eps: float) -> None:
    """`optimisers.adamw` of p, m and s, in place.

    `rate` is divided by 1 − β₁ᵗ already, `root` is √(1 − β₂ᵗ), `gain` 1 − β₁, and `decay` Adam's, added to the gradient.
    """
    number = p.dtype.type
    numbers = tuple(map(number, (scale, shrink, decay, rate, root, gain, beta2, 1 - beta2, eps)))
    run = every_adamw if p.size > FEW else some_adamw
    run(p.reshape(-1), g.reshape(-1), m.reshape(-1), s.reshape(-1), *numbers)


@parallel
def every_adamw(p, g, m, s, scale, shrink, decay, rate, root, gain, beta2, rest, eps):
    """(elements,) each, SPAN of them a task."""
    for span in prange((p.size + SPAN - 1) // SPAN):
        low, high = span * SPAN, min(p.size, (span + 1) * SPAN)
        some_adamw(p[low:high], g[low:high], m[low:high], s[low:high], scale, shrink, decay, rate, root, gain, beta2, rest, eps)


@serial
def some_adamw(p, g, m, s, scale, shrink, decay, rate, root, gain, beta2, rest, eps):
    """(elements,) each."""
    for i in range(p.size):
        d = g[i] * scale + decay * p[i]
        m[i] = m[i] + gain * (d - m[i])
        s[i] = beta2 * s[i] + rest * d * d
        p[i] = p[i] * shrink - rate * (m[i] / (math.sqrt(s[i]) / root + eps))


def approach(a: np.ndarray, p: np.ndarray, share: float) -> None:
    """a ← a + share·(p − a), in place."""
    run = every_approach if a.size > FEW else some_approach
    run(a.reshape(-1), p.reshape(-1), a.dtype.type(share))


@parallel
def every_approach(a, p, share):
    """(elements,) each, SPAN of them a task."""
    for span in prange((a.size + SPAN - 1) // SPAN):
        low, high = span * SPAN, min(a.size, (span + 1) * SPAN)
        some_approach(a[low:high], p[low:high], share)


@serial
def some_approach(a, p, share):
    """(elements,) each."""
    for i in range(a.size):
        a[i] = a[i] + share * (p[i] - a[i])


def sum_of_squares(g: np.ndarray) -> float:
    """Σ g², in float64: each SPAN by itself, then these in order, whatever the number of threads."""
    parts = np.empty(ceil_div(g.size, SPAN))
    (every_sum if g.size > FEW else every_sum_alone)(g.reshape(-1), parts)
    return math.fsum(parts)


@parallel
def every_sum(g, parts):
    """(elements,) → parts (spans,), one a task."""
    for span in prange(parts.size):
        parts[span] = some_sum(g[span * SPAN:(span + 1) * SPAN])


@serial
def every_sum_alone(g, parts):
    """The same in one thread."""
    for span in range(parts.size):
        parts[span] = some_sum(g[span * SPAN:(span + 1) * SPAN])


@serial
def some_sum(g):
    """(elements,) → Σ g²."""
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * np.float64(g[i])
    return total
