"""One training step of a network on the engine: forward, the loss, and backwards.

    plan = TrainingPlan(layers)
    outcome = plan.run(parameters, x, loss)

Weights are packed on every step, for they have changed.  The memory of a step is kept for the next.
"""
import numpy as np

from npvgg.kernels.compiling import threads
from npvgg.kernels.engine import training_steps
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.float32.packing import pack_dense


class TrainingPlan:
    """Programs for some layers, one pair for each shape of x; one call at a time."""

    KEPT = 4                    # shapes: progressive sizes, and the last batch of an epoch

    def __init__(self, layers):
        self.chain = training_steps.groups(layers)
        self.layers, self.programs, self.arena = layers, {}, np.empty(0, np.float32)

    def run(self, parameters, x, loss, factors, count):
        """→ (value of the loss, logits, {path: gradient}, {norm: (mean, unbiased variance)}).

        `parameters` {path: float32 array}, x (N, C, H, W) float32, `loss` function(logits) → (value, gradient);
        `factors` {dropout: (N, features) of 0 and 1/(1 − p)}; `count` threads.
        """
        forward, backward = self.made(x.shape, count)
        arrays = {path: np.require(array, requirements=["C", "A"]) for path, array in parameters.items()}
        statistics, gradients = {}, {}
        for layer in self.layers:
            if layer.op == "batchnorm2d":
                channels = layer.shapes[0][1]
                statistics[layer.name] = np.empty(channels, np.float32), np.empty(channels, np.float32)
                for kind, array in zip(("mean", "variance"), statistics[layer.name]):
                    arrays[f"{layer.name}/batch {kind}"] = array
            for kind, shape in layer.shapes:
                path = f"{layer.name}/{kind}"
                if kind in ("weight", "bias"):
                    gradients[path] = arrays[f"∂{path}"] = np.zeros(shape, np.float32) if kind == "bias" else np.empty(
                        shape, np.float32)
                if layer.op == "dense" and kind == "weight":
                    arrays[path] = pack_dense(arrays[path])
                    arrays[f"∂{path}"] = gradients[path] if arrays[path].shape == shape else np.empty_like(arrays[path])
        for name, factor in factors.items():
            arrays[name] = pack_dense(factor)
        logits = np.empty((len(x), self.width), np.float32)
        forward.run(arrays | {"x": np.require(x, requirements=["C", "A"]), "logits": logits}, self.arena)
        value, gradient = loss(logits)
        backward.run(arrays | {"gradient": np.require(gradient, np.float32, ["C", "A"])}, self.arena)
        for path, array in gradients.items():
            if arrays[f"∂{path}"] is not array:
                array[:] = arrays[f"∂{path}"][:, :array.shape[1]]
        return value, logits, gradients, statistics

    def made(self, x_shape, count):
        """The programs for x of that shape, made at its first use."""
        key = x_shape, count
        if key not in self.programs:
            if len(self.programs) >= self.KEPT:
                self.programs.pop(next(iter(self.programs)))
            self.programs[key] = training_steps.build(self.chain, x_shape, count)
        floats = max(program.floats for program in self.programs[key])
        if self.arena.size < floats:
            self.arena = aligned(floats)
        return self.programs[key]

    @property
    def width(self):
        """Numbers of the last layer for each picture."""
        return [dict(group["dense"].shapes)["weight"][0] for group in self.chain if "dense" in group][-1]
