"""The layer where two runs part → the mistake that would explain it.

Every suspect is a mistake people make when they port a network.  It is tried, not guessed:

    in the arrays    A's array is B's with the channels reversed, mirrored, flattened in another order, …
    in the layer     one run's array is the layer computed, with the mistake, from the input that both agree on

The second kind needs the layer's parameters, where it has any.  If nothing fits, the usual causes are listed.
"""
from dataclasses import dataclass

import numpy as np

from npvgg.errors import ShapeError
from npvgg.kernels import tiers
from npvgg.parity import difference

REFERENCE = tiers.choose("reference")

USUAL_CAUSES = {
    "input": "another order of the channels, resize, antialiasing, crop, mean, standard deviation or JPEG decoder",
    "conv2d": "other weights or bias, filters turned or transposed, another padding",
    "reflection_pad2d": "another padding",
    **dict.fromkeys(("batchnorm2d", "batchnorm1d"),
                    "another ε, the batch's own statistics instead of the stored ones, parameters in another order"),
    "relu": "another activation",
    "local_response_norm": "alpha divided by the size or not, another k",
    **dict.fromkeys(("maxpool2d", "avgpool2d"), "another window, stride or rounding of the size, maxima for averages"),
    **dict.fromkeys(("adaptive_avgpool2d", "adaptive_maxpool2d"), "another pooled size, maxima for averages"),
    "flatten": "channels last where they come first",
    "dense": "other weights or bias, weights transposed, inputs flattened with the channels last",
    "dropout": "dropout active, as in training",
}


@dataclass(frozen=True)
class Findings:
    """What `explain` has found, in sentences."""

    causes: tuple = ()                    # mistakes that were tried and turn one run into the other
    remarks: tuple = ()                   # usual causes, where none of those fits; and which run npvgg computes
    wrong: str | None = None              # "A" or "B" where the other one alone is what npvgg computes


def explain(name: str, a: dict, b: dict, tolerance: float, layers=(), parameters: dict | None = None) -> Findings:
    """Where {layer: array} a and b first diverge, by name → what is likely to be the cause.

    `layers`: those of the network, in order; `parameters`: {"conv1_1/weight": array} of one of the runs, or of both.
    """
    ours, reference = np.asarray(a[name]), np.asarray(b[name])
    order = ["input", *(layer.name for layer in layers)]
    before = [earlier for earlier in order[:order.index(name)] if earlier in b] if name in order else []
    maps = next((b[earlier].shape[1:] for earlier in reversed(before) if b[earlier].ndim == 4), None)
    layer = next((layer for layer in layers if layer.name == name), None)

    causes = [*rearranged(ours, reference, maps, tolerance), *misnamed(name, a, b, tolerance)]
    if not causes and ours.shape == reference.shape:
        causes = [*confined(ours, reference, tolerance), *scaled(ours, reference, tolerance)]
    verdict, right = [], []
    if layer and before and before[-1] == order[order.index(name) - 1]:
        x = np.asarray(b[before[-1]])
        mistakes, verdict, right = recomputed(layer, x, ours, reference, maps, tolerance, parameters or {})
        causes += mistakes
    operation = layer.op if layer else name
    if not causes and operation in USUAL_CAUSES:
        verdict = [f"usual causes: {USUAL_CAUSES[operation]}", *verdict]
    return Findings(tuple(causes), tuple(verdict), {"A": "B", "B": "A"}[right[0]] if len(right) == 1 else None)


# ------------------------------------------------------------------------------------------------- arrays

# B's (N, C, H, W) → what A would hold.
REARRANGEMENTS = {
    "A's channels are B's in reverse order (BGR for RGB)": lambda y: y[:, ::-1],
    "A is B mirrored left to right": lambda y: y[..., ::-1],
    "A is B upside down": lambda y: y[..., ::-1, :],
    "A is B with height and width exchanged": lambda y: y.swapaxes(2, 3),
    "A is B with its channels last": lambda y: np.moveaxis(y, 1, 3),
    "A is B with its channels first": lambda y: np.moveaxis(y, 3, 1),
    "A holds B's pictures in reverse order": lambda y: y[::-1],
}


def rearranged(ours, reference, maps, tolerance):
    """Whether A is B in another order; `maps` is the (C, H, W) that was flattened."""
    if ours.ndim == reference.ndim == 4:
        for sentence, rearrange in REARRANGEMENTS.items():
            if same(ours, rearrange(reference), tolerance):
                yield sentence
    if ours.ndim == reference.ndim == 2 and maps and np.prod(maps) == reference.shape[1]:
        if same(ours, channels_last(reference, maps), tolerance):
            yield "A is B flattened with its channels last (H, W, C)"
        elif same(channels_last(ours, maps), reference, tolerance):
            yield "B is A flattened with its channels last (H, W, C)"


def misnamed(name, a, b, tolerance):
    """Whether A's array is what B holds just before or after."""
    names = list(b)
    at = names.index(name)
    for other in names[max(0, at - 1):at] + names[at + 1:at + 2]:
        if same(a[name], b[other], tolerance):
            yield f"A's {name} is B's {other}: under another name, or overwritten by an operation in place"


def confined(ours, reference, tolerance):
    """Whether the difference keeps to some of the pictures, or to the border."""
    pictures = [str(n) for n in range(len(ours)) if not same(ours[n], reference[n], tolerance)]
    if len(pictures) < len(ours):
        yield f"only {len(pictures)} of {len(ours)} pictures differ, counted from 0: {', '.join(pictures)}"
    if ours.ndim == 4 and min(ours.shape[2:]) > 2 and same(inside(ours), inside(reference), tolerance):
        yield "only the border of the maps differs: another padding"


def scaled(ours, reference, tolerance):
    """Whether each channel of A is a multiple of B's plus a constant."""
    if ours.ndim != 4:
        return
    for order, channels in (("", reference), (" (in reverse order)", reference[:, ::-1])):
        factor, constant, residual = fit(ours, channels)
        if residual <= tolerance:
            steady = np.abs(factor - 1).max() <= tolerance
            what = "" if steady else f" times {some(factor)}"
            yield (f"each channel of A is B's{order}{what} plus {some(constant)}: "
                   f"another {'bias or mean' if steady else 'scale: standard deviation, ε, levels 0…255 or 0…1'}")
            return


def fit(ours, reference):
    """Least squares of ours ≈ factor · reference + constant in each channel: (N, C, H, W) twice → (C,), (C,), residual.

    The residual is the rms of what is left over the rms of what varies; infinite where too little varies to tell.
    """
    a, b = (np.moveaxis(y, 1, 0).reshape(y.shape[1], -1).astype(np.float64) for y in (ours, reference))
    if a.shape[1] < 16:
        return None, None, np.inf
    with np.errstate(all="ignore"):
        a_mean, b_mean = a.mean(axis=1), b.mean(axis=1)
        a, b = a - a_mean[:, np.newaxis], b - b_mean[:, np.newaxis]
        factor = (a * b).mean(axis=1) / (b * b).mean(axis=1)
        residual = np.sqrt(np.square(a - factor[:, np.newaxis] * b).mean() / np.square(a).mean())
    return factor, a_mean - factor * b_mean, residual if np.isfinite(residual) else np.inf


# ------------------------------------------------------------------------------------------------- the layer

BATCH_NORMS = ("batchnorm2d", "batchnorm1d")
BATCH_NORM = {
    **{f"with ε = {other:g}": lambda op, x, w, b, m, v, eps, other=other: op(x, w, b, m, v, eps=other)
       for other in (1e-3, 1e-2, 1e-4, 1e-5, 1e-6, 0.0)},
    "with the mean and variance of the batch, as in training":
        lambda op, x, w, b, m, v, **o: op(x, w, b, x.mean(axis=of_channels(x)), x.var(axis=of_channels(x)), **o),
    "with standard deviations in the place of variances": lambda op, x, w, b, m, v, **o: op(x, w, b, m, np.sqrt(v), **o),
    "left out": lambda op, x, *_, **o: x,
}

# {operation: {mistake: the layer with it}}, each called with the kernel, the layer's input, parameters and options; *b is the
# bias of a convolution that has one.
MISTAKES = {
    "conv2d": {
        "without its bias": lambda op, x, w, *b, **o: op(x, w, None, **o),
        "with its filters turned by 180° (VGG correlates)": lambda op, x, w, *b, **o: op(x, w[:, :, ::-1, ::-1], *b, **o),
        "with height and width of its filters exchanged": lambda op, x, w, *b, **o: op(x, w.swapaxes(2, 3), *b, **o),
        "with the channels of its filters in reverse order (BGR)": lambda op, x, w, *b, **o: op(x, w[:, ::-1], *b, **o),
        "with its filters read in the order (kh, kw, C, O)": lambda op, x, w, *b, **o: op(x, height_first(w), *b, **o),
        "with the border reflected instead of zero": lambda op, x, w, *b, padding: op(bordered(x, padding, "reflect"), w, *b,
                                                                                     padding=0),
        "with the border repeated instead of zero": lambda op, x, w, *b, padding: op(bordered(x, padding, "edge"), w, *b,
                                                                                    padding=0),
    },
    **dict.fromkeys(BATCH_NORMS, BATCH_NORM),
    "relu": {"left out": lambda op, x: x},
    "local_response_norm": {
        "with alpha not divided by the size": lambda op, x, size, alpha, **o: op(x, size=size, alpha=alpha * size, **o),
        "with alpha divided by the size twice": lambda op, x, size, alpha, **o: op(x, size=size, alpha=alpha / size, **o),
        "with k = 1": lambda op, x, k, **o: op(x, k=1.0, **o),
        "left out": lambda op, x, **o: x,
    },
    "maxpool2d": {
        "with averages instead of maxima": lambda op, x, **o: REFERENCE["avgpool2d"](x, **o),
        "with ceil_mode": lambda op, x, **o: op(x, ceil_mode=True, **o),
    },
    "avgpool2d": {"with maxima instead of averages": lambda op, x, **o: REFERENCE["maxpool2d"](x, **o)},
    "adaptive_avgpool2d": {"with maxima instead of averages": lambda op, x, **o: REFERENCE["adaptive_maxpool2d"](x, **o)},
    "adaptive_maxpool2d": {"with averages instead of maxima": lambda op, x, **o: REFERENCE["adaptive_avgpool2d"](x, **o)},
    "dense": {
        "without its bias": lambda op, x, w, b: op(x, w, 0 * b),
        "with its weights read as (inputs, outputs)": lambda op, x, w, b: op(x, w.reshape(w.shape[::-1]).T, b),
    },
}


def recomputed(layer, x, ours, reference, maps, tolerance, parameters):
    """The layer from its input x (N, …), with each mistake and without: whose array is it?

    Three lists: sentences of the mistakes that explain one of the runs, a sentence of which run is right, those that are.
    """
    own = [parameters.get(f"{layer.name}/{kind}") for kind, _ in layer.shapes]
    if any(array is None for array in own):
        return [], [], []
    op, options = REFERENCE[layer.op], dict(layer.options)
    if layer.op not in BATCH_NORMS:                       # one picture that differs is enough, unless the batch matters
        differing = (n for n in range(min(len(ours), len(reference))) if not same(ours[n], reference[n], tolerance))
        n = next(differing, 0)
        x, ours, reference = x[n:n + 1], ours[n:n + 1], reference[n:n + 1]
    x, own = x.astype(np.float64), [array.astype(np.float64) for array in own]
    variants = dict(MISTAKES.get(layer.op, {}))
    if layer.op == "dense" and maps and np.prod(maps) == x.shape[1]:
        variants["with inputs flattened with the channels last"] = lambda op, x, w, b: op(channels_last(x, maps), w, b)
        variants["with weights for inputs whose channels come last"] = lambda op, x, w, b: op(x, channels_last(w, maps), b)
    runs = {"A": ours, "B": reference}
    try:
        answer = op(x, *own, **options)
    except ShapeError as error:
        return [], [f"the network given is not that of the traces: {error}"], []
    right = [run for run, y in runs.items() if same(y, answer, tolerance)]
    mistakes = [f"{run} is {layer.name} {mistake}" for mistake, variant in variants.items()
                for run, y in runs.items() if run not in right and same(y, variant(op, x, *own, **options), tolerance)]
    if right:
        return mistakes, [f"{right[0]} is what npvgg computes for {layer.name} from B's input of that layer"], right
    return mistakes, [f"neither run is what npvgg computes for {layer.name} from B's input of that layer"], right


def bordered(x, padding, mode):
    """(N, C, H, W) → (N, C, H + 2·padding, W + 2·padding), by one of numpy.pad's modes."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode)


def height_first(weight):
    """A weight (O, C, kh, kw) whose numbers lie as TensorFlow's (kh, kw, C, O) → the same as (O, C, kh, kw)."""
    outputs, inputs, kh, kw = weight.shape
    return weight.reshape(kh, kw, inputs, outputs).transpose(3, 2, 0, 1)


def of_channels(x):
    """The axes that statistics of a channel or feature are taken over: all but the second."""
    return (0, *range(2, x.ndim))


# ------------------------------------------------------------------------------------------------- comparing


def same(a, b, tolerance):
    """Whether two arrays have one shape and a gap within the tolerance."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and difference.measure(a, b).within(tolerance)


def channels_last(y, maps):
    """(rows, C·H·W) → the same with each row in the order (H, W, C)."""
    return y.reshape(len(y), *maps).transpose(0, 2, 3, 1).reshape(y.shape)


def inside(y):
    """(…, H, W) → (…, H − 2, W − 2): without its border."""
    return y[..., 1:-1, 1:-1]


def some(values):
    """The first three values as text."""
    return ", ".join(f"{value:.4g}" for value in values[:3]) + (", …" if len(values) > 3 else "")
