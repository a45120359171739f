"""Gradients of a network on the engine: forward, the loss, and backwards.

    plan = TrainingPlan(layers)
    outcome = plan.run(parameters, x, loss, wanted=["conv1_1/weight", …])

Weights are packed on every run, for they may have changed since the last.  The memory of a training step is kept for the next,
that of other gradients only up to arenas.KEPT_BYTES.
"""
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from npvgg.kernels.engine.arenas import Arenas
from npvgg.kernels.engine.float32.packing import pack_dense
from npvgg.kernels.engine.training import building

KEPT = 8                        # programs that are kept: progressive sizes, the last batch of an epoch, other things wanted


class Gradients(NamedTuple):
    """What a run gives."""

    loss: float | None                # None where gradients of layers were given in its place
    output: np.ndarray                # of the last layer that was computed
    gradients: dict                   # {path of a parameter, name of a layer or "input": array}
    statistics: dict                  # {batch norm: (mean, unbiased variance)} of the batch


class TrainingPlan:
    """The programs of some layers, which `building.refused` does not refuse; calls from several threads may share it."""

    def __init__(self, layers):
        self.layers, self.programs, self.arenas = layers, {}, Arenas()

    def run(self, parameters: Mapping, x: np.ndarray, loss: Callable | Mapping, wanted, *, shapes: Mapping,
            factors: Mapping | None = None, fixed: bool = False, threads: int = 1, into: Mapping | None = None) -> Gradients:
        """`parameters` {path: array}, x (N, C, H, W), all float32.

        `loss` is a function(output) → (value, gradient of the output), or {layer: gradient of its output}; `wanted` are paths
        of weights and biases, names of layers and "input"; `factors` {dropout: (N, features) of 0 and 1/(1 − p)}, and a
        dropout without is the identity; `fixed`: batch norm takes the running statistics; `into` {path: array}, which is
        written in the place of new memory; `shapes` {layer: shape of its output for one picture}.

        The gradient of a bias before a batch norm of the batch's statistics, which takes it away again, is exactly 0.
        """
        factors, given = factors or {}, loss if isinstance(loss, Mapping) else {self.layers[-1].name: None}
        position = {layer.name: number for number, layer in enumerate(self.layers)}
        layers = self.layers[:1 + max(position[name] for name in given)]
        standing = stand_ins(layers, factors)
        gradients_given = {}
        for name, gradient in given.items():
            name = standing.get(name, name)
            gradients_given[name] = gradient if name not in gradients_given else gradients_given[name] + gradient
        names = frozenset(standing.get(name, name) for name in wanted)
        task = building.Task(x.shape, names, frozenset(gradients_given), fixed)
        chain = building.groups([layer for layer in layers if layer.name not in standing], task.given | names)
        forward, backward = self.programs_for(chain, task, threads, frozenset(factors))
        arrays = {"x": np.require(x, requirements=["C", "A"]),
                  "output": np.empty((len(x), *shapes[list(chain[-1].values())[-1].name]), np.float32)}
        arrays |= {name: pack_dense(factor) for name, factor in factors.items()}
        gradients, statistics = add_arrays(arrays, chain, task, parameters, into or {}, shapes)
        arena = self.arenas.take(max(forward.floats, backward.floats))
        forward.run(arrays, arena)
        value = None
        if not isinstance(loss, Mapping):
            value, gradients_given[list(chain[-1].values())[-1].name] = loss(arrays["output"])
        backward.run(arrays | {f"gradient of {name}": np.require(gradient, np.float32, ["C", "A"])
                               for name, gradient in gradients_given.items()}, arena)
        # After a training step another follows, and new memory would cost a fifth of it (VGG-16, eight pictures of 224×224).
        self.arenas.give_back(arena, is_bounded=fixed)
        for path, array in gradients.items():
            if arrays[f"∂{path}"] is not array:                       # rows that were filled up to whole cache lines
                array[:] = arrays[f"∂{path}"][:, :array.shape[1]]
        return Gradients(value, arrays["output"], {name: gradients[standing.get(name, name)] for name in wanted}, statistics)

    def programs_for(self, chain, task, threads, dropped):
        """The programs forward and backward of a chain, made at their first use."""
        key = task, threads, dropped
        programs = self.programs.get(key)
        if programs is None:
            if len(self.programs) >= KEPT:
                self.programs.clear()
            programs = self.programs.setdefault(key, building.build(chain, task, threads))
        return programs


def stand_ins(layers, factors):
    """{dropout that drops nothing: the layer before it, which has the same output}."""
    standing, before = {}, building.INPUT
    for layer in layers:
        if layer.op == "dropout" and layer.name not in factors:
            standing[layer.name] = before
        else:
            before = layer.name
    return standing


def is_writable(array, shape):
    """Whether the engine can write a gradient of that shape there."""
    return (isinstance(array, np.ndarray) and array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous
            and array.flags.aligned and array.flags.writeable)


def add_arrays(arrays, chain, task, parameters, into, shapes):
    """Adds to `arrays` what the programs read and write beside x; returns {name: gradient} and the statistics."""
    statistics, idle = {}, set(building.idle(chain, task))
    gradients = {name: np.empty((task.x_shape[0], *shapes.get(name, task.x_shape[1:])), np.float32)
                 for name in task.wanted if "/" not in name}
    for layer in (layer for group in chain for layer in group.values()):
        is_norm = layer.op in building.NORMS
        for kind, shape in layer.shapes:
            path = f"{layer.name}/{kind}"
            array = np.require(parameters[path], requirements=["C", "A"])
            arrays[path] = pack_dense(array) if layer.op == "dense" and kind == "weight" else array
            if path in task.wanted:
                gradients[path] = into[path] if is_writable(into.get(path), shape) else np.empty(shape, np.float32)
                if kind == "bias" and layer.name in idle:
                    gradients[path][:] = 0
            elif is_norm or layer.op == "dense" and {f"{layer.name}/weight", f"{layer.name}/bias"} & task.wanted:
                arrays[f"∂{path}"] = np.empty(arrays[path].shape, np.float32)              # written beside what is wanted
            if path in gradients and arrays[path].shape != shape:
                arrays[f"∂{path}"] = np.empty(arrays[path].shape, np.float32)
        if is_norm and not task.fixed:
            channels = layer.shapes[0][1]
            statistics[layer.name] = np.empty(channels, np.float32), np.empty(channels, np.float32)
            arrays |= zip((f"{layer.name}/batch mean", f"{layer.name}/batch variance"), statistics[layer.name])
    for name, gradient in gradients.items():
        arrays.setdefault(f"∂{name}", gradient)
    return gradients, statistics
