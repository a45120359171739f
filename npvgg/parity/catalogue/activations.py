"""What stands in the place of a ReLU, and what dropout does when it should rest."""
import math

import numpy as np

from npvgg.parity.catalogue.estimates import snapped
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.exact import Rounded, batchnorm, relu
from npvgg.parity.stages import parameters_of

RELU = ("relu",)
PLAIN = "use ReLU, max(x, 0)"
RESTING = "call eval() before the run: dropout does nothing at inference"


def instead(name: str, function) -> Mistake:
    """Another function of each element, with a rounding of some units."""
    def reproduce(case: Case):
        with np.errstate(all="ignore"):
            y = function(case.x.value)
        return Rounded(y, 2 * case.x.bound + 8 * case.unit * (np.abs(y) + np.abs(case.x.value)))
    return Mistake(name, RELU, reproduce, PLAIN)


def erf(x):
    """The error function, by Python's."""
    return np.vectorize(math.erf, otypes=[float])(x)


def sigmoid(x):
    """1 ÷ (1 + e⁻ˣ)."""
    return 1 / (1 + np.exp(-x))


def leaky(case: Case):
    """The slope below zero is the ratio of what the run holds and the input there."""
    y, x, seen = case.y, case.x.value, case.visible
    if y.shape != x.shape or seen is None or case.following:
        return
    below = (x < 0) & np.isfinite(y)
    if below.any() and (x[below] ** 2).sum():
        slope = float((y[below] * x[below]).sum() / (x[below] ** 2).sum())
        for value in snapped(slope):
            if value not in (0, 1):
                yield relu(case.x, case.unit, slope=value), {"slope": f"{value:.4g}"}


def clipped(case: Case):
    """Where it is cut off is the largest value that the run holds."""
    most = float(np.max(case.y, initial=0))
    for value in snapped(most, also=(6.0,)):
        if value > 0:
            y = relu(case.x)
            yield Rounded(np.minimum(y.value, value), y.bound + case.unit * value), {"most": f"{value:.4g}"}


def batch_norm_here(case: Case):
    """Where batch norm and ReLU have changed places, under their old names."""
    before = case.layers[case.place - 1] if case.place else None
    if before is not None and before.op.startswith("batchnorm"):
        arrays = parameters_of(before, case.parameters)
        if arrays is not None:
            return batchnorm(case.x, *arrays, case.unit, **dict(before.options))


def kept(case: Case):
    """Dropout at work: what is not zeroed is multiplied by one number."""
    y, x = case.y, case.x.value
    if y.shape != x.shape or case.following:
        return
    left, counted = (y != 0) & (x != 0), x != 0
    if not left.any():
        return
    zeroed = 1 - left.sum() / counted.sum()
    ratio = float(np.median(y[left] / x[left]))
    for value in snapped(ratio, also=(1 / (1 - case.options.get("p", 0.5)),)):
        answer = Rounded(np.where(y == 0, 0, x * value), np.where(y == 0, 0, 2 * case.unit * np.abs(x * value)) + case.x.bound)
        if zeroed > 0.02:
            yield answer, {"zeroed": f"{100 * zeroed:.0f} %", "factor": f"{value:.4g}"}


def rescaled(case: Case):
    """Dropout that multiplies everything."""
    y, x = case.y, case.x.value
    if y.shape != x.shape or case.following or not x.any():
        return
    for value in snapped(float((x * y).sum() / (x * x).sum()), also=(0.5, 2.0)):
        if value != 1:
            yield Rounded(value * x, abs(value) * (case.x.bound + 2 * case.unit * np.abs(x))), {"factor": f"{value:.4g}"}


ACTIVATIONS = (
    Mistake("with a slope of {slope} below zero (leaky)", RELU, leaky, PLAIN, is_estimated=True),
    Mistake("cut off at {most} (ReLU6 cuts at 6)", RELU, clipped, PLAIN, is_estimated=True),
    Mistake("in whose place batch norm stands: the ReLU came before it", RELU, batch_norm_here,
            "convolution, batch norm, ReLU is the order"),
    instead("with GELU in its place", lambda x: x * (1 + erf(x / math.sqrt(2))) / 2),
    instead("with GELU (its tanh approximation) in its place",
            lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
    instead("with SiLU (Swish) in its place", lambda x: x * sigmoid(x)),
    instead("with ELU in its place", lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x)),
    instead("with softplus in its place", lambda x: np.logaddexp(x, 0)),
    instead("with tanh in its place", np.tanh),
    instead("with a sigmoid in its place", sigmoid),
    instead("with the absolute value in its place", np.abs),
    instead("with its sign turned round (negative values kept)", lambda x: np.minimum(x, 0)),
    Mistake("active, as in training: {zeroed} of the values are zero and the others multiplied by {factor}", ("dropout",), kept,
            RESTING, is_estimated=True),
    Mistake("multiplied by {factor}", ("dropout",), rescaled, RESTING, is_estimated=True),
)
