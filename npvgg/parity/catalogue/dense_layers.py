"""What goes wrong with dense layers and what ends a network."""
import itertools

import numpy as np

from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.exact import Rounded, log_softmax, softmax

DENSE = ("dense",)
LAST = ("dense", "batchnorm1d", "output")
LOGITS = "compare logits with logits: leave the last activation out of the run"


def is_last(case: Case) -> bool:
    """Whether no parameters come behind this layer."""
    return not any(layer.shapes for layer in case.layers[case.place + 1:])


def reordered(case: Case):
    """Inputs or weights of the first dense layer in another order of channels, height and width."""
    if not case.maps or np.prod(case.maps) != case.weight.shape[1]:
        return
    for order in itertools.permutations((0, 1, 2)):
        if order != (0, 1, 2):
            places = np.arange(np.prod(case.maps)).reshape(case.maps).transpose(order).ravel()
            letters = ", ".join("CHW"[axis] for axis in order)
            for what, moved in (("weights for inputs", np.argsort(places)), ("inputs", places)):
                yield case.again(x=case.x.map(lambda x, moved=moved: x[:, moved])), {"what": what, "order": f"({letters})"}


def transposed(case: Case):
    """(outputs, inputs) that lie as (inputs, outputs) in memory; of square weights also the transpose."""
    weight = case.weight
    yield case.again(weight=weight.reshape(weight.shape[::-1]).T)
    yield case.again(weight=weight.T.reshape(weight.shape))


def ended(function, name: str) -> Mistake:
    """A function of the logits that the run holds in their place."""
    return Mistake(name, LAST, lambda case: function(case.again(), case.unit) if is_last(case) else None, LOGITS)


def sigmoid(x: Rounded, unit: float) -> Rounded:
    """A probability for each logit."""
    with np.errstate(all="ignore"):
        y = 1 / (1 + np.exp(-x.value))
    return Rounded(y, x.bound + 8 * unit * (y + np.abs(x.value) * y * (1 - y)))


DENSE_LAYERS = (
    Mistake("without its bias", DENSE, lambda case: case.again(bias=0 * case.bias), "load the bias", is_local=True),
    Mistake("with its bias added twice", DENSE, lambda case: case.again(bias=2 * case.bias), "add the bias once",
            is_local=True),
    Mistake("with its weights read as (inputs, outputs)", DENSE, transposed, "transpose the weights to (outputs, inputs)"),
    Mistake("with {what} flattened as {order} instead of (C, H, W)", DENSE, reordered,
            "flatten maps with the channels first, or permute the columns of these weights", is_local=True),
    Mistake("with its weights in reverse order", DENSE, lambda case: case.again(weight=case.weight[::-1]),
            "keep the order of the outputs"),
    Mistake("with its outputs in reverse order", DENSE, lambda case: case.again().map(lambda y: y[:, ::-1]),
            "keep the order of the outputs"),
    ended(softmax, "with a soft-max at the end"),
    ended(log_softmax, "with a log-soft-max at the end"),
    ended(sigmoid, "with a sigmoid at the end"),
)
