"""VGG without a framework: convert the weights, load them, see what every layer does.

    >>> import npvgg
    >>> vgg = npvgg.load()                             # the bundled network; or "vgg16", or "vgg16.h5"
    >>> vgg.architecture.layers[0].name
    'conv1_1'
    >>> npvgg.create("vgg16", num_classes=10, width=0.125, seed=0).architecture.parameters["conv1_1/weight"]
    (8, 3, 3, 3)

The modules in the order of the data: architecture, images, weights, network, runner, labels, classify, hub; kernels computes
the layers, parity compares two runs, and training makes weights.
"""
from importlib import import_module
from typing import TYPE_CHECKING

from npvgg.version import __version__

if TYPE_CHECKING:
    from npvgg import architecture, classify, hub, images, kernels, labels, network, parity, runner, training, weights
    from npvgg.classify import load, predict
    from npvgg.errors import NpvggError
    from npvgg.hub import list_models
    from npvgg.labels import Prediction
    from npvgg.network import VGG, create

__all__ = ["__version__", "VGG", "NpvggError", "Prediction", "create", "list_models", "load", "predict",
           "architecture", "classify", "hub", "images", "kernels", "labels", "network", "parity", "runner", "training",
           "weights"]

# Where each name is, looked up at its first use, so that `import npvgg` and `npvgg --help` wait neither for Numba nor for h5py.
HOMES = {"load": "classify", "predict": "classify", "create": "network", "VGG": "network", "list_models": "hub",
         "NpvggError": "errors", "Prediction": "labels"}


if not TYPE_CHECKING:                     # a type checker that saw it would take every name for one of ours
    def __getattr__(name):
        if name in HOMES:
            return getattr(import_module(f"npvgg.{HOMES[name]}"), name)
        if name in __all__:
            return import_module(f"npvgg.{name}")
        raise AttributeError(f"module 'npvgg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
