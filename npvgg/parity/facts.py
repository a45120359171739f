"""Where no mistake fits: what is known about a gap, in numbers.

    where      which pictures, channels and pixels
    how much   the gain and the offset that explain most of it, and how much that is
"""
import numpy as np

from npvgg.parity.catalogue.estimates import fitted
from npvgg.text import counted

LISTED = 6
CLOSE = 1e-3                              # what a gain and an offset may leave, of the rms of what varies


def facts(y: np.ndarray, right: np.ndarray, allowed: np.ndarray | float, ours: str, theirs: str) -> list[str]:
    """Two float64 arrays and the gap that rounding allows → sentences; `ours` and `theirs` name the arrays."""
    if y.shape != right.shape:
        return [f"{ours} has shape {sizes(y.shape)}, {theirs} {sizes(right.shape)}"]
    with np.errstate(all="ignore"):
        off = ~((np.abs(y - right) <= allowed) | (y == right) | (np.isnan(y) & np.isnan(right)))
    if not off.any():
        return []
    return [*not_numbers(y, right, ours, theirs), *where(off), *how_much(y, right, ours, theirs)]


def not_numbers(y, right, ours, theirs):
    """NaN and infinities that stand alone."""
    for name, array, other in ((ours, y, right), (theirs, right, y)):
        odd = np.argwhere(~np.isfinite(array) & np.isfinite(other))
        if len(odd):
            yield f"{name} holds NaN or infinity at {counted(len(odd), 'place')}, first at {list(map(int, odd[0]))}"


def where(off: np.ndarray):
    """Which elements differ, from {picture, channel, row, column}: only what is not everywhere is said."""
    if off.sum() == 1:
        yield f"only one number differs, at {list(map(int, np.argwhere(off)[0]))}"
        return
    for axis, what in enumerate(("picture", "channel" if off.ndim == 4 else "output")[:off.ndim]):
        some = np.flatnonzero(off.any(axis=tuple(other for other in range(off.ndim) if other != axis)))
        if len(some) < off.shape[axis]:
            listed = ", ".join(map(str, some[:LISTED])) + (", …" if len(some) > LISTED else "")
            yield f"only {len(some)} of {counted(off.shape[axis], what)} {'differs' if len(some) == 1 else 'differ'}, " \
                  f"counted from 0: {listed}"
    if off.ndim == 4 and min(off.shape[2:]) > 2:
        pixels = off.any(axis=(0, 1))
        if not pixels[1:-1, 1:-1].any():
            sides = [name for name, line in (("top", pixels[0]), ("bottom", pixels[-1]), ("left", pixels[:, 0]),
                                             ("right", pixels[:, -1])) if line[1:-1].any()]
            yield f"only the border of the maps differs ({', '.join(sides)}): another padding"
        else:
            for axis, what in ((1, "row"), (0, "column")):
                lines = np.flatnonzero(pixels.any(axis=axis))
                count = pixels.shape[1 - axis]
                if lines[-1] - lines[0] + 1 < count:
                    yield f"only {what}s {lines[0]} to {lines[-1]} of {count} differ"


def how_much(y, right, ours, theirs):
    """The gain and offset of each channel or of all, where they explain the gap or most of it."""
    error = rms(y - right)
    if not np.isfinite(error) or not error:
        return
    if rms(right):
        yield f"the rms of the gap is {error / rms(right):.2g} of that of the values"
    if y.ndim == 4 and y[:, 0].size >= 16:
        gain, offset = fitted(y, right)
        shape = (1, -1, 1, 1)
        left = rms(y - gain.reshape(shape) * right - offset.reshape(shape)) if np.isfinite(gain).all() else np.inf
        varies = rms(y - y.mean(axis=(0, 2, 3), keepdims=True))
        if left <= CLOSE * varies and left < 0.5 * error:
            steady = np.abs(gain - 1).max() <= CLOSE
            what = "" if steady else f" times {some(gain)}"
            yield f"each channel of {ours} is that of {theirs}{what} plus {some(offset)}, but for {left / error:.2g} of the gap"
            return
    with np.errstate(all="ignore"):
        gain = float((y * right).sum() / (right * right).sum())
    left = rms(y - gain * right)
    if np.isfinite(left) and left < 0.5 * error:
        yield f"{ours} is {theirs} times {gain:.6g}, but for {left / error:.2g} of the gap"


def rms(values: np.ndarray) -> float:
    """√ of the mean square."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def some(values: np.ndarray) -> str:
    """The first three values as text."""
    return ", ".join(f"{value:.4g}" for value in values[:3]) + (", …" if len(values) > 3 else "")


def sizes(shape: tuple) -> str:
    """(64, 224, 224) → "64×224×224"."""
    return "×".join(map(str, shape)) or "scalar"
