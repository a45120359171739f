"""Learning rates as functions of (step, total): factors of the base rate, with nothing to remember but a plateau's.

    step_decay    γ^⌊step / length⌋
    multi_step    γ^(milestones ≤ step)
    cosine        floor + (1 − floor)(1 + cos π·step/total)/2
    linear        start → end in a line
    triangle      low → 1 at the peak's place, → end
    one_cycle     1/25 → 1 → 1/250 000, and the momentum against it (Smith and Topin 2018)
    warm_up       what begins low and reaches the schedule behind it
    Plateau       falls where a measure has stopped getting better; its four numbers belong in the checkpoint

`step` counts from 0 and may be a batch's or an epoch's number; `total` is how many there are.
"""
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def constant(step: int, total: int) -> float:
    """1."""
    return 1.0


def step_decay(step: int, total: int, *, length: float, factor: float = 0.1) -> float:
    """factor^⌊step / length⌋ (torch's StepLR in closed form)."""
    return factor ** (step // length)


def multi_step(step: int, total: int, *, milestones: Sequence[float], factor: float = 0.1) -> float:
    """factor^(how many of the milestones are at most `step`); one that stands there twice counts twice, as in torch."""
    return factor ** sum(milestone <= step for milestone in milestones)


def cosine(step: int, total: int, *, floor: float = 0.0) -> float:
    """floor + (1 − floor)·(1 + cos π·step/total)/2; `floor` from `total` on, where torch's goes up again."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(step, total) / total)) / 2


def linear(step: int, total: int, *, start: float = 1.0, end: float = 0.0) -> float:
    """start + (end − start)·step/total, `end` from `total` on."""
    return start + (end - start) * (min(step, total) / total)


def triangle(step: int, total: int, *, peak: float = 0.23, low: float = 0.2, end: float = 0.07) -> float:
    """From `low` in a line to 1 at the share `peak` of the total, and in a line to `end`."""
    top = peak * total
    if step < top:
        return low + (1 - low) * step / top
    return 1 + (end - 1) * (min(step, total) - top) / max(total - top, 1e-9)


def one_cycle(step: int, total: int, *, peak: float = 0.3, divide: float = 25.0, divide_last: float = 1e4) -> float:
    """1/divide → 1 at step peak·total − 1 → 1/(divide·divide_last) at total − 1, along cosines (torch's OneCycleLR)."""
    return cycle(step, total, peak, (1 / divide, 1.0, 1 / (divide * divide_last)))


def one_cycle_momentum(step: int, total: int, *, peak: float = 0.3, low: float = 0.85, high: float = 0.95) -> float:
    """The momentum beside it: high → low where the rate is largest → high."""
    return cycle(step, total, peak, (high, low, high))


def cycle(step: int, total: int, peak: float, values: tuple[float, float, float]) -> float:
    """The first value, the second at step peak·total − 1, the third at total − 1, along half waves of a cosine."""
    ends = 0.0, float(peak * total) - 1, float(total - 1)
    phase = 0 if step <= ends[1] else 1
    length = ends[phase + 1] - ends[phase]
    share = min(1.0, (step - ends[phase]) / length) if length > 0 else 1.0
    return values[phase + 1] + (values[phase] - values[phase + 1]) / 2 * (math.cos(math.pi * share) + 1)


def warm_up(step: int, total: int, schedule: Callable[[int, int], float], *, length: int, start: float = 0.0,
            is_constant: bool = False) -> float:
    """`schedule` begun after `length` steps, which rise in a line from `start`, or stay there.

    The rise reaches schedule(0) at step `length`, as torchvision's SequentialLR.
    """
    if step < length:
        return start if is_constant else start + (1 - start) * step / length
    return schedule(step - length, max(1, total - length))


@dataclass
class Plateau:
    """The factor falls after more than `patience` epochs in which a loss has not become better (torch's ReduceLROnPlateau).

    Better is below best·(1 − threshold).  For `cooldown` epochs after a fall none counts as bad.
    """

    patience: int = 10
    fall: float = 0.1
    threshold: float = 1e-4
    cooldown: int = 0
    lowest: float = 0.0
    best: float = math.inf
    bad: int = 0
    cooling: int = 0
    factor: float = 1.0

    def observe(self, loss: float) -> float:
        """One epoch's loss → the factor from now on."""
        if loss < self.best * (1 - self.threshold if self.best >= 0 else 1 + self.threshold):
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self.factor = max(self.factor * self.fall, self.lowest)
            self.cooling, self.bad = self.cooldown, 0
        return self.factor

    def state(self) -> list[float | None]:
        """What a checkpoint has to keep: best loss (None before the first), bad epochs, cooling epochs, factor."""
        return [None if self.best == math.inf else self.best, self.bad, self.cooling, self.factor]

    def restore(self, state: Sequence[float | None]) -> None:
        """Go on from what `state` gave."""
        best, self.bad, self.cooling, self.factor = state
        self.best = math.inf if best is None else best


SCHEDULES = {"constant": constant, "step": step_decay, "multi-step": multi_step, "cosine": cosine, "linear": linear,
             "triangle": triangle, "one-cycle": one_cycle}
