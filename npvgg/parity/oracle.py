"""The rounding error of each layer, judged by the same layers in float64.

    local         the layer takes the oracle's input, rounded once to the dtype of the run: what this kernel loses
    cumulative    the layer takes what the run itself has computed so far: what has been lost since the picture

A run is a function step(layer, x) → y, so a framework's layers can be judged beside ours; `steps` makes one of a network.

    exact, jit = oracle.steps(vgg, "reference"), oracle.steps(vgg, "jit")
    for layer, errors in oracle.errors(vgg.architecture.layers, x, exact=exact, runs={"jit": jit}):
        print(layer.name, errors["jit"].local.rms_relative, errors["jit"].cumulative.rms_relative)
"""
from typing import NamedTuple

import numpy as np

from npvgg.kernels import tiers
from npvgg.parity import difference


class Error(NamedTuple):
    """What one run makes of one layer, against the layer in float64."""

    local: difference.Difference
    cumulative: difference.Difference
    argmax_flips: int | None              # see difference.argmax_flips; None unless the layer is dense


def errors(layers, x: np.ndarray, *, exact, runs: dict):
    """Walk (N, C, H, W) through the layers; yield (layer, {run: Error}) as each is done.

    `exact` is the oracle's step and only takes float64; `runs` = {name: step} take arrays of x's dtype.  Only the arrays of one
    layer are alive at a time.
    """
    oracle, states = x.astype(np.float64), dict.fromkeys(runs, x)
    for layer in layers:
        rounded = oracle.astype(x.dtype)
        oracle, locally = exact(layer, oracle), exact(layer, rounded.astype(np.float64))
        result = {}
        for run, step in runs.items():
            states[run] = step(layer, states[run])
            result[run] = Error(difference.measure(step(layer, rounded), locally), difference.measure(states[run], oracle),
                                difference.argmax_flips(states[run], oracle) if layer.op == "dense" else None)
        yield layer, result


def steps(vgg, tier=None):
    """A VGG → step(layer, x) → y, with the parameters brought to the dtype of x; `tier` by default the network's own."""
    kernels = tiers.choose(tier or vgg.options.tier)

    def step(layer, x):
        parameters = [array.astype(x.dtype, copy=False) for array in layer.arrays(vgg.parameters)]
        return kernels[layer.op](x, *parameters, **dict(layer.options))

    return step
