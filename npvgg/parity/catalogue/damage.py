"""Weights that the wrong run itself tells: one damaged number, another bias, other filters.

A run gives equations, y = Σ w·x + b at every pixel, and what solves them is named only where there are more equations than
unknowns, so that it need not fit.
"""
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npvgg.parity.catalogue.estimates import snapped
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.text import listed

PRODUCTS = ("conv2d", "dense")
SPARE = 1.25                              # equations for each unknown
MOST_EQUATIONS = 4000                     # beyond four for each unknown
FEW = 4                                   # outputs in which a single number is looked for
CHECKSUM = "load the file again and compare its digest: npvgg verify --thorough"


def seen_error(case: Case):
    """What the run holds less what is right, (outputs, equations), and where both are visible; None where that is hidden."""
    answer, seen = case.again(), case.visible
    if seen is None or answer.value.shape != case.y.shape:
        return None
    rows = [np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) for array in (case.y - answer.value, seen, answer.bound)]
    return rows if np.isfinite(rows[0]).all() else None


def columns(case: Case, places: np.ndarray) -> np.ndarray:
    """What the weights of one output meet at some equations: (inputs, places)."""
    x = case.x.value
    if case.layer.op == "dense":
        return x[places].T
    border, (kh, kw) = case.options["padding"], case.weight.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = sliding_window_view(padded, (kh, kw), axis=(2, 3))
    n, i, j = np.unravel_index(places, (len(x), *windows.shape[2:4]))
    return windows[n, :, i, j].reshape(len(places), -1).T


def some_equations(case: Case, total: int, unknowns: int) -> np.ndarray:
    """The places of all equations, or of enough, spread evenly."""
    most = 4 * unknowns + MOST_EQUATIONS
    return np.arange(total) if total <= most else np.unique(np.linspace(0, total - 1, most).astype(int))


def other_bias(case: Case):
    """The error of each output is one number everywhere."""
    found = seen_error(case)
    if found is None or case.bias is None or found[0].shape[1] < 2:
        return
    error, seen, bound = found
    count = seen.sum(axis=1)
    change = (error * seen).sum(axis=1) / np.maximum(count, 1)
    off = [o for o in range(len(change)) if count[o] and np.abs(change[o]) > bound[o].max()]
    if not off:
        return
    change = np.where(np.isin(np.arange(len(change)), off), change, 0)
    fields = {"count": len(off), "all": len(change), "at": off[0], "wrong": f"{case.bias[off[0]] + change[off[0]]:.6g}",
              "right": f"{case.bias[off[0]]:.6g}"}
    yield case.again(bias=case.bias + change), fields


def one_number(case: Case):
    """The error of an output is one input times a number."""
    found = seen_error(case)
    if found is None or found[0].shape[1] < 2:
        return
    error, seen, bound = found
    off = np.flatnonzero((np.abs(error) * seen > bound).any(axis=1))
    if not 0 < len(off) <= FEW:
        return
    weight, said = case.weight.copy(), []
    for o in off:
        places = np.flatnonzero(seen[o])
        met, rest = columns(case, places), error[o, places]
        energy = (met**2).sum(axis=1)
        with np.errstate(all="ignore"):
            change = np.where(energy > 0, met @ rest / energy, 0)
        left = np.abs(rest[np.newaxis] - change[:, np.newaxis] * met) <= 2 * bound[o, places]
        fits = np.flatnonzero(left.all(axis=1))
        if len(fits) != 1:
            return
        at = (o, *np.unravel_index(fits[0], weight.shape[1:]))
        right = weight[at]
        weight[at] += change[fits[0]]
        said.append((", ".join(map(str, at)), f"{weight[at]:.6g}", f"{right:.6g}"))
    yield case.again(weight=weight), {"places": "; ".join(f"[{at}] is {wrong} instead of {right}" for at, wrong, right in said)}


def times(case: Case):
    """All weights times a number, with the bias or without it."""
    answer, seen = case.again(), case.visible
    if seen is None or answer.value.shape != case.y.shape:
        return
    for kinds in (("weight",), ("weight", "bias")):
        still = case.again(**{kind: 0 * case.own[kind] for kind in kinds if kind in case.own}).value
        part, whole = (answer.value - still)[seen], (case.y - still)[seen]
        with np.errstate(all="ignore"):
            factor = float((part * whole).sum() / (part * part).sum())
        for value in snapped(factor):
            if value not in (0, 1):
                own = {kind: value * case.own[kind] for kind in kinds if kind in case.own}
                yield case.again(**own), {"what": " and ".join(own), "factor": f"{value:.6g}"}


def least_squares(met: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(inputs, equations) and (outputs, equations) → (inputs, outputs) that come closest, small where they are not determined.

    By normal equations, which are fast, and one step of refinement, which gives back the digits that they lose.
    """
    square = met @ met.T
    square[np.diag_indices_from(square)] += 1e-12 * np.trace(square) / len(square)
    found = np.linalg.solve(square, met @ wanted.T)
    return found + np.linalg.solve(square, met @ (wanted - found.T @ met).T)


def undetermined(case: Case) -> str:
    """A sentence where other weights would explain a run, as they could explain any: it gives too few equations."""
    if case.layer.op not in PRODUCTS or case.visible is None:
        return ""
    unknowns, equations = int(np.prod(case.weight.shape[1:])) + 1, case.y.size // len(case.weight)
    return (f"other weights of {case.layer.name} would explain it, as they would explain anything: {equations} equations for "
            f"{unknowns} unknowns" if equations < SPARE * unknowns and case.y.shape[1] == len(case.weight) else "")


def zero_outputs(case: Case):
    """Some outputs are the bias everywhere, or 0."""
    found = seen_error(case)
    if found is None or case.following:
        return
    y = np.moveaxis(case.y, 1, 0).reshape(len(case.weight), -1)
    bias = np.zeros(len(y)) if case.bias is None else case.bias
    for added, what in ((bias, "weights"), (0 * bias, "weights and bias")):
        dead = (np.abs(y - added[:, np.newaxis]) <= found[2]).all(axis=1) & case.weight.reshape(len(y), -1).any(axis=1)
        if dead.any() and not dead.all():
            kept = ~dead.reshape(-1, *(1,) * (case.weight.ndim - 1))
            own = {} if case.bias is None else {"bias": np.where(dead, added, bias)}
            yield case.again(weight=case.weight * kept, **own), {"what": what, "places": listed(map(str, np.flatnonzero(dead)))}


def other_weights(case: Case):
    """Filters by least squares, where there are enough equations for it."""
    found = seen_error(case)
    if found is None:
        return
    error, seen, bound = found
    off = np.flatnonzero((np.abs(error) * seen > bound).any(axis=1))
    unknowns = int(np.prod(case.weight.shape[1:])) + 1
    weight, bias = case.weight.copy(), (np.zeros(len(case.weight)) if case.bias is None else case.bias.copy())
    same = seen.all()
    solved: np.ndarray | None = None
    for o in off:
        if solved is None or not same:
            places = some_equations(case, seen.shape[1], unknowns)
            places = places[seen[o, places]]
            if len(places) < SPARE * unknowns:
                return
            met = np.concatenate([columns(case, places), np.ones((1, len(places)))])
            solved = least_squares(met, error[off][:, places] if same else error[[o]][:, places])
        change = solved[:, list(off).index(o) if same else 0]
        weight[o] += change[:-1].reshape(weight[o].shape)
        bias[o] += change[-1]
    if len(off):
        moved = np.sqrt(np.mean((weight[off] - case.weight[off]) ** 2) / np.mean(case.weight[off] ** 2))
        yield (case.again(weight=weight, **({} if case.bias is None else {"bias": bias})),
               {"count": len(off), "all": len(weight), "moved": f"{moved:.2g}"})


DAMAGE = (
    Mistake("with the {what} of its output {places} zero", PRODUCTS, zero_outputs, CHECKSUM, is_estimated=True),
    Mistake("with one number of its weights changed: {places}", PRODUCTS, one_number, CHECKSUM, is_estimated=True),
    Mistake("with another bias, in {count} of {all} outputs: that of output {at} is {wrong} instead of {right}", PRODUCTS,
            other_bias, CHECKSUM, is_estimated=True),
    Mistake("with its {what} times {factor}", PRODUCTS, times, "load the weights as they are, unscaled", is_estimated=True),
    Mistake("with other weights in {count} of {all} outputs, which the run determines: they are {moved} of the network's away "
            "(rms), as those of an older checkpoint would be", PRODUCTS, other_weights, CHECKSUM, is_estimated=True),
)
