"""What may happen to every layer: left out, done twice, fed with another array, overwritten, stored in another arrangement."""
from contextlib import suppress

import numpy as np

from npvgg.errors import ShapeError
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.catalogue.rounding import rounded, step_of
from npvgg.parity.exact import OPERATIONS, Rounded
from npvgg.parity.stages import computed

ALL = tuple(OPERATIONS)
BACK = 4                                  # layers, in which another input is looked for

# (N, C, H, W) → what a run may hold instead.
ARRANGEMENTS = {
    "with its channels in reverse order": lambda y: y[:, ::-1],
    "mirrored left to right": lambda y: y[..., ::-1] if y.ndim == 4 else None,
    "upside down": lambda y: y[:, :, ::-1] if y.ndim == 4 else None,
    "turned by 180°": lambda y: y[:, :, ::-1, ::-1] if y.ndim == 4 else None,
    "with height and width exchanged": lambda y: y.swapaxes(2, 3) if y.ndim == 4 else None,
    "with its channels last": lambda y: np.moveaxis(y, 1, 3) if y.ndim == 4 else None,
    "with the pictures in reverse order": lambda y: y[::-1] if len(y) > 1 else None,
}


def overwritten(case: Case):
    """The array holds what the next layers made of it."""
    if case.following:
        return
    answer, said = case.again(), []
    for layer in case.layers[case.place + 1:case.place + 3]:
        answer = computed((layer,), answer, case.parameters, case.unit)
        if answer is None:
            return
        said.append(layer.name)
        if layer.op not in ("dropout", "flatten"):
            yield answer, {"later": said[-1]}


def from_elsewhere(case: Case):
    """Computed from another array of the run than the one before it."""
    names = list(case.run)
    at = names.index(case.stage.name)
    for name in reversed(names[max(0, at - BACK):at]):
        if name != case.stage.source and case.layer is case.stage.layers[0]:
            with suppress(ShapeError):
                answer = computed((case.layer,), Rounded.of(case.run[name][case.pictures]), case.parameters, case.unit)
                if answer is not None:
                    yield answer, {"other": name, "source": case.stage.source}


def arranged(case: Case):
    """The right values in another arrangement."""
    answer = case.again()
    for said, change in ARRANGEMENTS.items():
        if change(answer.value) is not None:
            yield answer.map(change), {"arrangement": said}


def stored_short(case: Case):
    """What a layer gives, rounded to 16 bits."""
    answer = case.again()
    for name in ("bfloat16", "float16"):
        if np.array_equal(rounded(case.y, name), case.y, equal_nan=True):
            yield Rounded(rounded(answer.value, name), answer.bound + step_of(answer.value, name)), {"format": name}


def in_other_order(case: Case):
    """Each channel of the run is one of the right ones: which?"""
    answer, y = case.again(), case.y
    if answer.value.shape != y.shape or case.following or y.shape[1] < 2 or y.ndim == 2 and len(y) < 2:
        return
    marks = [np.stack([np.mean(array, axis=axes), np.std(array, axis=axes)]) for array in (answer.value, y)
             for axes in [(0, *range(2, y.ndim))]]
    nearest = np.abs(marks[1][:, :, np.newaxis] - marks[0][:, np.newaxis]).sum(axis=0).argmin(axis=1)
    if len(set(nearest)) == len(nearest):
        moved = np.flatnonzero(nearest != np.arange(len(nearest)))
        if len(moved):
            said = ", ".join(f"{place} is {nearest[place]}" for place in moved[:3]) + (", …" if len(moved) > 3 else "")
            yield answer.map(lambda y: y[:, nearest]), {"places": said}


ANY_LAYER = (
    Mistake("left out", ALL, lambda case: case.x, "put the layer back"),
    Mistake("overwritten by {later}, in place", ALL, overwritten,
            "copy each array when it is recorded, or use layers that do not work in place"),
    Mistake("computed from {other} instead of {source}", ALL, from_elsewhere, "give the layer the output of the one before it"),
    Mistake("{arrangement}", ALL, arranged, "bring the array to the order (N, C, H, W) of the network"),
    Mistake("rounded to {format} when it was stored", ALL, stored_short, "store float32, or say the dtype of the run"),
    Mistake("with its outputs in another order: {places}", ALL, in_other_order, "keep the order of the outputs",
            is_estimated=True),
)
