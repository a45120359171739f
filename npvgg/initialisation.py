"""Fresh parameters for a network that has not been trained.

    torchvision   convolutions N(0, 2/(O·kh·kw))  (He et al. 2015, fan out), dense N(0, 0.01²), biases 0
    he            convolutions and dense layers N(0, 2/fan in): activations keep their scale through the network
    glorot        uniform with variance 2/(fan in + fan out)  (Glorot and Bengio 2010), as the paper's section 3.1 suggests
    paper         N(0, 10⁻²), that is a standard deviation of 0.1, as printed in the paper's section 3.1

Batch norm starts as the identity: weight 1, bias 0, mean 0, variance 1.
"""
import math

import numpy as np

from npvgg.errors import UsageError


def torchvision(rng, layer, shape):
    if layer.op == "dense":
        return 0.01 * normal(rng, shape)
    return math.sqrt(2 / (shape[0] * math.prod(shape[2:]))) * normal(rng, shape)


def he(rng, layer, shape):
    return math.sqrt(2 / math.prod(shape[1:])) * normal(rng, shape)


def glorot(rng, layer, shape):
    field = math.prod(shape[2:])
    limit = math.sqrt(6 / (field * (shape[0] + shape[1])))
    return rng.random(shape, np.float32) * np.float32(2 * limit) - np.float32(limit)


def paper(rng, layer, shape):
    return 0.1 * normal(rng, shape)


def normal(rng, shape):
    return rng.standard_normal(shape, np.float32)


INITIALISATIONS = {"torchvision": torchvision, "he": he, "glorot": glorot, "paper": paper}


def initial(architecture, *, seed=0, how="torchvision"):
    """An Architecture → {"conv1_1/weight": float32 array, …}; the same seed gives the same bits (PCG64)."""
    if how not in INITIALISATIONS:
        raise UsageError(f"there is no initialisation {how!r}; npvgg has {', '.join(INITIALISATIONS)}")
    rng, parameters = np.random.Generator(np.random.PCG64(seed)), {}
    for layer in architecture.layers:
        for kind, shape in layer.shapes:
            if kind == "weight" and layer.op in ("conv2d", "dense"):
                values = INITIALISATIONS[how](rng, layer, shape).astype(np.float32, copy=False)
            else:
                values = np.full(shape, kind in ("weight", "var"), np.float32)
            parameters[f"{layer.name}/{kind}"] = values
    return parameters
