"""Fewer digits than float32 has: float16, bfloat16, TF32 and eight-bit integers, in float64 arithmetic.

Rounding is to the nearest, ties to even, as processors do it.
"""
import numpy as np

# Bits of the fraction, and the exponent of the smallest normal number.
FORMATS = {"float16": (10, -14), "bfloat16": (7, -126), "TF32": (10, -126), "float8 (E4M3)": (3, -6)}


def rounded(values: np.ndarray, name: str) -> np.ndarray:
    """The nearest numbers of a format."""
    bits, smallest = FORMATS[name]
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(values)[1] - 1, smallest)
        step = np.ldexp(1.0, exponent - bits)
        return np.where(np.isfinite(values), np.round(values / step) * step, values)


def step_of(values: np.ndarray, name: str) -> np.ndarray:
    """The distance of neighbours of a format at each value."""
    bits, smallest = FORMATS[name]
    return np.ldexp(1.0, np.maximum(np.frexp(values)[1] - 1, smallest) - bits)


def integers(weight: np.ndarray, levels: float, every: np.ndarray | None) -> np.ndarray:
    """Weights (O, …) as whole multiples of the largest of `every` ÷ levels, where that is None of each output's own largest."""
    step = (own(np.max, np.abs(weight)) if every is None else max(float(every.max()), -float(every.min()))) / levels
    return np.round(weight / np.where(step == 0, 1, step)) * step


def affine_integers(weight: np.ndarray, every: np.ndarray | None) -> np.ndarray:
    """Weights as 256 levels from the smallest to the largest, 0 among them, of `every` or of each output."""
    low = np.minimum(own(np.min, weight) if every is None else float(every.min()), 0)
    step = (np.maximum(own(np.max, weight) if every is None else float(every.max()), 0) - low) / 255
    step = np.where(step == 0, 1, step)
    zero = np.round(-low / step)
    return (np.clip(np.round(weight / step) + zero, 0, 255) - zero) * step


def own(function, weight: np.ndarray) -> np.ndarray:
    """np.max or np.min of each output, (O, 1, …)."""
    return function(weight, axis=tuple(range(1, weight.ndim)), keepdims=True)
