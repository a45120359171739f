"""How another scheme lays out the numbers of one parameter, and back.

    ours ─ reshape(split) ─ transpose(axes) ─ reshape(shape) ─► theirs

Numbers change places and nothing else, so there and back gives the same bits.
"""
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrangement:
    """`shape` is theirs; `split` and `axes` lead to it from ours."""

    split: tuple
    axes: tuple
    shape: tuple

    def theirs(self, array):
        """Our array → theirs, C-contiguous."""
        return np.ascontiguousarray(array.reshape(self.split).transpose(self.axes)).reshape(self.shape)

    def ours(self, array, shape):
        """Their array → ours, of `shape` and C-contiguous."""
        back = array.reshape([self.split[axis] for axis in self.axes]).transpose(np.argsort(self.axes))
        return np.ascontiguousarray(back).reshape(shape)


def same(shape):
    """As we have it."""
    return Arrangement(shape, tuple(range(len(shape))), shape)


def reshaped(shape, theirs):
    """The same numbers in the same order under another shape."""
    return Arrangement(shape, tuple(range(len(shape))), theirs)


def as_convolution(shape, side):
    """A dense layer on a map of side × side as the convolution that covers it: (O, C·s·s) → (O, C, s, s)."""
    return reshaped(shape, (shape[0], shape[1] // side**2, side, side))


def channels_last(shape):
    """A convolution: (O, C, kh, kw) → (kh, kw, C, O)."""
    return Arrangement(shape, (2, 3, 1, 0), tuple(shape[axis] for axis in (2, 3, 1, 0)))


def transposed(shape, side=1):
    """A dense layer: (O, I) → (I, O).

    With a `side`, I = C·s·s is a map of s × s, which channels-last networks flatten as (i, j, c) and we as (c, i, j).
    """
    outputs, inputs = shape
    split = (outputs, inputs // side**2, side, side)
    return Arrangement(split, (2, 3, 1, 0), (math.prod(split[1:]), outputs))
