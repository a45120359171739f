"""VGG without a framework: convert the weights, load them, see what every layer does.

    >>> import npvgg
    >>> vgg = npvgg.load()                             # the bundled network; or "vgg16", or "vgg16.h5"
    >>> vgg.architecture.layers[0].name
    'conv1_1'
    >>> npvgg.create("vgg16", num_classes=10, width=0.125, seed=0).architecture.parameters["conv1_1/weight"]
    (8, 3, 3, 3)

The modules in the order of the data: architecture, images, weights, network, labels, classify, hub; kernels holds the
arithmetic and parity the comparison of two runs.
"""
from importlib import import_module

__version__ = "0.1.0"

# Names are resolved on first use, so that `import npvgg` and `npvgg --help` wait neither for Numba nor for h5py.
LOCATIONS = {
    "load": "npvgg.classify", "predict": "npvgg.classify", "create": "npvgg.network", "VGG": "npvgg.network",
    "list_models": "npvgg.hub", "NpvggError": "npvgg.errors", "Prediction": "npvgg.labels",
}
__all__ = ["__version__", *LOCATIONS]


def __getattr__(name):
    if name in LOCATIONS:
        return getattr(import_module(LOCATIONS[name]), name)
    raise AttributeError(f"module 'npvgg' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *LOCATIONS])
