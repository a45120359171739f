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


def integers(weight: np.ndarray, levels: float, each_output: bool) -> np.ndarray:
    """Weights (O, …) as whole multiples of the largest ÷ levels, of all or of each output."""
    axes = tuple(range(1, weight.ndim)) if each_output else None
    step = np.abs(weight).max(axis=axes, keepdims=True) / levels
    return np.round(weight / np.where(step == 0, 1, step)) * step


def affine_integers(weight: np.ndarray, each_output: bool) -> np.ndarray:
    """Weights as 256 levels from the smallest to the largest, 0 among them, of all or of each output."""
    axes = tuple(range(1, weight.ndim)) if each_output else None
    low = np.minimum(weight.min(axis=axes, keepdims=True), 0)
    step = (np.maximum(weight.max(axis=axes, keepdims=True), 0) - low) / 255
    step = np.where(step == 0, 1, step)
    zero = np.round(-low / step)
    return (np.clip(np.round(weight / step) + zero, 0, 255) - zero) * step
