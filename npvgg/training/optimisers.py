"""Optimisers: what becomes of a parameter, given its gradient.

    sgd, adamw        the formulas in NumPy, arrays → new arrays
    SGD, AdamW        the same for all parameters of a network, in place, in one pass over memory (`updates`)

The operations stand in PyTorch's order (torch.optim.SGD, AdamW), so that two runs differ by rounding only: there the learning
rate is outside of the momentum, and a first step takes the gradient itself for it.
"""
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npvgg.checks import check_choice, is_number
from npvgg.errors import UsageError
from npvgg.training import updates


def sgd(p: np.ndarray, g: np.ndarray, v: np.ndarray | None, *, rate: float, momentum: float = 0.9, dampening: float = 0.0,
        nesterov: bool = False, decay: float = 0.0, decoupled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A parameter, its gradient and its velocity (None: there is none yet) → the next parameter and velocity.

        g ← g + λp                        L2 decay; decoupled: p ← (1 − rate·λ)·p instead
        v ← μv + (1 − dampening)·g        the first: v ← g
        p ← p − rate·v                    Nesterov: p − rate·(g + μv)
    """
    if decoupled:
        p = p * (1 - rate * decay)
    elif decay:
        g = g + decay * p
    v = g if v is None else momentum * v + (1 - dampening) * g
    return p - rate * (g + momentum * v if nesterov else v), v


def adamw(p: np.ndarray, g: np.ndarray, m: np.ndarray, s: np.ndarray, *, step: int, rate: float, betas: tuple[float, float],
          eps: float = 1e-8, decay: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A parameter, its gradient and the running means of gradient and square, zeros at first → the next three.

        p ← (1 − rate·λ)·p
        m ← m + (1 − β₁)(g − m)           s ← β₂s + (1 − β₂)g²
        p ← p − rate/(1 − β₁ᵗ) · m / (√s/√(1 − β₂ᵗ) + ε)          t = step, from 1

    (Loshchilov and Hutter 2019, algorithm 2.)
    """
    p, m, s = p * (1 - rate * decay), m + (1 - betas[0]) * (g - m), betas[1] * s + (1 - betas[1]) * g * g
    return p - rate / (1 - betas[0]**step) * m / (np.sqrt(s) / math.sqrt(1 - betas[1]**step) + eps), m, s


@dataclass
class Optimiser:
    """What the two have in common: buffers by name, and for each parameter its share of rate and decay.

    `decay` is λ, `decay_of` {path: factor} with 0 for what does not decay, `rate_of` {path: factor}; what neither names has 1.
    `buffers` are {"momentum": {path: array}, …}, filled at the first step; `steps` counts the steps taken.
    """

    decay: float = 0.0
    decay_of: Mapping[str, float] = field(default_factory=dict)
    rate_of: Mapping[str, float] = field(default_factory=dict)
    buffers: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self):
        check_number("decay", self.decay, 0, math.inf)

    def step(self, parameters: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray], rate: float, *,
             momentum: float | None = None, scale: float = 1.0) -> None:
        """Change, in place, the parameters that there are gradients of; `scale` multiplies these, as clipping does.

        `momentum` takes the place of the optimiser's own, β₁ for AdamW, as a one-cycle schedule wants it.
        """
        self.steps += 1
        for path, gradient in gradients.items():
            self.change(path, parameters[path], gradient, rate * self.rate_of.get(path, 1.0),
                        self.decay * self.decay_of.get(path, 1.0), momentum, scale)

    def change(self, path: str, p: np.ndarray, g: np.ndarray, rate: float, decay: float, momentum: float | None,
               scale: float) -> None:
        """The step of one parameter."""
        raise NotImplementedError

    def buffer(self, kind: str, path: str, like: np.ndarray) -> np.ndarray:
        """The buffer of that kind, zeros where there was none."""
        kept = self.buffers.setdefault(kind, {})
        if path not in kept:
            kept[path] = np.zeros_like(like)
        return kept[path]


@dataclass
class SGD(Optimiser):
    """Stochastic gradient descent, see `sgd`.  UsageError for Nesterov without momentum or with dampening, as in PyTorch."""

    momentum: float = 0.9
    dampening: float = 0.0
    nesterov: bool = False
    decoupled: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_number("momentum", self.momentum, 0, 1)
        check_number("dampening", self.dampening, 0, 1)
        check_choice("nesterov", self.nesterov, (True, False))
        check_choice("decoupled", self.decoupled, (True, False))
        if self.nesterov and (not self.momentum or self.dampening):
            raise UsageError(f"nesterov was asked for with momentum {self.momentum} and dampening {self.dampening}; give a "
                             "momentum above 0 and no dampening")

    def change(self, path: str, p: np.ndarray, g: np.ndarray, rate: float, decay: float, momentum: float | None,
               scale: float) -> None:
        """One parameter, in place."""
        mu = self.momentum if momentum is None else momentum
        is_first = path not in self.buffers.get("momentum", {})
        v = self.buffer("momentum", path, p) if self.momentum else np.zeros(0, p.dtype)
        updates.sgd(p, g, v, scale, rate, mu, 1 - self.dampening, decay, self.nesterov, self.decoupled, is_first)


@dataclass
class AdamW(Optimiser):
    """Adam with decoupled decay, see `adamw`; without `decoupled` the decay is Adam's, λp added to the gradient."""

    decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_choice("decoupled", self.decoupled, (True, False))
        check_number("eps", self.eps, 0, 1)
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise UsageError(f"betas are {self.betas!r:.80}; give two numbers such as (0.9, 0.999)")
        self.betas = tuple(self.betas)
        for beta in self.betas:
            check_number("each of betas", beta, 0, 1)
            if beta == 1:
                raise UsageError("one of betas is 1, with which nothing is learned; give numbers below 1")

    def change(self, path: str, p: np.ndarray, g: np.ndarray, rate: float, decay: float, momentum: float | None,
               scale: float) -> None:
        """One parameter, in place."""
        beta1, beta2 = self.betas[0] if momentum is None else momentum, self.betas[1]
        updates.adamw(p, g, self.buffer("momentum", path, p), self.buffer("squares", path, p), scale,
                      1 - rate * decay if self.decoupled else 1.0, 0.0 if self.decoupled else decay,
                      rate / (1 - beta1**self.steps), math.sqrt(1 - beta2**self.steps), 1 - beta1, beta2, self.eps)


OPTIMISERS = {"sgd": SGD, "adamw": AdamW}


def optimiser(name: str, **settings: Any) -> Optimiser:
    """The optimiser called "sgd" or "adamw".  UsageError for another name or a setting that makes no sense."""
    check_choice("the optimiser", name, tuple(OPTIMISERS))
    return OPTIMISERS[name](**settings)


def check_number(what: str, value: float, low: float, high: float) -> None:
    """UsageError unless `value` is a number from `low` to `high`."""
    if not is_number(value) or not low <= value <= high:
        upper = "" if high == math.inf else f" and at most {high:g}"
        raise UsageError(f"{what} is {value!r:.80}; give a number of at least {low:g}{upper}")
