"""Batch norm folded into the layer before it: the same numbers from fewer layers.

    y = (w·x + b − mean) · s + shift,  s = scale / √(variance + ε)          w′ = w·s,  b′ = (b − mean)·s + shift
"""
from dataclasses import replace
from itertools import pairwise

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import UnsupportedError

NORMS = ("batchnorm2d", "batchnorm1d")


def folded(net: Architecture, parameters: dict) -> tuple[Architecture, dict]:
    """A network and {path: array} → the same without batch norm, which is computed in float64 and rounded once.

    UnsupportedError where a batch norm follows neither a convolution nor a dense layer.
    """
    norms = {after.name: before for before, after in pairwise(net.layers) if after.op in NORMS}
    if not norms:
        return net, dict(parameters)
    for name, before in norms.items():
        if before.op not in ("conv2d", "dense"):
            raise UnsupportedError(f"{name} of this {net.name} follows {before.name}, into which it cannot be folded; "
                                   "relevance is defined for batch norm behind convolutions and dense layers")
    words = [word for word in net.head.split() if not word.startswith("bn")]
    plain = replace(net, name=net.name.removesuffix("_bn"), head=" ".join(words), bias=net.bias or net.has_batch_norm)
    found = {path: parameters.get(path, np.zeros(shape, next(iter(parameters.values())).dtype))
             for path, shape in plain.parameters.items()}
    for norm, layer in ((layer, norms[layer.name]) for layer in net.layers if layer.name in norms):
        dtype = parameters[f"{layer.name}/weight"].dtype
        weight, shift, mean, var = (array.astype(np.float64) for array in norm.arrays(parameters))
        scale = weight / np.sqrt(var + dict(norm.options)["eps"])
        own, bias = (found[f"{layer.name}/{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        found[f"{layer.name}/weight"] = (own * scale.reshape(-1, *[1] * (own.ndim - 1))).astype(dtype)
        found[f"{layer.name}/bias"] = ((bias - mean) * scale + shift).astype(dtype)
    return plain, found
