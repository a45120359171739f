"""A layer that is wrong in one run → the mistakes of the catalogue that reproduce it, or what is known in numbers.

A mistake is named only where the layer, computed with it from the run's own input, is what the run holds within rounding.
"""
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

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
OUTPUTS, WINDOW = 4, 8                   # else on so many outputs first, and pixels in each direction


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
    both = [(case, closer(case, right)) for case in whole]
    tries = itertools.chain(singles(MISTAKES[:-1], both), pairs(both), singles(MISTAKES[-1:], both))
    nearest, share = "", 0.5
    for case, seen, answer, name, remedy, covers in tries:
        if excess(seen.y, answer) <= 1:
            residual, part = excess(y, answer), explained(y, answer.value, right.value)
            rest = f"all but {1 - part:.1g}" if part < 1 - 1e-15 else "all"
            layer = "the output" if case.layer is OUTPUT else case.layer.name
            cause = Cause(f"{which} is {layer} {name}", name, case.layer.name, which,
                          f"accounts for {rest} of the gap; what is left is {residual:.2g} of what rounding explains", part,
                          residual, remedy)
            return Finding(stage.name, which, (cause,), (), profile(y, right.value)), covers
        part = explained(seen.y, answer.value, right.value[seen.looked_at] if y.shape == right.value.shape else None)
        if part > share:
            nearest, share = name, part
    sentences = facts(y, right.value, right.bound, f"{which}'s {stage.name}", "what npvgg computes")
    sentences += filter(None, map(undetermined, whole))
    if nearest:
        sentences.append(f"the closest of the mistakes that were tried, {nearest}, explains {share:.1%} of the gap")
    return Finding(stage.name, which, (), tuple(sentences), profile(y, right.value)), 0


class Try(NamedTuple):
    """One mistake tried on one layer."""

    case: Case
    seen: Case                            # what was looked at: the case, or a part of it where the mistake does not fit that
    answer: Rounded                       # what the stage gives there
    name: str
    remedy: str
    covers: int


def singles(mistakes: Iterable[Mistake], both: list) -> Iterator[Try]:
    """Each mistake on each (layer, part of it): on the part first, on the whole where it fits there."""
    for mistake, (case, small) in itertools.product(mistakes, both):
        if case.layer.op in mistake.operations:
            seen = small if mistake.is_local else case
            for answer, fields in tried(mistake, seen):
                if seen is not case and excess(seen.y, answer) <= 1:
                    yield from (tried_on(case, case, *full, mistake) for full in tried(mistake, case))
                else:
                    yield tried_on(case, seen, answer, fields, mistake)


def tried_on(case: Case, seen: Case, answer: Rounded, fields: dict, mistake: Mistake) -> Try:
    """What a mistake gives, with what was found out in its words."""
    return Try(case, seen, answer, mistake.name.format(**fields), mistake.remedy.format(**fields), mistake.covers)


def pairs(both: list) -> Iterator[Try]:
    """Two mistakes in one layer, one of them in its parameters only."""
    for case, small in both:
        usual = [mistake for mistake in MISTAKES if case.layer.op in mistake.operations and not mistake.is_estimated and (
            mistake.is_local or small is case)]
        for one in usual:
            if one.alters is None or (altered := one.alters(small)) is None:
                continue
            others = [replace(other, name=f"{one.name} and {other.name}", remedy=f"{one.remedy}; {other.remedy}")
                      for other in usual if other is not one]
            full = case if small is case else replace(case, own=case.own | one.alters(case))
            changed = replace(small, own=small.own | altered)
            yield from singles(others, [(changed if small is case else full, changed)])


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
