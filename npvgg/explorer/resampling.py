"""Coarse maps made as large as the picture."""
import numpy as np


def upsampled(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(…, h, w) → (…, H, W), bilinear, between the centres of the pixels.

        position i of the large map lies at (i + ½)·h/H − ½ of the small one, cut at its ends

    PyTorch's interpolate(mode="bilinear", align_corners=False), and OpenCV's.
    """
    rows, columns = (weights(small, large, maps.dtype) for small, large in zip(maps.shape[-2:], size))
    return rows @ maps @ columns.T


def weights(small: int, large: int, dtype: np.dtype) -> np.ndarray:
    """(large, small): what each position takes of the two next to it."""
    at = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    below = np.minimum(at.astype(int), max(0, small - 2))
    matrix = np.zeros((large, small))
    matrix[np.arange(large), below] = 1 - (at - below)
    matrix[np.arange(large), np.minimum(below + 1, small - 1)] += at - below
    return matrix.astype(dtype)
