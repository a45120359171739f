"""What goes wrong with the parameters of any layer that has some: another layer's, rounded, zeroed, scaled."""
import numpy as np

from npvgg.parity import exact
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.catalogue.rounding import FORMATS, affine_integers, integers, rounded
from npvgg.parity.exact import Rounded

PRODUCTS = ("conv2d", "dense")
LEARNED = (*PRODUCTS, "batchnorm2d", "batchnorm1d")
DIGITS = "keep parameters and arithmetic in float32, or record the run with that dtype to have it judged by it"


def of_neighbours(case: Case):
    """All parameters of another layer."""
    for layer, arrays in case.neighbours():
        yield case.again(**arrays), {"other": layer.name}


def one_of_neighbours(case: Case):
    """One parameter of another layer: its weight only, say."""
    for layer, arrays in case.neighbours():
        for kind, array in arrays.items():
            yield case.again(**{kind: array}), {"kind": kind, "other": layer.name}


def rounded_weights(case: Case):
    """Weights, or all parameters, of fewer digits, in float32 arithmetic."""
    for name in FORMATS:
        yield case.again(weight=rounded(case.weight, name)), {"format": name}
        yield case.again(**{kind: rounded(array, name) for kind, array in case.own.items()}), {"format": name}


def integer_weights(case: Case):
    """Weights in eight bits by the usual schemes: symmetric or not, one scale for all or for each output."""
    every = case.weight if case.whole_weight is None else case.whole_weight
    for all_of, said in ((None, "a scale for each output"), (every, "one scale")):
        for levels in (127, 128, 127.5):
            yield case.again(weight=integers(case.weight, levels, all_of)), {"scale": said}
        yield case.again(weight=affine_integers(case.weight, all_of)), {"scale": said}


def short_products(case: Case):
    """Factors of TF32 in products whose sums are float32."""
    x = Rounded(rounded(case.x.value, "TF32"), case.x.bound)
    return case.again(x=x, weight=rounded(case.weight, "TF32"))


def short_arithmetic(case: Case):
    """Everything in a format of 16 bits: then what the run holds has that format, to the last bit."""
    for name in ("bfloat16", "float16"):
        if np.array_equal(rounded(case.y, name), case.y, equal_nan=True):
            own = {kind: rounded(array, name) for kind, array in case.own.items()}
            arrays = [own[kind] for kind, _ in case.layer.shapes]
            x = Rounded(rounded(case.x.value, name), case.x.bound)
            yield exact.run(case.layer, x, arrays, 2.0 ** -(FORMATS[name][0] + 1)), {"format": name}


def zeroed(case: Case):
    """One parameter that is 0 everywhere."""
    for kind, array in case.own.items():
        if array.any() and (kind, case.layer.op in PRODUCTS) != ("bias", True):
            yield case.again(**{kind: np.zeros_like(array)}), {"kind": kind}


WEIGHTS = (
    Mistake("in {format} arithmetic", (*LEARNED, "avgpool2d", "adaptive_avgpool2d", "local_response_norm", "softmax"),
            short_arithmetic, DIGITS, is_local=True),
    Mistake("with its weights rounded to {format}", LEARNED, rounded_weights, DIGITS, is_local=True),
    Mistake("with its weights rounded to int8, {scale}", PRODUCTS, integer_weights, DIGITS, is_local=True),
    Mistake("in TF32 arithmetic", PRODUCTS, short_products, "forbid TF32: torch.set_float32_matmul_precision('highest')",
            is_local=True),
    Mistake("with the parameters of {other}", LEARNED, of_neighbours, "load each layer's own parameters", is_local=True),
    Mistake("with the {kind} of {other}", LEARNED, one_of_neighbours, "load each layer's own parameters", is_local=True),
    Mistake("with a {kind} of zeros", LEARNED, zeroed, "load the parameter; it is zero, as if never read", is_local=True),
)
