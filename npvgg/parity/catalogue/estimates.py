"""Numbers that are read off the wrong run: gains and offsets of channels, a slope, an ε."""
from collections.abc import Iterator

import numpy as np

from npvgg.parity.catalogue.mistake import Case

DIGITS = (1, 2, 3, 4, 6, 17)


def snapped(value: float, also: tuple = ()) -> Iterator[float]:
    """An estimate → the numbers that people would have written there, those with few digits first."""
    yield from dict.fromkeys([*also, *(float(f"{value:.{digits}g}") for digits in DIGITS)] if np.isfinite(value) else [])


def gains(case: Case) -> tuple | None:
    """y ≈ gain · x + offset in each channel, by least squares over what is visible → (C,), (C,); None where nothing is."""
    seen, y, x = case.visible, case.y, case.x.value
    return None if seen is None or y.shape != x.shape else fitted(y, x, seen)


@np.errstate(all="ignore")
def fitted(y: np.ndarray, x: np.ndarray, seen: np.ndarray | None = None) -> tuple:
    """(N, C, …) twice → (gain, offset), (C,) each: least squares in each channel over the elements that are `seen`."""
    a, b = (np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) for array in (y, x))
    weight = np.ones(a.shape) if seen is None else np.moveaxis(seen, 1, 0).reshape(a.shape).astype(float)
    weight = np.where(np.isfinite(a) & np.isfinite(b), weight, 0)
    a, b = np.where(weight > 0, a, 0), np.where(weight > 0, b, 0)
    total = weight.sum(axis=1)
    a_mean, b_mean = (weight * a).sum(axis=1) / total, (weight * b).sum(axis=1) / total
    a, b = a - a_mean[:, np.newaxis], b - b_mean[:, np.newaxis]
    gain = (weight * a * b).sum(axis=1) / (weight * b * b).sum(axis=1)
    return gain, a_mean - gain * b_mean
