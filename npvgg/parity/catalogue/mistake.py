"""What an entry of the catalogue is, and what it is tried on."""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from npvgg.layer import Layer
from npvgg.parity import exact
from npvgg.parity.exact import Rounded
from npvgg.parity.stages import Stage, computed, parameters_of


@dataclass(frozen=True)
class Mistake:
    """One entry.  In `name` and `remedy` stand {fields} for what is found out: the ε, the slope, the other layer."""

    name: str                             # as it goes on from "A is conv2_1 "
    operations: tuple                     # of the layers that it is tried on
    reproduce: Callable                   # Case → an answer, (answer, {field: value}), an iterable of those, or None
    remedy: str                           # what to do about it
    is_estimated: bool = False            # its parameters are fitted to the run, so that it explains much by nature
    is_local: bool = False                # an output at a pixel needs that output's own parameters and that pixel's window only
    covers: int = 0                       # how many layers behind this one are off as a consequence
    alters: Callable | None = None        # where it only makes other parameters, Case → those, so that it can be one of two

    def answers(self, case: "Case") -> Iterable[tuple[Rounded, dict]]:
        """What the layer would give with this mistake; none where it makes no sense."""
        given = self.reproduce(case)
        for answer in given if isinstance(given, Iterable) and not isinstance(given, tuple) else (given,):
            if answer is not None:
                yield answer if isinstance(answer, tuple) else (answer, {})


@dataclass(frozen=True, eq=False)
class Case:
    """One layer of a run that is wrong there, with all that is known about it.

    Its properties are what entries are written in: `x` is the input, as float64, `weight`, `bias`, … its parameters, `y` what
    the run holds; `again` computes it with something changed.
    """

    layer: Layer
    x: Rounded
    own: Mapping                          # {"weight": float64 array, …}
    unit: float
    stage: Stage
    following: tuple                      # the layers of the stage behind this one
    run: Mapping                          # every array of the run
    layers: tuple                         # of the network
    parameters: Mapping                   # {path: array} of the network
    maps: tuple | None = None             # (C, H, W) that was flattened, for what comes behind that
    looked_at: tuple = (slice(None),)     # the pictures, outputs, rows and columns of the run that are looked at
    border: int = 0                       # of what is computed, to be cut off: `x` has pixels there that the run pads beyond
    whole_weight: np.ndarray | None = None            # where `weight` has some outputs only

    @property
    def weight(self) -> np.ndarray:
        """The layer's weights."""
        return self.own["weight"]

    @property
    def bias(self) -> np.ndarray | None:
        """The layer's bias; None where it has none."""
        return self.own.get("bias")

    @property
    def options(self) -> dict:
        """The layer's options."""
        return dict(self.layer.options)

    @property
    def y(self) -> np.ndarray:
        """What the run holds at the end of the stage, float64."""
        return np.asarray(self.run[self.stage.name][self.looked_at], np.float64)

    @property
    def pictures(self) -> slice:
        """The pictures of the run that are looked at."""
        return self.looked_at[0]

    @property
    def visible(self) -> np.ndarray | None:
        """Where `y` is this layer's own output: everywhere, or behind a ReLU where it is positive; None if something else
        follows."""
        if all(layer.op == "dropout" for layer in self.following):
            return np.ones(self.y.shape, bool)
        return self.y > 0 if all(layer.op in ("relu", "dropout") for layer in self.following) else None

    @property
    def place(self) -> int:
        """Where the layer stands in the network."""
        return [layer.name for layer in self.layers].index(self.layer.name) if self.layer in self.layers else len(self.layers)

    def again(self, x: Rounded | None = None, options: Mapping | None = None, **own) -> Rounded:
        """The layer with another input, other options, or other parameters by name."""
        arrays = [(self.own | own)[kind] for kind, _ in self.layer.shapes]
        layer = replace(self.layer, options=tuple((self.options | dict(options or {})).items()))
        return exact.run(layer, self.x if x is None else x, arrays, self.unit)

    def conv(self, x: Rounded | None = None, **changes) -> Rounded:
        """A convolution with weight, bias or any option of `exact.conv2d` changed."""
        given = {"weight": self.weight, "bias": self.bias, "padding": self.options["padding"]} | changes
        return exact.conv2d(self.x if x is None else x, given.pop("weight"), given.pop("bias"), self.unit, **given)

    def finished(self, answer: Rounded) -> Rounded | None:
        """This layer's output → that of the stage."""
        if self.border:
            answer = answer.map(lambda y: y[:, :, self.border:-self.border, self.border:-self.border])
        return computed(self.following, answer, self.parameters, self.unit)

    def neighbours(self) -> Iterable[tuple[Layer, dict]]:
        """The other layers with parameters of the same shapes, the nearest first, and those parameters."""
        like = [layer for layer in self.layers if layer is not self.layer and layer.op == self.layer.op and layer.shapes
                and layer.shapes == self.layer.shapes]
        for layer in sorted(like, key=lambda other: abs(self.layers.index(other) - self.place)):
            arrays = parameters_of(layer, self.parameters)
            if arrays is not None:
                some = self.looked_at[1] if len(self.looked_at) > 1 else slice(None)
                yield layer, {kind: array[some] for (kind, _), array in zip(layer.shapes, arrays)}
