"""Gradients of a network: the loop over its layers, and the same loop run backwards.

    backward = Backward(architecture)
    outcome = backward(parameters, x, lambda logits: cross_entropy(logits, classes))
    outcome.loss                                     L
    outcome.gradients["conv1_1/weight"]              ∂L/∂weight, (64, 3, 3, 3)

Forwards a layer computes y = op(x, its parameters), and x is kept.  Backwards it takes g = ∂L/∂y and gives the gradients of its
parameters, and ∂L/∂x, which is the g of the layer before it (kernels/gradients).
"""
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from npvgg.architecture import POOLINGS, Architecture, check_architecture
from npvgg.checks import callers_level, check_flags
from npvgg.computed_once import computed_once
from npvgg.counting import describe
from npvgg.errors import ShapeError, TierWarning, UsageError
from npvgg.forking import MAKING
from npvgg.kernels import tiers
from npvgg.kernels.compiling import threads
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.contracts import Outline
from npvgg.kernels.gradients.reference.dropout import masked
from npvgg.layer_names import asked_for, canonical_layer
from npvgg.parameters import check
from npvgg.runner import BELOW, ENGINE, Options, check_input

if TYPE_CHECKING:
    from npvgg.kernels.engine.training import TrainingPlan

INPUT = "input"                           # the name of the picture's own gradient
LEARNED = ("weight", "bias")              # the kinds of parameters that have gradients; statistics of batch norm have none
NORMS = ("batchnorm2d", "batchnorm1d")

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]] | Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one pass forwards and backwards gives."""

    loss: float | None                    # None where gradients of layers were given in its place
    output: np.ndarray                    # of the last layer that was computed; the logits where there is a loss
    gradients: dict[str, np.ndarray]      # {name as asked for: array in the shape of what it is the gradient of}
    # {"bn1_1": (mean, variance)} of the batch, in training: the variance is the unbiased one, for the running statistics.
    statistics: dict[str, tuple[np.ndarray, np.ndarray]]


class Backward:
    """Computes gradients of networks of one Architecture; calls from several threads may share it.

    `tier` is one of tiers.LADDER and `threads` as in Options; UsageError for what is not possible.  The gradients have the same
    bits for every number of threads.
    """

    def __init__(self, architecture: Architecture, tier: str = tiers.DEFAULT, threads: int | None = None):
        check_architecture(architecture)
        self.architecture, self.options = architecture, Options(tier, threads)
        self.layers = architecture.layers
        self.position = {INPUT: -1} | {layer.name: position for position, layer in enumerate(self.layers)}
        rung = BELOW if tier == ENGINE else tier        # what the engine does not do
        with MAKING:                                    # imports the tier
            self.kernels, self.gradients = tiers.choose(rung), tiers.choose(rung, tiers.GRADIENTS)

    def __call__(self, parameters: Mapping[str, np.ndarray], x: np.ndarray, loss: Loss, *, training: bool = True,
                 masks: Mapping[str, np.ndarray] | None = None, of: str | Iterable[str] | None = None,
                 checkpoint: bool = False, into: Outcome | None = None,
                 rules: Mapping[str, Callable] | None = None, reached: np.ndarray | None = None) -> Outcome:
        """{path: array} and pictures (N, C, H, W) of one dtype, float32 or float64 → Outcome.

        `loss` is a function of the logits that gives (L, ∂L/∂logits), or {layer: ∂L/∂its output} for any layers.  In `training`
        batch norm takes the statistics of the batch, and a dropout layer the boolean array that `masks` has under its name;
        without one it is the identity.  `of` names what is asked for, by default every weight and bias that the loss depends
        on: "conv1_1/weight" a parameter, "conv5_3" a layer's output, "input" the pictures.

        `checkpoint` keeps the input of each block (conv1_1 … pool1, and so on) and computes the block again on the way back:
        the same bits for a second forward pass and a fifth less memory, with batch norm a third.  More cannot be saved: the
        first block has half of all activations and is whole in any case.  `into` is an earlier Outcome that is no longer
        needed: the engine writes the gradients where its gradients lie, which saves the time of new memory.

        `rules` puts other functions in the place of gradients, by the name of a layer or of an operation:
        {"relu": rule}, with rule(g, y) → {"x": array}, is how guided back-propagation and relevance go backwards.  A rule takes
        what the gradient takes (kernels/gradients): g, the layer's input, of a ReLU its output, the parameters and the options.
        `reached` is what the lowest layer of `of` is given, where that is known already; the layers before it are not computed.

        In float64, with `checkpoint`, `rules` or `reached`, and of layers that it lacks, the engine leaves gradients to the
        tier below.  ShapeError and UsageError for what does not fit.
        """
        check(self.architecture, parameters)
        check_input(self.architecture, next(iter(parameters.values())).dtype, x)
        check_flags(training=training, checkpoint=checkpoint)
        if into is not None and not isinstance(into, Outcome):
            raise UsageError(f"into is a {type(into).__name__}; give an earlier Outcome, or None")
        given = None if callable(loss) else self.checked_gradients(loss)
        end = len(self.layers) if given is None else 1 + max(map(self.position_of, given))
        wanted = self.checked_wanted(of, end)
        lowest = min(map(self.position_of, wanted.values()))
        start = max(lowest, 0)                          # below it nothing is asked for, so nothing is kept
        sections = cut(self.layers[start:end]) if checkpoint else [self.layers[start:end]]
        masks, rules = self.checked_masks(masks, training), self.checked_rules(rules)
        if (ENGINE in tiers.rungs(self.options.tier) and not checkpoint and not rules and reached is None
                and x.dtype == np.float32 and self.has_variances(x, training) and self.plan is not None):
            return self.by_the_engine(parameters, x, loss if given is None else given, training, masks, wanted, into)
        way = Way(self, parameters, training, masks, given or {}, set(wanted.values()), lowest, rules)
        with threads.limited(None if self.options.tier == tiers.LADDER[0] else self.options.threads):
            if reached is None:
                for layer in self.layers[:start]:
                    x = way.forward(layer, x)
            else:
                x = self.checked_reached(reached, x, start)
            inputs = []
            for section in sections:
                inputs.append(x)
                x, kept = way.through(section, x)
            value, output, g = None, x, None
            if given is None:
                value, way.given[self.layers[-1].name] = evaluated(loss, output)
            while sections:
                section, x = sections.pop(), inputs.pop()
                if kept is None:
                    _, kept = way.through(section, x)
                g, kept = way.back(section, kept, g), None
        found = way.found | {INPUT: g}
        return Outcome(value, output, {name: found[path] for name, path in wanted.items()}, way.statistics)

    @computed_once
    def plan(self) -> "TrainingPlan | None":
        """The engine's TrainingPlan of the network; None, with a TierWarning, where it has no steps for a layer."""
        with MAKING:                        # not at the top: the reference tier works without LLVM
            from npvgg.kernels.engine.training import building, plan
        lacking = building.refused(self.layers)
        if lacking is None:
            return plan.TrainingPlan(self.layers)
        warnings.warn(f"the engine cannot train {lacking}, so gradients of this {self.architecture.name} are computed by the "
                      f"{BELOW} tier, which is slower; choose tier={BELOW!r} where that is meant", TierWarning,
                      stacklevel=callers_level())
        return None

    def by_the_engine(self, parameters: Mapping[str, np.ndarray], x: np.ndarray, loss: Loss, training: bool,
                      masks: dict[str, np.ndarray], wanted: dict[str, str], into: Outcome | None) -> Outcome:
        """The same by the engine's programs; arguments as they were checked."""
        shapes, factors = output_shapes(self.architecture, x.shape[2:]), {}
        for name, mask in masks.items():
            layer = self.layers[self.position[name]]
            factors[name] = masked(np.ones((len(x), *shapes[name]), np.float32), mask, **dict(layer.options))
        if callable(loss):
            function = partial(evaluated, loss)
        else:
            function = loss
            for name, gradient in loss.items():
                check_gradient(f"the gradient given for {name}", gradient, Outline((len(x), *shapes[name]), x.dtype))
        value, output, gradients, statistics = self.plan.run(
            parameters, x, function, tuple(wanted.values()), factors=factors, fixed=not training, shapes=shapes,
            threads=number_of(self.options.threads), into=None if into is None else into.gradients)
        return Outcome(value, output, {name: gradients[path] for name, path in wanted.items()}, statistics)

    def has_variances(self, x: np.ndarray, training: bool) -> bool:
        """Whether there are pictures, and each channel of every batch norm has two values where the batch's count.

        The kernels of the tier below say what is wrong where one has not.
        """
        if len(x) != 1 or not training:
            return len(x) > 0
        shapes = output_shapes(self.architecture, x.shape[2:])
        return all(np.prod(shapes[layer.name][1:]) > 1 for layer in self.layers if layer.op in NORMS)

    def position_of(self, path: str) -> int:
        """"conv1_1/weight" or "conv1_1" → how many layers lie before it; −1 for the input."""
        return self.position[path.partition("/")[0]]

    def checked_wanted(self, of: str | Iterable[str] | None, end: int) -> dict[str, str]:
        """{name as asked for: path or paper name} of what lies before layer number `end`; UsageError for what there is not."""
        learned = [f"{layer.name}/{kind}" for layer in self.layers[:end] for kind, _ in layer.shapes if kind in LEARNED]
        if of is None:
            return {path: path for path in learned}
        wanted = {name: self.canonical(name) for name in asked_for(of)}
        for name, path in wanted.items():
            if self.position_of(path) >= end:
                raise UsageError(f"{name!r} lies behind {self.layers[end - 1].name}, the last layer with a gradient, so its "
                                 "own is zero; leave it out, or give the gradient of a later layer")
        return wanted

    def canonical(self, name: str) -> str:
        """Any name of a layer, of a weight or bias, or of the input → the paper's."""
        layer, slash, kind = name.partition("/")
        if name == INPUT:
            return name
        layer = self.layers[self.position[canonical_layer(self.architecture, layer)]]
        kinds = [kind for kind, _ in layer.shapes if kind in LEARNED]
        if slash and kind not in kinds:
            has = f"gradients of its {' and '.join(kinds)}" if kinds else "no parameters"
            raise UsageError(f"there is no gradient of {name!r:.80}; {layer.name} has {has}")
        return f"{layer.name}{slash}{kind}"

    def checked_gradients(self, loss: Loss) -> dict[str, np.ndarray]:
        """{any name of a layer: array} → {its paper name: array}; UsageError where that is no such thing."""
        if not isinstance(loss, Mapping) or not loss:
            raise UsageError(f"the loss is {loss!r:.80}; give a function of the logits, or {{layer: gradient of its output}}")
        return {canonical_layer(self.architecture, name): gradient for name, gradient in loss.items()}

    def checked_masks(self, masks: Mapping[str, np.ndarray] | None, training: bool) -> dict[str, np.ndarray]:
        """The masks as {paper name: array}; UsageError for one that no dropout would apply."""
        if masks is None:
            return {}
        if not isinstance(masks, Mapping):
            raise UsageError(f"the masks are a {type(masks).__name__}; give {{'drop6': boolean array}}")
        masks = {canonical_layer(self.architecture, name): mask for name, mask in masks.items()}
        for name in masks:
            if not training or self.layers[self.position[name]].op != "dropout":
                raise UsageError(f"there is a mask for {name}, but masks are for dropout layers in training; leave it out")
        return masks

    def checked_rules(self, rules: Mapping[str, Callable] | None) -> dict[str, Callable]:
        """The rules by paper name or operation; UsageError for one that is neither, or no function."""
        if not isinstance(rules, Mapping | None):
            raise UsageError(f"the rules are a {type(rules).__name__}; give {{'relu': function}}")
        checked = {}
        for name, rule in (rules or {}).items():
            if not callable(rule):
                raise UsageError(f"the rule of {name!r:.80} is a {type(rule).__name__}; give a function of g and the layer's "
                                 "input")
            checked[name if name in self.gradients else canonical_layer(self.architecture, name)] = rule
        return checked

    def checked_reached(self, reached: np.ndarray, x: np.ndarray, start: int) -> np.ndarray:
        """What was computed of the pictures x up to layer number `start`; ShapeError where it cannot be that."""
        rows = describe(self.architecture, x.shape[2:])
        expected = Outline((len(x), *rows[start].input_shape), x.dtype)
        check_gradient(f"what {self.layers[start].name} is given", reached, expected)
        return reached


class Way:
    """The way through the layers and back, with what both directions share."""

    def __init__(self, backward, parameters, training, masks, given, wanted, lowest, rules):
        self.kernels, self.gradients, self.position = backward.kernels, backward.gradients, backward.position
        self.parameters, self.training, self.masks = parameters, training, masks
        self.given, self.wanted, self.lowest = given, wanted, lowest
        self.batch, self.statistics, self.found, self.rules = {}, {}, {}, rules

    @np.errstate(all="ignore")               # NaN and infinities are answers, not accidents
    def forward(self, layer, x):
        """A layer's input → its output."""
        if layer.name in self.masks:
            return masked(x, self.masks[layer.name], **dict(layer.options))
        if self.training and layer.op in NORMS:
            mean, var = self.batch[layer.name] = self.gradients["batch_statistics"](x)
            n = x.size // x.shape[1]
            self.statistics[layer.name] = mean, var * x.dtype.type(n / (n - 1))
        return self.kernels[layer.op](x, *self.arrays(layer), **dict(layer.options))

    def arrays(self, layer):
        """What a layer's kernel and its gradient take beside x."""
        arrays = layer.arrays(self.parameters)
        return arrays[:2] + [*self.batch[layer.name]] if layer.name in self.batch else arrays

    def through(self, layers, x):
        """The input of the first of some layers → the output of the last, and {layer: what its gradient needs}.

        That is the input, but of a ReLU the output: its gradient is the same, and its input need not stay in memory.
        """
        kept = {}
        for layer in layers:
            y = self.forward(layer, x)
            if layer.name in self.given:
                check_gradient(f"the gradient given for {layer.name}", self.given[layer.name], y)
            kept[layer.name] = y if layer.op == "relu" else x
            x = y
        return x, kept

    @np.errstate(all="ignore")
    def back(self, layers, kept, g):
        """The gradient of the output of the last of some layers → that of the input of the first; fills `found`.

        g is None behind the last layer.  What was kept is let go on the way.
        """
        for layer in reversed(layers):
            if layer.name in self.given:
                g = self.given[layer.name] if g is None else g + self.given[layer.name]
            if layer.name in self.wanted:
                self.found[layer.name] = g
            gradients = self.backward(layer, g, kept.pop(layer.name))
            g = gradients.pop("x", None)
            self.found |= {f"{layer.name}/{kind}": gradient for kind, gradient in gradients.items()}
        return g

    def backward(self, layer, g, x):
        """The gradient of a layer's output → {"x": that of its input, "weight": …}, as far as they are needed."""
        needed = [kind for kind, _ in layer.shapes if f"{layer.name}/{kind}" in self.wanted]
        needed += ["x"] if self.position[layer.name] > self.lowest else []
        if not needed:
            return {}
        options = dict(layer.options)
        if layer.shapes:
            options["wanted"] = needed
        if layer.op in NORMS:
            options["training"] = self.training
        if layer.op == "dropout":
            options["mask"] = self.masks.get(layer.name)
        gradient = self.rules.get(layer.name) or self.rules.get(layer.op) or self.gradients[layer.op]
        return gradient(g, x, *self.arrays(layer), **options)


@lru_cache(64)
def output_shapes(net, size):
    """{layer: shape of its output for one picture of (H, W) = `size`}."""
    return {row.layer.name: row.output_shape for row in describe(net, size)}


def cut(layers):
    """The layers in sections that end with pool1 … pool5, and what follows."""
    ends = [position + 1 for position, layer in enumerate(layers) if layer.op in POOLINGS.values()]
    return [layers[start:end] for start, end in pairwise([0, *ends, len(layers)]) if start < end]


def evaluated(loss, logits):
    """The loss of the logits and its gradient; ShapeError unless these are a number and an array like the logits."""
    answer = loss(logits)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ShapeError(f"the loss gave a {type(answer).__name__}; let it give (value, gradient), as the losses of "
                         "npvgg.training.losses do")
    value, gradient = answer
    if not isinstance(value, Real):
        raise UsageError(f"the loss gave the value {value!r:.80}; let it give a number")
    check_gradient("the loss's gradient", gradient, logits)
    return float(value), gradient


def check_gradient(what, gradient, output):
    """ShapeError unless the gradient is an array in the shape and dtype of the output."""
    if not isinstance(gradient, np.ndarray) or (gradient.shape, gradient.dtype) != (output.shape, output.dtype):
        given = f"{gradient.dtype} {gradient.shape}" if isinstance(gradient, np.ndarray) else f"a {type(gradient).__name__}"
        raise ShapeError(f"{what} is {given}, expected {output.dtype} {output.shape} like the output; reshape it, or "
                         f"convert it with .astype(np.{output.dtype})")
