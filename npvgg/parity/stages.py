"""What lies between two recorded layers of a run: the layers of the network from one to the other.

    a run with conv1_1, relu1_1, …             → conv1_1 from input, relu1_1 from conv1_1, …: one layer each
    a run of Keras, whose layers end in a ReLU → relu1_1 from input by conv1_1 and relu1_1, …
"""
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import ShapeError
from npvgg.layer import Layer
from npvgg.parity import exact
from npvgg.parity.exact import Rounded

FRACTIONS = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}          # bits behind the first
LARGE = 4_000_000                         # numbers of a dense layer that are not all brought to float64 at once
PROBABILITIES = Layer("softmax", "prob")
OUTPUT = Layer("output", "output")        # what a recorder calls the output that is no layer's


@dataclass(frozen=True)
class Stage:
    """The layers that lead from the array called `source` to the one called `name`."""

    name: str
    source: str
    layers: tuple

    def after(self, earlier: "Stage") -> "Stage":
        """From where an earlier stage begins to the end of this one."""
        return replace(self, source=earlier.source, layers=earlier.layers + self.layers)


def stages(net: Architecture, names) -> list[Stage]:
    """The stages between the layers that a run holds, in the order in which the data flows."""
    found, source, between = [], "input" if "input" in names else None, []
    behind = [OUTPUT] if OUTPUT.name in names else [PROBABILITIES] if net.output == "softmax" else []
    for layer in [*net.layers, *behind]:
        between.append(layer)
        if layer.name in names:
            if source is not None:
                found.append(Stage(layer.name, source, tuple(between)))
            source, between = layer.name, []
    return found


def parameters_of(layer: Layer, parameters: Mapping) -> list | None:
    """The arrays of a layer, in float64 unless they are LARGE; None where one is not known."""
    arrays = [parameters.get(f"{layer.name}/{kind}") for kind, _ in layer.shapes]
    if any(array is None for array in arrays):
        return None
    return [array if array.size > LARGE else array.astype(np.float64) for array in arrays]


def computed(layers, x: Rounded, parameters: Mapping, unit: float) -> Rounded | None:
    """Layers from an input → their output; None where a parameter is not known.  ShapeError where they do not fit together."""
    for layer in layers:
        arrays = parameters_of(layer, parameters)
        if arrays is None:
            return None
        channels = {"conv2d": 1, "batchnorm2d": 0, "batchnorm1d": 0, "dense": 1}.get(layer.op)
        if channels is not None and (x.value.ndim < 2 or arrays[0].shape[channels] != x.value.shape[1]):
            raise ShapeError(f"{layer.name} takes {arrays[0].shape[channels]} channels and its input is of shape "
                             f"{x.value.shape}; give the network of the runs")
        try:
            x = exact.run(layer, x, arrays, unit)
        except ValueError as error:                        # NumPy's, of axes that are not there
            raise ShapeError(f"{layer.name} does not take an input of shape {x.value.shape} ({error})") from None
    return x


def units_of(arrays: Mapping, dtype: str = "") -> dict:
    """{layer: array} → {layer: half a unit in the last place} of the run's arithmetic.

    That of `dtype`, where the run says what it was computed in and its arrays hold as much; else of the arrays.  An array of
    float64 whose every value is one of float32 comes from a run in float32.
    """
    return {name: 2.0 ** -(min(fraction(array), FRACTIONS.get(dtype, 52)) + 1) for name, array in arrays.items()}


def fraction(array: np.ndarray) -> int:
    """The bits of the fraction of what an array holds."""
    with np.errstate(all="ignore"):
        is_single = array.dtype == np.float64 and np.array_equal(array, array.astype(np.float32), equal_nan=True)
    return FRACTIONS["float32" if is_single else array.dtype.name] if array.dtype.kind == "f" else 52
