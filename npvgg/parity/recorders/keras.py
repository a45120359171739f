"""Any Keras model → what each of its innermost layers gives, under the layers' names.

Every layer is called through a wrapper of `Layer.__call__`, so that models of any class, and models in models, are seen.
A layer's activation is part of it: `block1_conv1` is what comes after the ReLU.  A layer that runs more than once has its later
outputs under `relu-2`, `relu-3`, ….
"""
import re
import threading
from collections import Counter
from unittest import mock

import keras
import numpy as np

from npvgg import text
from npvgg.errors import UsageError
from npvgg.parity.recorders.outcome import Recording


def recording(model: keras.Model, x: object) -> Recording:
    """A model and its input (N, H, W, C), or as its layers have it → Recording, of a run that is not training.

    UsageError where it does not take the input.
    """
    x = given(x)
    arrays, calls, dtypes = {"input": x}, Counter(), []
    thread, call = threading.get_ident(), keras.layers.Layer.__call__
    own = set()

    def keeping(layer, *arguments, **options):
        output = call(layer, *arguments, **options)
        if id(layer) in own and threading.get_ident() == thread and keras.ops.is_tensor(output):
            name = re.sub(r"[^A-Za-z0-9_.-]+", "_", layer.name).strip("_.-") or "layer"
            calls[name] += 1
            arrays[name if calls[name] == 1 else f"{name}-{calls[name]}"] = array_of(output)
            dtypes.append(keras.backend.standardize_dtype(output.dtype))
        return output

    try:
        if not model.built:
            model(x, training=False)                      # which calls layers to make their weights
        own |= {id(layer) for layer in innermost(model)}
        with mock.patch.object(keras.layers.Layer, "__call__", keeping):
            output = model(x, training=False)
        if keras.ops.is_tensor(output) and not np.array_equal(array_of(output), list(arrays.values())[-1], equal_nan=True):
            arrays["output"] = array_of(output)
    except Exception as error:                            # whatever the model's own code and its backend raise
        raise UsageError(f"{model.name} cannot run on an input of shape {x.shape} ({text.said(error)}); give what it takes, "
                         "(N, 224, 224, 3) for example") from error
    dtype = dtypes[-1] if dtypes else x.dtype.name
    return Recording({name: array for name, array in arrays.items() if array.ndim}, text.shown(model.name, 200),
                     f"Keras {keras.__version__} on {keras.config.backend()}, {dtype}", dtype)


def innermost(layer: keras.layers.Layer) -> list:
    """The layers in a model that hold no others, an InputLayer left out."""
    return [inner for inner in layer._flatten_layers(include_self=False)
            if not isinstance(inner, keras.layers.InputLayer) and not list(inner._flatten_layers(include_self=False))]


def given(x: object) -> np.ndarray:
    """The input as a float32 or float64 array; UsageError where it is none."""
    try:
        array = np.array(keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the input is of type {type(x).__name__} ({text.said(error)}); give an array (N, H, W, C)") from None
    if array.dtype.kind != "f" or not array.ndim:
        raise UsageError(f"the input is {array.dtype} of shape {array.shape}; give prepared pictures (N, H, W, C) in floating "
                         "point")
    return array if array.dtype == np.float64 else array.astype(np.float32)


def array_of(tensor: object) -> np.ndarray:
    """A copy of a tensor as a float32 or float64 array."""
    array = np.array(keras.ops.convert_to_numpy(tensor))
    return array if array.dtype == np.float64 else array.astype(np.float32)
