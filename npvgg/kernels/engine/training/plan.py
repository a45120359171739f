"""Training steps of a network on the engine: forward, the loss, and backwards.

    plan = TrainingPlan(layers)
    value, logits, gradients, statistics = plan.run(parameters, x, loss)

Weights are packed on every step, for they have changed since the last.  The memory of a step is kept for the next.
"""
import numpy as np

from npvgg.kernels.engine.arenas import Arenas
from npvgg.kernels.engine.float32.packing import pack_dense
from npvgg.kernels.engine.training import building

KEPT = 8                        # shapes of x for which programs are kept: progressive sizes, and the last batch of an epoch


class TrainingPlan:
    """The programs of some layers, which `building.refused` does not refuse; calls from several threads may share it."""

    def __init__(self, layers):
        self.layers, self.chain = layers, building.groups(layers)
        self.programs, self.arenas = {}, Arenas()
        self.outputs = [dict(group["dense"].shapes)["weight"][0] for group in self.chain if "dense" in group][-1]

    def run(self, parameters, x, loss, factors=None, wanted=None, threads=1, into=None):
        """→ (value of the loss, logits, {path: gradient}, {batch norm: (mean, unbiased variance)}).

        `parameters` {path: array}, x (N, C, H, W), all float32; `loss` function(logits) → (value, gradient of the logits);
        `factors` {dropout: (N, features) of 0 and 1/(1 − p)}; `wanted` the paths whose gradients are
        needed, all by default; `into` {path: array}, which is written in the place of new memory.  The gradient of a bias
        before a batch norm, which takes it away again, is exactly 0.
        """
        paths = [f"{layer.name}/{kind}" for layer in self.layers for kind, _ in layer.shapes if kind in ("weight", "bias")]
        wanted = set(paths if wanted is None else wanted)
        factors = factors or {}
        # A dropout that drops nothing is the identity.
        chain = [group for group in self.chain if "dropout" not in group or group["dropout"].name in factors]
        first = next(number for number, group in enumerate(chain)
                     if any(path.partition("/")[0] == layer.name for layer in group.values() for path in wanted))
        forward, backward = self.programs_for(chain, x.shape, threads, first, frozenset(factors))
        arrays = {"x": np.require(x, requirements=["C", "A"]), "logits": np.empty((len(x), self.outputs), np.float32)}
        arrays |= {name: pack_dense(factor) for name, factor in factors.items()}
        gradients, statistics = add_arrays(arrays, chain, parameters, first, into or {})
        arena = self.arenas.take(max(forward.floats, backward.floats))
        forward.run(arrays, arena)
        value, gradient = loss(arrays["logits"])
        backward.run(arrays | {"gradient": np.require(gradient, np.float32, ["C", "A"])}, arena)
        self.arenas.give_back(arena)
        for path, array in gradients.items():
            if arrays[f"∂{path}"] is not array:                       # rows that were filled up to whole cache lines
                array[:] = arrays[f"∂{path}"][:, :array.shape[1]]
        return value, arrays["logits"], {path: gradients[path] for path in paths if path in wanted}, statistics

    def programs_for(self, chain, x_shape, threads, first, dropped):
        """The programs forward and backward of a chain for x of that shape, made at its first use."""
        key = x_shape, threads, first, dropped
        programs = self.programs.get(key)
        if programs is None:
            if len(self.programs) >= KEPT:
                self.programs.clear()
            programs = self.programs.setdefault(key, building.build(chain, x_shape, threads, first))
        return programs


def add_arrays(arrays, chain, parameters, first, into):
    """Adds to `arrays` what the programs read and write beside x; returns {path: gradient} and the statistics."""
    gradients, statistics = {}, {}
    for number, group in enumerate(chain):
        for layer in group.values():
            for kind, shape in layer.shapes:
                path = f"{layer.name}/{kind}"
                array = np.require(parameters[path], requirements=["C", "A"])
                arrays[path] = pack_dense(array) if layer.op == "dense" and kind == "weight" else array
                if number >= first and kind in ("weight", "bias"):
                    gradients[path] = into[path] if path in into else np.empty(shape, np.float32)
                    if kind == "bias" and "batchnorm2d" in group and layer.op == "conv2d":
                        gradients[path][:] = 0
                    arrays[f"∂{path}"] = gradients[path] if arrays[path].shape == shape else np.empty_like(arrays[path])
            if layer.op == "batchnorm2d":
                channels = layer.shapes[0][1]
                statistics[layer.name] = np.empty(channels, np.float32), np.empty(channels, np.float32)
                arrays |= zip((f"{layer.name}/batch mean", f"{layer.name}/batch variance"), statistics[layer.name])
    return gradients, statistics
