"""A layer that is wrong in one run → the mistakes of the catalogue that reproduce it, or what is known in numbers.

A mistake is named only where the layer, computed with it from the run's own input, is what the run holds within rounding.
"""
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import ShapeError
from npvgg.parity.catalogue import MISTAKES, Case, Mistake
from npvgg.parity.exact import Rounded, excess
from npvgg.parity.facts import facts, rms
from npvgg.parity.own_error import OwnError
from npvgg.parity.profile import Profile, profile
from npvgg.parity.stages import OUTPUT, computed, parameters_of

SMALL = 3_000_000                         # numbers of an input up to which mistakes are tried on the whole batch
NORMS = ("batchnorm2d", "batchnorm1d")


@dataclass(frozen=True)
class Cause:
    """A mistake that was tried and reproduces what a run holds."""

    name: str                             # as a sentence: "A is conv2_1 without its bias"
    layer: str
    run: str | None                       # "A" or "B"; None where either may have made it
    evidence: str
    explained: float                      # share of the gap, 1 for all of it
    residual: float                       # what is left, in what rounding explains: at most 1
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One layer with an error of its own."""

    layer: str
    run: str | None                       # that is wrong: "A", "B"; None where either or both may be
    causes: tuple = ()                    # of Cause, by evidence
    facts: tuple = ()                     # sentences: numbers where no cause is known, and what cannot be told from the cause
    profile: Profile | None = None        # of the gap


class Fit(NamedTuple):
    """A mistake that reproduces a run, and what it gives."""

    mistake: Mistake
    value: np.ndarray
    cause: Cause


def diagnosed(which: str, own: OwnError, run: Mapping, net: Architecture, parameters: Mapping, units: Mapping) -> tuple:
    """One wrong layer of run "A" or "B" → (Finding, how many layers behind it are off as a consequence)."""
    stage, unit = own.stage, max(units[own.stage.source], units[own.stage.name])
    pictures = slice(None)
    y = np.asarray(run[stage.name], np.float64)
    try:
        right = computed(stage.layers, Rounded.of(run[stage.source]), parameters, unit)
    except ShapeError as refusal:
        return Finding(stage.name, which, (), (str(refusal),)), 0
    if run[stage.source].size > SMALL and not any(layer.op in NORMS for layer in stage.layers) and y.shape == right.value.shape:
        with np.errstate(all="ignore"):
            worst = int(np.nanargmax(np.abs(y - right.value).reshape(len(y), -1).max(axis=1)))
        pictures = slice(worst, worst + 1)
    fits, nearest = [], (0.0, "")
    for case in cases(own, run, net, parameters, unit, pictures):
        for mistake in MISTAKES:
            is_known = any(not fit.mistake.is_estimated for fit in fits)
            if case.layer.op not in mistake.operations or mistake.is_estimated and is_known:
                continue
            for answer, fields in tried(mistake, case):
                residual, explained = compared(case, answer, right.value)
                name = "the output" if case.layer is OUTPUT else case.layer.name
                said = f"{which} is {name} {mistake.name.format(**fields)}"
                if residual <= 1 and (pictures == slice(None) or holds(mistake, fields, case)):
                    if not any(np.array_equal(answer.value, fit.value, equal_nan=True) for fit in fits):
                        fits.append(Fit(mistake, answer.value, Cause(
                            said, case.layer.name, which, evidence(explained, residual), explained, residual,
                            mistake.remedy.format(**fields))))
                    break
                if explained > max(0.5, nearest[0]):
                    nearest = explained, said
    fits.sort(key=lambda fit: MISTAKES.index(fit.mistake))
    causes = tuple(fit.cause for fit in fits[:1])
    sentences = [f"not to be told from this: {fit.cause.name}" for fit in fits[1:] if not fit.mistake.is_estimated]
    if not causes:
        sentences += facts(y, right.value, right.bound, f"{which}'s {stage.name}", "what npvgg computes")
    if nearest[1] and not causes:
        sentences.append(f"the closest of the mistakes that were tried, {nearest[1]}, explains {nearest[0]:.1%} of the gap")
    covers = fits[0].mistake.covers if fits else 0
    return Finding(stage.name, which, causes, tuple(sentences), profile(y, right.value)), covers


def cases(own: OwnError, run: Mapping, net: Architecture, parameters: Mapping, unit: float, pictures: slice):
    """Each layer of a stage → what the mistakes are tried on."""
    stage, x = own.stage, Rounded.of(run[own.stage.source][pictures])
    maps = next((run[name].shape[1:] for name in reversed(before(net, stage, run)) if run[name].ndim == 4), None)
    for place, layer in enumerate(stage.layers):
        arrays = parameters_of(layer, parameters)
        if x.value.ndim == 4:
            maps = x.value.shape[1:]
        kinds = (kind for kind, _ in layer.shapes)
        yield Case(layer, x, dict(zip(kinds, arrays)), unit, stage, stage.layers[place + 1:], run, net.layers, parameters, maps,
                   pictures)
        x = computed((layer,), x, parameters, unit)


def before(net: Architecture, stage, run: Mapping) -> list:
    """The layers that a run holds up to where a stage begins."""
    order = ["input", *(layer.name for layer in net.layers)]
    return [name for name in order[:order.index(stage.source) + 1] if name in run]


def tried(mistake: Mistake, case: Case):
    """What the stage would give with a mistake; nothing where it cannot be made here."""
    try:
        for answer, fields in mistake.answers(case):
            finished = case.finished(answer)
            if finished is not None:
                yield finished, fields
    except (ShapeError, ValueError, IndexError, np.linalg.LinAlgError):      # it does not fit these shapes
        return


def compared(case: Case, answer: Rounded, right: np.ndarray) -> tuple[float, float]:
    """What a mistake leaves, in what rounding explains, and which share of the gap it explains."""
    y = case.y
    if answer.value.shape != y.shape:
        return np.inf, 0.0
    residual, right = excess(y, answer), right[case.pictures]
    if right.shape != y.shape:
        return residual, 1.0 if residual <= 1 else 0.0
    gap = rms(y - right)
    left = rms(y - answer.value)
    return residual, 1 - left / gap if np.isfinite(gap) and np.isfinite(left) and gap else float(residual <= 1)


def holds(mistake: Mistake, fields: dict, case: Case) -> bool:
    """Whether a mistake that reproduces one picture reproduces all."""
    whole = replace(case, pictures=slice(None), x=computed(
        case.stage.layers[:case.stage.layers.index(case.layer)], Rounded.of(case.run[case.stage.source]), case.parameters,
        case.unit))
    return any(excess(whole.y, answer) <= 1 for answer, others in tried(mistake, whole) if others.keys() == fields.keys())


def evidence(explained: float, residual: float) -> str:
    """The numbers that support a cause, as a sentence."""
    share = f"all but {1 - explained:.1g}" if explained < 1 - 1e-15 else "all"
    return f"accounts for {share} of the gap; what is left is {residual:.2g} of what rounding explains"
