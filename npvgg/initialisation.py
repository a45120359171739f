"""Fresh parameters for a network that has not been trained.

    torchvision   convolutions N(0, 2/(O·kh·kw))  (He et al. 2015, fan out), dense N(0, 0.01²), biases 0
    he            convolutions and dense layers N(0, 2/fan in): activations keep their scale through the network
    glorot        uniform with variance 2/(fan in + fan out)  (Glorot and Bengio 2010), as the paper's section 3.1 suggests
    paper         N(0, 10⁻²), that is a standard deviation of 0.1, as printed in the paper's section 3.1
    normal        N(0, 0.01²), as the authors' own Caffe models and most re-implementations read that sentence
    dirac         torchvision's, but each 3×3 convolution's first filters hand its input on (arXiv 2404.00498, section 3.3)

Batch norm starts as the identity: weight 1, bias 0, mean 0, variance 1.
"""
import math
from collections.abc import Sequence
from numbers import Integral

import numpy as np

from npvgg.architecture import Architecture, check_architecture
from npvgg.checks import check_memory
from npvgg.errors import UsageError
from npvgg.layer import Layer
from npvgg.parameters import sealed
from npvgg.text import meant


def torchvision(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """N(0, 2/(O·kh·kw)) for a convolution, N(0, 0.01²) for a dense layer (torchvision.models.VGG)."""
    if layer.op == "dense":
        return 0.01 * normal(rng, shape)
    return math.sqrt(2 / (shape[0] * math.prod(shape[2:]))) * normal(rng, shape)


def he(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """N(0, 2/(C·kh·kw)), or N(0, 2/inputs) (He et al. 2015, equation 10)."""
    return math.sqrt(2 / math.prod(shape[1:])) * normal(rng, shape)


def glorot(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """Uniform on [−a, a), a² = 6/(fan in + fan out) (Glorot and Bengio 2010, equation 16)."""
    field = math.prod(shape[2:])
    limit = math.sqrt(6 / (field * (shape[0] + shape[1])))
    return rng.random(shape, np.float32) * np.float32(2 * limit) - np.float32(limit)


def paper(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """N(0, 10⁻²) (Simonyan and Zisserman, section 3.1)."""
    return 0.1 * normal(rng, shape)


def narrow(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """N(0, 0.01²)."""
    return 0.01 * normal(rng, shape)


def dirac(rng: np.random.Generator, layer: Layer, shape: tuple) -> np.ndarray:
    """torchvision's; the first filters of a convolution, as many as it has input channels, are the identity."""
    values = torchvision(rng, layer, shape)
    if layer.op == "conv2d":
        count = min(shape[:2])
        values[:count] = 0
        values[np.arange(count), np.arange(count), shape[2] // 2, shape[3] // 2] = 1
    return values


def normal(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Standard normal numbers in float32."""
    return rng.standard_normal(shape, np.float32)


INITIALISATIONS = {"torchvision": torchvision, "he": he, "glorot": glorot, "paper": paper, "normal": narrow,
                    "dirac": dirac}


def initial(architecture: Architecture, *, seed: int = 0, how: str = "torchvision",
            layers: Sequence[Layer] | None = None) -> dict[str, np.ndarray]:
    """An Architecture → {"conv1_1/weight": read-only float32 array, …}; the same seed gives the same bits (PCG64).

    `how` is one of INITIALISATIONS; with `layers`, parameters of these alone are drawn.  UsageError for another `how`, for a
    seed that is no whole number of at least 0, and for more parameters than memory.
    """
    if not isinstance(how, str) or how not in INITIALISATIONS:
        raise UsageError(f"there is no initialisation {how!r}{meant(how, INITIALISATIONS)}; npvgg has "
                         f"{', '.join(INITIALISATIONS)}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"seed is {seed!r}; give a whole number of at least 0")
    check_architecture(architecture)
    check_memory(architecture.name, sum(math.prod(shape) for shape in architecture.parameters.values()))
    rng, parameters = np.random.Generator(np.random.PCG64(seed)), {}
    for layer in architecture.layers if layers is None else layers:
        for kind, shape in layer.shapes:
            if kind == "weight" and layer.op in ("conv2d", "dense"):
                values = INITIALISATIONS[how](rng, layer, shape).astype(np.float32, copy=False)
            else:
                values = np.full(shape, kind in ("weight", "var"), np.float32)
            parameters[f"{layer.name}/{kind}"] = sealed(values)
    return parameters
