"""The networks of tests/golden: what PyTorch answered, for machines without it.

    NAME.npz    a network a sixteenth as wide: parameters and pictures of odd sizes, rounded to float16 to be small; of each
                layer SAMPLES values as PyTorch computed them in float32 and in float64, and the moments of the whole array;
                the logits in full
    tiny*       a checkpoint in both containers of PyTorch, the digests of its tensors, a picture, and PyTorch's trace of it
"""
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from witnesses.networks import lively

from npvgg import images
from npvgg.architecture import architecture
from npvgg.network import VGG

FOLDER = Path(__file__).parents[1] / "golden"
COMMAND = "python tests/golden/record.py"
SAMPLES = 64

# Name: shape of the pictures.
CASES = {"vgg11_bn": (3, 3, 32, 32), "vgg16": (2, 3, 37, 52), "a_lrn": (3, 3, 48, 33), "c": (1, 3, 65, 34)}
SIZES = {"width": 1 / 16, "hidden": (24, 20), "num_classes": 10, "pooled_size": 2, "input_size": 32}


@dataclass(frozen=True)
class Golden:
    """One NAME.npz."""

    vgg: VGG
    x: np.ndarray                         # (N, 3, H, W) float32
    layers: tuple                         # names
    float32: np.ndarray                   # (layers, SAMPLES) what PyTorch computed in float32
    float64: np.ndarray                   # (layers, SAMPLES) and in float64
    moments: np.ndarray                   # (layers, 4) mean, standard deviation, minimum and maximum in float64
    logits32: np.ndarray
    logits64: np.ndarray


def load(name, folder=FOLDER):
    """The recording of a case; AssertionError with the command that renews it where it is missing or out of date."""
    path, net = Path(folder) / f"{name}.npz", architecture(name, **SIZES)
    renew = f"run `{COMMAND}` to record it again (this needs PyTorch)"
    assert path.exists(), f"there is no {path.name}; {renew}"
    with np.load(path, allow_pickle=False) as file:
        stored = dict(file)
    parameters = {key.removeprefix("parameters/"): stored.pop(key).astype(np.float32)
                  for key in list(stored) if key.startswith("parameters/")}
    layers = tuple(stored.pop("layers").tolist())
    is_current = (layers == tuple(layer.name for layer in net.layers)
                  and net.parameters == {key: array.shape for key, array in parameters.items()})
    assert is_current, f"{path.name} holds other layers or parameters than {name} has today; {renew}"
    vgg = VGG(net, parameters, images.preset("torchvision").resized(net.input_size))
    return Golden(vgg, stored.pop("x").astype(np.float32), layers, **stored)


def fresh(name):
    """Architecture, parameters and pictures of a case, exact in float16, to be recorded."""
    vgg = lively(name, seed=sorted(CASES).index(name), **SIZES)
    x = np.random.default_rng(7).standard_normal(CASES[name], np.float32)
    return (vgg.architecture, {key: array.astype(np.float16).astype(np.float32) for key, array in vgg.parameters.items()},
            x.astype(np.float16).astype(np.float32))


def save(name, parameters, x, trace32, trace64):
    """Write a case from PyTorch's {layer: array} in float32 and in float64."""
    *_, last = trace64
    np.savez_compressed(
        FOLDER / f"{name}.npz", x=x.astype(np.float16), layers=list(trace64),
        float32=[sampled(y) for y in trace32.values()], float64=[sampled(y) for y in trace64.values()],
        moments=[moments(y) for y in trace64.values()], logits32=trace32[last], logits64=trace64[last],
        **{f"parameters/{key}": array.astype(np.float16) for key, array in parameters.items()})


def sampled(y):
    """SAMPLES values of an array, the first and the last among them, evenly spaced in C order."""
    return y.ravel()[np.linspace(0, y.size - 1, SAMPLES).astype(int)]


def moments(y):
    return np.array([y.mean(), y.std(), y.min(), y.max()])


def digest(array):
    """What identifies a tensor: dtype, shape, SHA-256 of its bytes in C order."""
    return [array.dtype.name, list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
