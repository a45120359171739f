"""What the number loses where a part of the picture is covered."""
import math

import numpy as np

from npvgg.checks import check_size
from npvgg.explorer.attributions.slopes import baseline_of, parts, value
from npvgg.explorer.targets import Target

WINDOWS = 7                     # across the picture, by default; 32 pixels of 224


def occlusion(vgg, x: np.ndarray, target: Target, *, window: int | None = None, stride: int | None = None,
              baseline: np.ndarray | float = 0.0) -> np.ndarray:
    """One picture (1, C, H, W) → (1, H, W): how much S loses, a pixel.

        mean over the windows that cover a pixel of S(x) − S(x with the window as in the baseline)

    Windows are squares of `window` pixels through all channels, `stride` apart, by default a seventh of the picture and half a
    window; the last is cut at the border.  `baseline` as in `integrated_gradients`.  Zeiler and Fergus, arXiv 1311.2901, show S
    itself under a grey square.
    """
    height, width = x.shape[2:]
    window = max(1, min(height, width) // WINDOWS) if window is None else window
    check_size("window", window, 1, max(height, width))
    stride = max(1, window // 2) if stride is None else stride
    check_size("stride", stride, 1, max(height, width))
    covered = baseline_of(baseline, x)
    places = [(top, left) for top in starts(height, window, stride) for left in starts(width, window, stride)]
    whole = value(vgg, x, target)[0]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for part in parts(np.array(places), x[0].size):
        pictures = np.repeat(x, len(part), 0)
        for picture, (top, left) in zip(pictures, part, strict=True):
            picture[:, top:top + window, left:left + window] = covered[0, :, top:top + window, left:left + window]
        for (top, left), loss in zip(part, whole - value(vgg, pictures, target), strict=True):
            total[top:top + window, left:left + window] += loss
            count[top:top + window, left:left + window] += 1
    return (total / np.maximum(count, 1)).astype(x.dtype)[np.newaxis]


def starts(extent: int, window: int, stride: int) -> range:
    """Where windows begin along an axis: as many as reach its end."""
    return range(0, stride * (max(0, math.ceil((extent - window) / stride)) + 1), stride)
