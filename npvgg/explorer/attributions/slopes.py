"""Which pixels a number would answer to: methods made of gradients of the picture.

S is the number that is explained (targets.py), as a rule a logit: behind a soft-max the gradient would carry p·(1 − p), which
vanishes where the network is sure.  A ReLU's gradient at 0 is 0, and max-pooling's goes to the first of equal values.
"""
import numpy as np

from npvgg.checks import check_size, is_number
from npvgg.counting import describe
from npvgg.errors import ShapeError, UsageError
from npvgg.explorer.targets import Target

TOGETHER = 1 << 18              # numbers of pictures that run through the network together
MOST_NOISE = 100_000
MOST_STEPS, FINEST = 400, 2000  # by default, and at all: their nodes are the eigenvalues of a matrix of so many rows
COMPLETE = 0.01                 # of S(x) − S(baseline): the sum may be off by so much before the number of steps is doubled


def gradient(vgg, x: np.ndarray, target: Target, rules: dict | None = None, of: str = "input") -> np.ndarray:
    """Pictures (N, C, H, W) → ∂S/∂x, or of the output of the layer `of`; `rules` as in `differentiation.Backward`."""
    vgg.check_file()
    row = next(row for row in describe(vgg.architecture, x.shape[2:]) if row.layer.name == target.layer)
    g = target.gradient(np.zeros((len(x), *row.output_shape), x.dtype))
    position = vgg.backward.position[of]
    reached = vgg.forward(x, vgg.architecture.layers[position - 1].name) if position > 0 else None
    return vgg.backward(vgg.parameters, x, {target.layer: g}, training=False, of=of, rules=rules, reached=reached).gradients[of]


def value(vgg, x: np.ndarray, target: Target) -> np.ndarray:
    """Pictures (N, C, H, W) → S (N,) in float64."""
    return target.value(vgg.forward(x, target.layer))


def saliency(vgg, x: np.ndarray, target: Target) -> np.ndarray:
    """(N, C, H, W) → |∂S/∂x|, the same shape.

    Simonyan, Vedaldi and Zisserman, arXiv 1312.6034, section 3, who show the largest of a pixel's channels.
    """
    return np.abs(gradient(vgg, x, target))


def input_times_gradient(vgg, x: np.ndarray, target: Target) -> np.ndarray:
    """(N, C, H, W) → x · ∂S/∂x, the same shape.

    Shrikumar, Greenside and Kundaje, arXiv 1704.02685; x is the prepared picture, 0 at the mean colour.
    """
    return x * gradient(vgg, x, target)


def smoothgrad(vgg, x: np.ndarray, target: Target, *, noise: np.ndarray | None = None, count: int = 50, sigma: float = 0.15,
               seed: int = 0) -> np.ndarray:
    """One picture (1, C, H, W) → the mean of ∂S/∂x at x + noise[i], signed, the same shape.

    `noise` (count, C, H, W), or normal by the seed, with the deviation σ · (max x − min x).  Smilkov et al., arXiv 1706.03825:
    gradients are averaged, not their absolute values, σ from 10 to 20 %, count 50.
    """
    if noise is None:
        check_size("count", count, 1, MOST_NOISE)
        check_size("seed", seed, 0, 2**63 - 1)
        if not is_number(sigma) or sigma < 0:
            raise UsageError(f"sigma is {sigma!r:.80}; give a number of at least 0, such as 0.15")
        rng, deviation = np.random.default_rng(seed), sigma * float(np.ptp(x))
        pieces = ((deviation * rng.standard_normal((len(part), *x.shape[1:]))).astype(x.dtype)
                  for part in parts(np.arange(count), x[0].size))
    elif isinstance(noise, np.ndarray) and len(noise) and noise.shape[1:] == x.shape[1:] and noise.dtype == x.dtype:
        pieces, count = parts(noise, x[0].size), len(noise)
    else:
        raise ShapeError(f"the noise does not fit the picture, {x.dtype} {x.shape[1:]}; give an array (count, C, H, W) of its "
                         "dtype")
    total = np.zeros(x.shape[1:])
    for piece in pieces:
        total += gradient(vgg, x + piece, target).sum(0, dtype=np.float64)
    return (total / count).astype(x.dtype)[np.newaxis]


def integrated_gradients(vgg, x: np.ndarray, target: Target, *, baseline: np.ndarray | float = 0.0, steps: int = 50,
                         most: int = MOST_STEPS) -> tuple[np.ndarray, float, int]:
    """One picture (1, C, H, W) → (the same shape, the gap of completeness, how many steps).

        (x − x′) · Σ_k w_k · ∇S(x′ + α_k (x − x′)),  α and w of Gauss and Legendre on [0, 1]

    The sum over all pixels is S(x) − S(x′) but for the gap; while it is more than 1 % of that, the number of steps is doubled,
    up to `most`.  `baseline` x′: an array like x, or a number; 0 is the mean colour, not black.  Sundararajan, Taly and Yan,
    arXiv 1703.01365.
    """
    check_size("steps", steps, 1, FINEST)
    check_size("most", most, 1, FINEST)
    start = baseline_of(baseline, x)
    ends = value(vgg, np.concatenate([x, start]), target)
    while True:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        total = np.zeros(x.shape[1:])
        for alpha, weight in zip(parts((1 + nodes) / 2, x[0].size), parts(weights / 2, x[0].size), strict=True):
            way = (start + alpha.reshape(-1, 1, 1, 1) * (x - start).astype(np.float64)).astype(x.dtype)
            total += np.tensordot(weight, gradient(vgg, way, target).astype(np.float64), 1)
        found = (x - start)[0] * total
        gap = float(found.sum() - (ends[0] - ends[1]))
        if abs(gap) <= COMPLETE * abs(ends[0] - ends[1]) or 2 * steps > most:
            return found.astype(x.dtype)[np.newaxis], gap, steps
        steps *= 2


def guided(vgg, x: np.ndarray, target: Target) -> np.ndarray:
    """(N, C, H, W) → the gradient that passes a ReLU only where it is positive, the same shape.

        at each ReLU      g ← max(0, g) · [y > 0]

    Every ReLU counts, those between dense layers too.  Springenberg et al., arXiv 1412.6806.  It shows the picture's edges more
    than what the network learned, and hardly changes where upper layers are drawn at random (Adebayo et al., arXiv 1810.03292).
    """
    return gradient(vgg, x, target, {"relu": lambda g, y: {"x": np.where(y > 0, np.maximum(g, 0), g.dtype.type(0))}})


def deconvolution(vgg, x: np.ndarray, target: Target) -> np.ndarray:
    """(N, C, H, W) → the gradient that passes a ReLU where it is positive, whatever went in, the same shape.

        at each ReLU      g ← max(0, g)

    Max-pooling's still goes to the winners.  Zeiler and Fergus, arXiv 1311.2901.
    """
    return gradient(vgg, x, target, {"relu": lambda g, _: {"x": np.maximum(g, 0)}})


def baseline_of(baseline, x: np.ndarray) -> np.ndarray:
    """A number, or an array that x can be compared with → an array like x; ShapeError for anything else."""
    try:
        return np.broadcast_to(np.asarray(baseline, x.dtype), x.shape).copy()
    except (TypeError, ValueError):
        raise ShapeError(f"the baseline is {baseline!r:.80}; give a number, or an array like the picture, {x.shape}") from None


def parts(values: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut along the first axis, so that no more pictures of this size run through the network together than fit."""
    together = max(1, TOGETHER // size)
    return [values[start:start + together] for start in range(0, len(values), together)]
