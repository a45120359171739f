"""The shape of a gap, small enough to be kept and drawn: by pixel, by channel, by size."""
from dataclasses import dataclass

import numpy as np

SIDE = 64                                 # pixels of a map at most
BINS = 48
DECADES = (-12, 2)                        # of |gap| ÷ largest value


@dataclass(frozen=True, eq=False)
class Profile:
    """What is left of two arrays of one shape."""

    pixels: np.ndarray | None             # (H, W): the rms over pictures and channels; None for vectors
    channels: np.ndarray                  # (C,): the rms over pictures and pixels
    histogram: np.ndarray                 # (BINS,): how many elements have a gap of each size, those below the first in it


@np.errstate(all="ignore")
def profile(y: np.ndarray, right: np.ndarray) -> Profile | None:
    """Two arrays (N, C, …) → Profile of their gap; None where the shapes differ."""
    if y.shape != right.shape or y.ndim < 2:
        return None
    gap = np.minimum(np.abs(y.astype(np.float64) - right), 1e150)     # whose squares do not overflow
    gap[np.isnan(gap) & np.isnan(y) & np.isnan(right)] = 0
    gap[np.isnan(gap)] = np.max(gap[np.isfinite(gap)], initial=0) or 1.0
    pixels = np.sqrt((gap**2).mean(axis=(0, 1))) if gap.ndim == 4 else None
    while pixels is not None and max(pixels.shape) > SIDE:
        pixels = halved(pixels)
    scale = np.max(np.abs(right[np.isfinite(right)]), initial=0) or 1.0
    places = np.linspace(*DECADES, BINS + 1)
    sizes = np.log10(np.maximum(gap.ravel() / scale, 10.0 ** places[0]))
    return Profile(pixels, np.sqrt((gap**2).mean(axis=(0, *range(2, gap.ndim)))),
                   np.histogram(np.minimum(sizes, places[-1]), places)[0])


def halved(pixels: np.ndarray) -> np.ndarray:
    """(H, W) → (⌈H/2⌉, ⌈W/2⌉): the largest of each square of four."""
    height, width = (side + side % 2 for side in pixels.shape)
    padded = np.zeros((height, width))
    padded[:pixels.shape[0], :pixels.shape[1]] = pixels
    return padded.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))
