"""How wrong a network is, as one number, and the gradient of that number: plain functions of arrays.

    value, dlogits = cross_entropy(logits, targets)           a float, and an array like the logits

All sums are float64; the gradient has the dtype of the logits.  NaN and infinities in the logits come out in the value.
"""
import numpy as np
from numpy.typing import ArrayLike

from npvgg.errors import ShapeError, UsageError
from npvgg.kernels.contracts import check_arrays, check_number
from npvgg.kernels.reference.log_softmax import log_softmax


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def cross_entropy(logits: np.ndarray, targets: ArrayLike, *, smoothing: float = 0.0,
                  weights: ArrayLike | None = None) -> tuple[float, np.ndarray]:
    """Soft-max cross-entropy: logits (N, C), targets (N,) or (N, C) → the loss, and its gradient (N, C).

        L = −1/D · Σ_n,c  w[c] · q[n, c] · l[n, c]                    l = log_softmax(logits)
        dlogits[n, c] = 1/D · (exp(l[n, c]) · Σ_k w[k] · q[n, k]  −  w[c] · q[n, c])
        q = (1 − ε) · target + ε/C                                    ε = smoothing

    Whole numbers (N,) as targets are the classes' indices, for which target is 1 there and 0 elsewhere; fractions (N, C) are
    probabilities.  w are `weights` (C,) of the classes, by default 1.  D is Σ_n w[class of n] for indices, and N for
    probabilities: PyTorch's two rules (torch.nn.CrossEntropyLoss).  What has no share q adds nothing, also where l is −∞.
    """
    check_arrays("cross_entropy", logits=(logits, "N C"))
    check_number("cross_entropy", "smoothing", smoothing, 0, 1)
    classes = logits.shape[1]
    weights = vector("cross_entropy", "weights", weights, classes)
    targets = np.asarray(targets)
    if targets.dtype.kind in "iu":
        check_indices(targets, logits.shape)
        divisor, indices, targets = weights[targets].sum(), targets, np.zeros(logits.shape)
        targets[np.arange(len(logits)), indices] = 1
    else:
        divisor, targets = len(logits), shares("cross_entropy", targets, logits)
    share = weights * ((1 - smoothing) * targets + smoothing / classes)
    logarithms = log_softmax(logits.astype(np.float64))
    value = -np.where(share == 0, 0, share * logarithms).sum() / divisor
    gradient = (np.exp(logarithms) * share.sum(1, keepdims=True) - share) / divisor
    return float(value), gradient.astype(logits.dtype)


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def binary_cross_entropy(logits: np.ndarray, targets: ArrayLike, *,
                         positive_weights: ArrayLike | None = None) -> tuple[float, np.ndarray]:
    """Sigmoid cross-entropy of independent labels: logits (N, C), targets (N, C) → the loss, and its gradient (N, C).

        L = 1/(N·C) · Σ  p·t · softplus(−z) + (1 − t) · softplus(z)          softplus(z) = ln(1 + exp(z)), z the logits
        dz = 1/(N·C) · ((1 − t) · σ(z) − p·t · σ(−z))                        σ(z) = 1 / (1 + exp(−z))

    Targets t are from 0 to 1; p are `positive_weights` (C,), by default 1: how much a label that is there counts
    (torch.nn.BCEWithLogitsLoss, pos_weight).
    """
    check_arrays("binary_cross_entropy", logits=(logits, "N C"))
    absent = 1 - (targets := shares("binary_cross_entropy", targets, logits))
    present = targets * vector("binary_cross_entropy", "positive_weights", positive_weights, logits.shape[1])
    z = logits.astype(np.float64)
    value = (present * np.logaddexp(0, -z) + absent * np.logaddexp(0, z)).sum() / z.size
    gradient = (absent / (1 + np.exp(-z)) - present / (1 + np.exp(z))) / z.size
    return float(value), gradient.astype(logits.dtype)


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def mean_squared_error(y: np.ndarray, targets: ArrayLike) -> tuple[float, np.ndarray]:
    """Mean of the squared differences: y and targets of one shape → the loss, and its gradient of that shape.

        L = 1/n · Σ  (y − target)²                    n: how many numbers y has
        dy = 2/n · (y − target)
    """
    check_arrays("mean_squared_error", y=(y, None))
    difference = y.astype(np.float64) - like("mean_squared_error", targets, y)
    return float((difference**2).sum() / y.size), (2 * difference / y.size).astype(y.dtype)


def check_indices(targets, shape):
    """UsageError unless the targets are (N,) indices of classes."""
    images, classes = shape
    if targets.shape != (images,):
        raise ShapeError(f"cross_entropy: the targets {targets.shape} do not fit logits {shape}; give one class an image, "
                         f"({images},), or probabilities {shape}")
    wrong = targets[(targets < 0) | (targets >= classes)]
    if wrong.size:
        raise UsageError(f"cross_entropy: a target is {wrong[0]} and the classes are 0 to {classes - 1}; give an index among "
                         "them")


def shares(loss, targets, y):
    """The targets as float64; UsageError unless they are from 0 to 1, but for rounding, and in the shape of y."""
    targets = like(loss, targets, y)
    wrong = targets[~((targets >= 0) & (targets <= 1 + 1e-6))]
    if wrong.size:
        raise UsageError(f"{loss}: a target is {wrong[0]}, expected a share from 0 to 1; give 1 for what is there, 0 for what "
                         "is not, or numbers between them")
    return targets


def like(loss, targets, y):
    """The targets as float64; ShapeError unless they are real numbers in the shape of y."""
    targets = np.asarray(targets)
    if targets.dtype.kind not in "iuf" or targets.shape != y.shape:
        raise ShapeError(f"{loss}: the targets are {targets.dtype} {targets.shape}, expected numbers of shape {y.shape}; "
                         "convert them with np.asarray(targets, float)")
    return targets.astype(np.float64)


def vector(loss, name, weights, classes):
    """The weights of the classes as float64, 1 each for None; UsageError unless they are (classes,) numbers of at least 0."""
    weights = np.ones(classes) if weights is None else np.asarray(weights)
    if weights.dtype.kind not in "iuf" or weights.shape != (classes,):
        raise ShapeError(f"{loss}: {name} is {weights.dtype} {weights.shape}, expected one number a class, ({classes},); "
                         f"convert it with np.asarray({name}, float)")
    if not (weights >= 0).all():
        raise UsageError(f"{loss}: {name} has {weights.min()}, expected numbers of at least 0; leave out what does not count "
                         "with 0")
    return weights.astype(np.float64)
