"""The same answer sooner: layers as programs of the engine.

    plan = Plan(net.layers, parameters)
    plan.run(x, ["relu5_3", "fc8"])         (N, C, H, W) → {"relu5_3": (N, 512, H/16, W/16), "fc8": (N, 1000)}

Weights are transformed and packed once; bias, batch norm, ReLU and max-pooling are fused into the step before them where no
output between is kept (kernels/engine/building.py).  Every layer has the same bits whatever else is asked for.
"""
from collections import OrderedDict
from threading import Lock
from weakref import WeakSet

import numpy as np

from npvgg import forking
from npvgg.errors import UsageError
from npvgg.kernels import contracts
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.contracts import Outline
from npvgg.kernels.engine import building
from npvgg.kernels.engine.arenas import Arenas
from npvgg.kernels.engine.packed import Packed
from npvgg.kernels.tiers import ALGORITHMS

# Images that run through a program together: with eight, the 235 MB of transformed filters are read for all of them at once,
# and more gain nothing.  The count is in images of 224×224; small ones go together in larger numbers.
IMAGES = 8
PIXELS = IMAGES * 224 * 224
MOST_IMAGES = 64
PROGRAMS = 32                   # kept for sizes and layers seen before; a program is a few kilobytes

PLANS = WeakSet()               # of this process, for `after_fork`


def refused(layers) -> str | None:
    """The name of the first layer that the engine cannot compute, None where it can compute all."""
    return next((layer.name for layer in layers if not building.is_obeyed(layer)), None)


class Plan:
    """Packed weights of some layers, the programs made of them, and their memory; calls from several threads may share it."""

    def __init__(self, layers: tuple, parameters: dict, packed: Packed | None = None):
        self.layers, self.parameters = layers, parameters
        self.lock = Lock()
        self.packed, self.arenas = packed or Packed(parameters), Arenas()
        self.programs, self.known = OrderedDict(), {}
        self.outlines = {path: Outline(array.shape) for path, array in parameters.items()}
        PLANS.add(self)

    def behind(self, position: int) -> "Plan":
        """The plan of the layers from this one on, which shares the packed weights."""
        return Plan(self.layers[position:], self.parameters, self.packed)

    def run(self, x: np.ndarray, names, threads: int | None = None, algorithm: str = "auto") -> dict:
        """x float32 → {name: that layer's output}; layers behind the last one named are not computed.

        `algorithm`: one of `tiers.ALGORITHMS`; `threads`: None for all.  The bits depend on neither threads, nor N, nor the
        other names.  ShapeError where x does not fit the layers.
        """
        if algorithm not in ALGORITHMS:
            raise UsageError(f"there is no algorithm {algorithm!r}; choose one of {', '.join(ALGORITHMS)}")
        names, threads = tuple(dict.fromkeys(names)), number_of(threads)
        contracts.answer_shape(self.layers[0], x, self.parameters)
        shapes = self.shapes(x.shape)
        answers = {name: np.empty(shapes[name], np.float32) for name in names}
        x = np.require(x, requirements=["C", "A"])
        together = min(max(1, PIXELS // max(1, int(np.prod(x.shape[2:])))), MOST_IMAGES)
        for start in range(0, len(x), together):
            piece = x[start:start + together]
            program = self.program(piece.shape, threads, algorithm, frozenset(names))
            arena = self.arenas.take(program.floats)
            program.run({"x": piece} | {name: answer[start:start + together] for name, answer in answers.items()}, arena)
            self.arenas.give_back(arena)
        return answers

    def shapes(self, x_shape):
        """{name: shape of that layer's output}, by the contracts of the layers."""
        if x_shape not in self.known:
            x, shapes = Outline(x_shape), {}
            for layer in self.layers:
                x = Outline(contracts.answer_shape(layer, x, self.outlines))
                shapes[layer.name] = x.shape
            if len(self.known) >= PROGRAMS:
                self.known.clear()
            self.known[x_shape] = shapes
        return self.known[x_shape]

    def program(self, x_shape, threads, algorithm, names):
        """The program for so many pictures of one size, made at its first use."""
        key = x_shape, threads, algorithm, names
        with self.lock:
            if key not in self.programs:
                self.programs[key] = building.build(self.layers, self.packed, x_shape, threads, algorithm, names)
                if len(self.programs) > PROGRAMS:
                    self.programs.popitem(last=False)
            self.programs.move_to_end(key)
            return self.programs[key]


def after_fork():
    """A plan's lock held by a thread that does not exist here would never be released."""
    for plan in PLANS:
        plan.lock = Lock()


forking.in_child(after_fork)
