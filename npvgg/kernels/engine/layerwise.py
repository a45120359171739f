"""The engine's steps one layer at a time, with the signatures of the other tiers: to compare it with them."""
from functools import wraps
from inspect import signature

import numpy as np

from npvgg.kernels import contracts
from npvgg.kernels.compiling import threads
from npvgg.kernels.engine import building
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.packed import Packed
from npvgg.layer import Layer

# The names that layers give their parameters, in the order in which kernels take them.
NORM = ("weight", "bias", "mean", "var")
KINDS = {"conv2d": ("weight", "bias"), "dense": ("weight", "bias"), "batchnorm2d": NORM, "batchnorm1d": NORM}


def operations(below: dict) -> dict:
    """{operation: function of the tier below} → the engine's, which leave to the one below what the engine does not do.

    That is another dtype than float32, and options that no step obeys (building.OBEYED).
    """
    return {op: by_the_engine(op, below[op]) for op in building.ADD}


def by_the_engine(op, otherwise):
    """An operation that runs on the engine where a step obeys its options and x is float32, and is `otherwise` elsewhere."""
    defaults = {name: parameter.default for name, parameter in signature(otherwise).parameters.items()
                if parameter.kind is parameter.KEYWORD_ONLY}

    @wraps(otherwise)
    def function(x, *arrays, **options):
        chosen = defaults | options
        if op == "maxpool2d" and chosen.get("ceil_mode") is False:
            del chosen["ceil_mode"]
        arrays = [array for array in arrays if array is not None]
        if getattr(x, "dtype", None) == np.float32 and x.ndim in (2, 4) and all(hasattr(array, "shape") for array in arrays):
            layer = Layer(op, op, tuple((kind, array.shape) for kind, array in zip(KINDS.get(op, ()), arrays)),
                          tuple(chosen.items()))
            if building.is_obeyed(layer):
                return one_layer(layer, x, arrays)
        return otherwise(x, *arrays, **options)

    function.__module__ = __name__                          # of the tier that is asked first
    return function


def one_layer(layer, x, arrays, algorithm="auto"):
    """The answer of a program of one layer; x and the arrays as its kernel takes them."""
    parameters = {f"{layer.name}/{kind}": array for (kind, _), array in zip(layer.shapes, arrays, strict=True)}
    answer = np.empty(contracts.answer_shape(layer, x, parameters), np.float32)
    if len(x):
        program = building.build([layer], Packed(parameters), x.shape, threads.current(), algorithm, [layer.name])
        program.run({"x": np.require(x, requirements=["C", "A"]), layer.name: answer}, aligned(program.floats))
    return answer
