"""An array as nine numbers that tell it from another: what a weights file records of a run.

    p[0] = √(Σ x[i]²)            p[j] = Σ s_j[i] · x[i],  s_j[i] = ±1 at random from PCG64(seed),  j = 1 … 8

Where sums are taken in another order, p differs by rounding, and a digest of the bytes would differ altogether.  A change of
one x[i] changes every p[j] by as much, and changes δ[i] of many change p[j] by about √(Σ δ[i]²): a sum with random signs is
small by accident only (Achlioptas, Database-friendly random projections, 2003).
"""
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.gap import gaps, ratio

COUNT = 9
# For two float64 runs of one network.  Kernels that sum in different orders, through all layers of VGG-19: 1.3e-13.  A tensor
# times 1.0001 makes about 1e-4.
BOUND = 1e-10
SIGNS = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)      # (256, 8): one for each bit of a byte
# The sides of the seeded picture are odd: however it is resized, no new pixel's centre falls on the border of two old ones,
# where the last bit of a float64 would choose.  They differ, so that squashing is something else than cropping.
HEIGHT, WIDTH = 241, 317


@dataclass(frozen=True, eq=False)
class Record:
    """What a run gave when the weights file was written.  `seed` is that of the signs and of the picture."""

    seed: int
    layers: np.ndarray                    # (layers, 9) float64: each layer's output, in a float64 run on the self-test's input
    picture: np.ndarray                   # (1, 9): the seeded picture, prepared as the preset says
    class_names: str                      # SHA-256 of the names


def project(array: np.ndarray, seed: int) -> np.ndarray:
    """An array of real numbers → (9,) float64, the same for every machine but for rounding."""
    x = np.asarray(array, np.float64).ravel()
    signs = random_bytes(x.size, seed)
    return np.concatenate([[np.linalg.norm(x)], np.bincount(signs, weights=x, minlength=256) @ SIGNS])


def gap(now: np.ndarray, recorded: np.ndarray) -> float:
    """Two projections → their largest |difference| ÷ the recorded norm; infinity where only one has NaN or infinity."""
    return ratio(float(gaps(now, recorded).max()), float(recorded[0]))


def picture(channels: int, seed: int) -> np.ndarray:
    """(241, 317, channels) uint8: a picture of noise, the same for ever."""
    return random_bytes(HEIGHT * WIDTH * channels, seed).reshape(HEIGHT, WIDTH, channels)


def random_bytes(count: int, seed: int) -> np.ndarray:
    """The first bytes of PCG64(seed), as every NumPy gives them (NEP 19: a bit generator's own stream never changes)."""
    return np.random.PCG64(seed).random_raw(ceil_div(count, 8)).astype("<u8").view(np.uint8)[:count]


def digest_of(class_names: Sequence[str] | None) -> str:
    """SHA-256 of the names in their order; no names have one too."""
    lines = "" if class_names is None else "".join(f"{name}\n" for name in class_names)
    return hashlib.sha256(lines.encode("utf-8", "backslashreplace")).hexdigest()
