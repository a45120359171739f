"""The contestants, one module each, with two functions:

    write(vgg, folder)              the model in the files that this runtime loads best
    load(folder, shape, threads)    those files → run: (N, 3, H, W) float32 array → (N, classes) array

What `run` does is what a user's call does: the picture is a NumPy array before it, the logits are one after it.
Every runtime computes in float32, and is otherwise left at its defaults; a module that departs from them says why.
"""
from importlib import import_module, util
from typing import NamedTuple

from npvgg.version import __version__


class Runtime(NamedTuple):
    """How a contestant is called by people, by pip, and in import statements."""

    label: str
    distribution: str
    packages: tuple


RUNTIMES = {
    "npvgg": Runtime("npvgg", "npvgg", ()),
    "pytorch": Runtime("PyTorch", "torch", ("torch",)),
    "onnxruntime": Runtime("ONNX Runtime", "onnxruntime", ("onnxruntime", "onnx")),
    "openvino": Runtime("OpenVINO", "openvino", ("openvino", "onnx")),
    "ncnn": Runtime("ncnn", "ncnn", ("ncnn",)),
    "mnn": Runtime("MNN", "MNN", ("MNN", "onnx")),
}
PEERS = tuple(RUNTIMES)[1:]


def missing(name):
    """The packages that a contestant needs and that are not installed."""
    return [package for package in RUNTIMES[name].packages if util.find_spec(package) is None]


def version(name):
    from importlib import metadata  # not at the top: it would delay every cold start

    return __version__ if name == "npvgg" else metadata.version(RUNTIMES[name].distribution)


def module(name):
    return import_module(f"benchmarks.runtimes.{name}")
