"""A network of any kind, run once with every layer kept: record(model, x, "theirs.h5") → {layer: array}.

    pytorch.py     torch.nn.Module: torchvision's, timm's, mmpretrain's, hand-written ones
    keras.py       keras.Model, on any of its backends
    onnx.py        an ONNX file, through ONNX Runtime
    and npvgg's own VGG

A framework is imported when a network of it is given, and here only.
"""
import os
from importlib import import_module

import numpy as np

from npvgg.errors import UnsupportedError, UsageError
from npvgg.images import Preset
from npvgg.network import VGG
from npvgg.parity import traces
from npvgg.parity.recorders.outcome import Recording
from npvgg.storage import atomic_file, hdf5_writing
from npvgg.version import __version__

# The package that a network's classes come from → the module for it.
RECORDERS = {"keras": "keras", "torch": "pytorch"}            # with Keras on PyTorch a model is of both

PACKAGES = {"pytorch": "torch==2.13.0", "onnx": "onnx onnxruntime", "keras": "keras"}


def record(model: object, x: object, file: str | os.PathLike | None = None, *, preset: Preset | None = None,
           force: bool = False) -> dict[str, np.ndarray]:
    """A network, or the name of an ONNX file, and its prepared input (N, C, H, W) → {layer: array}, in the order of the run.

    The names are the network's own; "input" comes first.  With `file` the trace is written there too, with what made it, and
    `preset` if the input was prepared by one; `force` replaces a file that exists.  The arrays are copies, float32 or float64:
    what is changed in place later stays as it was, and halves are widened exactly.

    Raises UsageError where the network does not take the input, UnsupportedError for a kind of network that cannot be looked
    into and for a package that is missing, BadFileError for a file that is no ONNX, and the errors of `traces.write`.
    """
    if preset is not None and not isinstance(preset, Preset):
        raise UsageError(f"preset is of type {type(preset).__name__}; give a Preset, as images.preset('torchvision')")
    if file is not None:
        hdf5_writing.destination(file, force)                         # refused now rather than after the work
        atomic_file.refuse_inputs(file, [model] if isinstance(model, str | os.PathLike) else [])
    recording = recorded(model, x)
    if file is not None:
        traces.write(file, recording.arrays, architecture_json=recording.architecture_json, model_name=recording.model_name,
                     made_by=recording.made_by, dtype=recording.dtype, preset=preset, algorithm=recording.algorithm,
                     force=force)
    return recording.arrays


def recorded(model: object, x: object) -> Recording:
    """A network of any kind and its input → Recording."""
    if isinstance(model, VGG):
        arrays = model.trace(x)
        made_by = f"npvgg {__version__}, {model.options.tier} tier, {model.dtype}"
        return Recording(arrays, model.source, made_by, str(model.dtype), model.architecture.to_json(), model.options.algorithm)
    if isinstance(model, str | os.PathLike):
        return recorder("onnx").recording(model, x)
    packages = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    for package, module in RECORDERS.items():
        if package in packages:
            return recorder(module).recording(model, x)
    raise UsageError(f"the network is of type {type(model).__name__}; give a torch.nn.Module, a keras.Model, a VGG of npvgg or "
                     "the name of an ONNX file")


def recorder(module: str):
    """A module of this package by name; UnsupportedError where the packages that it needs are missing."""
    try:
        return import_module(f"npvgg.parity.recorders.{module}")
    except ImportError as error:
        raise UnsupportedError(f"recording needs a package that cannot be imported ({error}); install it: "
                               f"`python -m pip install {PACKAGES[module]}`") from None
