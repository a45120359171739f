"""A layer that is wrong in one run → the mistakes of the catalogue that reproduce it, or what is known in numbers.

A mistake is named only where the layer, computed with it from the run's own input, is what the run holds within rounding.
"""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import ShapeError
from npvgg.parity.catalogue import MISTAKES, Case, Mistake
from npvgg.parity.catalogue.damage import undetermined
from npvgg.parity.exact import Rounded, excess
from npvgg.parity.facts import facts, rms
from npvgg.parity.own_error import OwnError
from npvgg.parity.profile import Profile, profile
from npvgg.parity.stages import OUTPUT, computed, parameters_of

SMALL = 300_000                           # numbers of a layer up to which mistakes are tried on all of it at once
OUTPUTS, WINDOW = 8, 32                   # else on so many outputs first, and pixels in each direction


@dataclass(frozen=True)
class Cause:
    """A mistake that was tried and reproduces what a run holds."""

    name: str                             # as a sentence: "A is conv2_1 without its bias"
    mistake: str                          # "without its bias": what layers that make the same mistake have in common
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


def diagnosed(which: str, own: OwnError, run: Mapping, net: Architecture, parameters: Mapping, units: Mapping) -> tuple:
    """One wrong layer of run "A" or "B" → (Finding, how many layers behind it are off as a consequence)."""
    stage, unit = own.stage, max(units[own.stage.source], units[own.stage.name])
    y = np.asarray(run[stage.name], np.float64)
    try:
        right = computed(stage.layers, Rounded.of(run[stage.source]), parameters, unit)
    except ShapeError as refusal:
        return Finding(stage.name, which, (), (str(refusal),)), 0
    whole = list(cases(own, run, net, parameters, unit))
    small = {case.layer.name: closer(case, right) for case in whole}
    nearest = 0.0, ""
    for mistake in MISTAKES:
        for case in whole:
            if case.layer.op not in mistake.operations:
                continue
            first = small[case.layer.name] if mistake.is_local else case
            for answer, fields in tried(mistake, first):
                found = excess(first.y, answer)
                if found <= 1 and first is not case:
                    answer, fields = next(((full, others) for full, others in tried(mistake, case) if excess(y, full) <= 1),
                                          (answer, None))
                if found <= 1 and fields is not None:
                    cause = named(which, mistake, fields, case, answer, right)
                    return Finding(stage.name, which, (cause,), (), profile(y, right.value)), mistake.covers
                share = explained(first.y, answer.value, right.value[first.looked_at] if y.shape == right.value.shape else None)
                if fields is not None and share > max(0.5, nearest[0]):
                    nearest = share, mistake.name.format(**fields)
    sentences = facts(y, right.value, right.bound, f"{which}'s {stage.name}", "what npvgg computes")
    sentences += filter(None, map(undetermined, whole))
    if nearest[1]:
        sentences.append(f"the closest of the mistakes that were tried, {nearest[1]}, explains {nearest[0]:.1%} of the gap")
    return Finding(stage.name, which, (), tuple(sentences), profile(y, right.value)), 0


def named(which: str, mistake: Mistake, fields: dict, case: Case, answer: Rounded, right: Rounded) -> Cause:
    """A mistake that reproduces a run → Cause."""
    name = "the output" if case.layer is OUTPUT else case.layer.name
    residual, share = excess(case.y, answer), explained(case.y, answer.value, right.value)
    rest = f"all but {1 - share:.1g}" if share < 1 - 1e-15 else "all"
    said = mistake.name.format(**fields)
    return Cause(f"{which} is {name} {said}", said, case.layer.name, which,
                 f"accounts for {rest} of the gap; what is left is {residual:.2g} of what rounding explains", share, residual,
                 mistake.remedy.format(**fields))


def explained(y: np.ndarray, answer: np.ndarray, right: np.ndarray | None) -> float:
    """Which share of the gap between what a run holds and what is right a mistake explains, by rms."""
    if answer.shape != y.shape:
        return 0.0
    if right is None or right.shape != y.shape:
        return float(np.array_equal(y, answer))
    gap, left = rms(y - right), rms(y - answer)
    return 1 - left / gap if np.isfinite(gap) and np.isfinite(left) and gap else 0.0


def cases(own: OwnError, run: Mapping, net: Architecture, parameters: Mapping, unit: float) -> Iterator[Case]:
    """Each layer of a stage → what the mistakes are tried on."""
    stage, x = own.stage, Rounded.of(run[own.stage.source])
    maps = next((run[name].shape[1:] for name in reversed(before(net, stage, run)) if run[name].ndim == 4), None)
    for place, layer in enumerate(stage.layers):
        arrays = parameters_of(layer, parameters)
        if x.value.ndim == 4:
            maps = x.value.shape[1:]
        kinds = (kind for kind, _ in layer.shapes)
        yield Case(layer, x, dict(zip(kinds, arrays)), unit, stage, stage.layers[place + 1:], run, net.layers, parameters, maps)
        x = computed((layer,), x, parameters, unit)


def closer(case: Case, right: Rounded) -> Case:
    """The same layer at the worst picture, its worst outputs and the pixels around the worst one; itself where it is small."""
    y = case.y
    is_small = case.x.value.size + sum(array.size for array in case.own.values()) < SMALL
    if (is_small or case.layer.op not in ("conv2d", "dense") or y.shape != right.value.shape
            or any(layer.op not in ("relu", "dropout") for layer in case.following)):
        return case
    with np.errstate(all="ignore"):
        error = np.nan_to_num(np.abs(y - right.value) / right.bound, nan=np.inf)
    n = int(error.reshape(len(error), -1).max(axis=1).argmax())
    outputs = np.argsort(-error[n].reshape(error.shape[1], -1).max(axis=1))[:OUTPUTS]
    own = {kind: array[outputs].astype(np.float64) for kind, array in case.own.items()}
    picture, x, border = slice(n, n + 1), case.x.map(lambda array: array[n:n + 1]), 0
    places: tuple = ()
    if case.layer.op == "conv2d":
        reach, border = case.weight.shape[2] - 1, case.options["padding"]
        if min(y.shape[2:]) >= WINDOW + 2 * border:
            at = np.unravel_index(error[n].max(axis=0).argmax(), y.shape[2:])
            start = [int(np.clip(place - WINDOW // 2, border, side - border - WINDOW)) for place, side in zip(at, y.shape[2:])]
            places = tuple(slice(place, place + WINDOW) for place in start)
            i, j = (slice(place - border, place - border + WINDOW + reach) for place in start)
            x = x.map(lambda array: array[:, :, i, j])
        else:
            border = 0
    return replace(case, x=x, own=own, looked_at=(picture, outputs, *places), border=border, whole_weight=case.weight)


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
