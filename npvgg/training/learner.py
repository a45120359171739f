"""One step of training, and a loop of such steps over whatever batches one has.

    learner = Learner(vgg, SGD(nesterov=True))
    for x, classes in batches:
        learner.step(x, lambda logits: losses.cross_entropy(logits, classes), rate=0.1)
    vgg = learner.network()

    fit(vgg, batches_of_epoch, losses.cross_entropy, SGD(), epochs=3, schedule=schedules.cosine, rate=0.1)     the same
"""
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from npvgg.architecture import Architecture
from npvgg.checks import check_count, is_number
from npvgg.counting import describe
from npvgg.differentiation import Backward, Outcome
from npvgg.errors import NpvggError, UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import limited
from npvgg.network import VGG
from npvgg.parameters import sealed
from npvgg.training import clipping, draws, schedules
from npvgg.training.averaging import Average, measured_norms
from npvgg.training.optimisers import SGD, Optimiser

NORM_MOMENTUM = 0.1             # the new statistics' share of the running ones, as in PyTorch
LEARNED = ("weight", "bias")

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


class NotFiniteError(NpvggError, ArithmeticError):
    """A loss, gradient or parameter that is NaN or infinite."""


class Step(NamedTuple):
    """What one step saw, before it changed the parameters."""

    loss: float
    output: np.ndarray                # the logits
    norm: float | None                # of all gradients, where they are clipped


class Learner:
    """A network that is being trained: parameters that change, an optimiser, and a running mean if it is asked for.

    `trained` names the layers that learn, None for all of them; `clip` is the longest that all gradients together may be;
    `average` the decay of the running mean; `seed` draws what dropout leaves out.  The parameters given are copied.
    """

    def __init__(self, vgg: VGG, optimiser: Optimiser | None = None, *, trained: Iterable[str] | None = None,
                 clip: float | None = None, average: float | None = None, norm_momentum: float = NORM_MOMENTUM,
                 seed: int = 0, tier: str = tiers.DEFAULT, threads: int | None = None, checkpoint: bool = False):
        if not isinstance(vgg, VGG):
            raise UsageError(f"the network is a {type(vgg).__name__}; give a VGG, as npvgg.create makes or npvgg.load reads")
        for name, value, most in (("clip", clip, np.inf), ("average", average, 1)):
            if value is not None and not (is_number(value) and 0 < value <= most):
                raise UsageError(f"{name} is {value!r:.80}; give a number above 0{' and at most 1' if most == 1 else ''}, or "
                                 "None")
        self.vgg, self.architecture = vgg, vgg.architecture
        self.parameters = {path: np.array(array) for path, array in vgg.parameters.items()}
        self.optimiser = SGD() if optimiser is None else optimiser
        self.average = None if average is None else Average(average)
        self.clip, self.norm_momentum, self.seed, self.checkpoint = clip, norm_momentum, seed, checkpoint
        self.wanted = wanted(self.architecture, trained)
        self.backward, self.threads = Backward(self.architecture, tier, threads), threads
        self.spent = None                       # the last step's Outcome, whose memory the next one takes

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return self.optimiser.steps

    def step(self, x: np.ndarray, loss: Loss, rate: float, *, momentum: float | None = None) -> Step:
        """One batch (N, C, H, W), and what its logits cost → the step that was taken, at this learning rate."""
        return self.step_of_parts([(x, loss)], rate, momentum=momentum)

    def step_of_parts(self, parts: Iterable[tuple[np.ndarray, Loss]], rate: float, *, momentum: float | None = None) -> Step:
        """Several batches as one: the gradient of the mean of their losses, each batch norm with statistics of its own.

        NotFiniteError, before anything is changed, where the loss or, clipped, a gradient is NaN or infinite.
        """
        parts, total, value, outputs = list(parts), None, 0.0, []
        for number, (x, loss) in enumerate(parts):
            outcome = self.gradients(x, loss, number, self.spent if len(parts) == 1 else None)
            if not np.isfinite(outcome.loss):
                raise NotFiniteError(f"the loss of step {self.steps} is {outcome.loss}, {self.culprit(x, outcome.gradients)}; "
                                     "give a smaller --rate, a longer warm-up, or clip the gradients")
            value += outcome.loss / len(parts)
            outputs.append(outcome.output)
            total = outcome.gradients if len(parts) == 1 else clipping.add(total, outcome.gradients, 1 / len(parts))
            self.follow(outcome.statistics)
        with limited(self.threads):
            norm = None if self.clip is None else clipping.global_norm(total)
            if norm is not None and not np.isfinite(norm):
                raise NotFiniteError(f"the gradients of step {self.steps} are not finite, {self.culprit(x, total)}; give a "
                                     "smaller --rate or a longer warm-up")
            self.optimiser.step(self.parameters, total, rate, momentum=momentum,
                                scale=1.0 if norm is None else clipping.scale_for(norm, self.clip))
            if self.average is not None:
                self.average.update(self.parameters)
        self.spent = outcome
        return Step(value, outputs[0] if len(outputs) == 1 else np.concatenate(outputs), norm)

    def gradients(self, x: np.ndarray, loss: Loss, part: int = 0, into: Outcome | None = None) -> Outcome:
        """One pass forwards and backwards in training mode; nothing changes.  `into` as for Backward."""
        masks = dropout_masks(self.architecture, x.shape, self.seed, self.steps, part)
        return self.backward(self.parameters, x, loss, training=True, masks=masks, of=self.wanted, checkpoint=self.checkpoint,
                             into=into)

    def follow(self, statistics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Fold a batch's means and variances into the running ones."""
        for name, values in statistics.items():
            for kind, new in zip(("mean", "var"), values, strict=True):
                running = self.parameters[f"{name}/{kind}"]
                running *= running.dtype.type(1 - self.norm_momentum)
                running += running.dtype.type(self.norm_momentum) * new.astype(running.dtype, copy=False)

    def statistics(self, x: np.ndarray, parameters: Mapping[str, np.ndarray]) -> Mapping[str, tuple]:
        """{"bn1_1": (mean, unbiased variance), …} of one batch under these parameters."""
        # The gradient of the last parameter alone, for the way back costs nothing then.
        outcome = self.backward(parameters, x, lambda logits: (0.0, np.zeros_like(logits)), training=True, of=self.wanted[-1:])
        return outcome.statistics

    def network(self, batches: Iterable[np.ndarray] = ()) -> VGG:
        """The network as it is now; with a running mean that one, its batch norms measured anew on `batches` of pictures."""
        parameters = dict(self.parameters)
        if self.average is not None and self.average.count:
            parameters |= self.average.arrays
            if any(layer.op.startswith("batchnorm") for layer in self.architecture.layers):
                measured = measured_norms(batches, lambda x: self.statistics(x, parameters))
                parameters |= {path: values.astype(parameters[path].dtype) for path, values in measured.items()}
        return self.vgg.with_parameters({path: sealed(np.array(values)) for path, values in parameters.items()})

    def require_finite(self) -> None:
        """NotFiniteError that names the first parameter that is NaN or infinite."""
        for path, values in self.parameters.items():
            if not np.isfinite(values).all():
                raise NotFiniteError(f"{path} is not finite after step {self.steps - 1}; the last checkpoint is kept: give a "
                                     "smaller --rate, a longer warm-up, or clip the gradients")

    def culprit(self, x: np.ndarray, gradients: Mapping[str, np.ndarray]) -> str:
        """Where the first number that is not finite stands: in a parameter, a layer's output, or a gradient."""
        for path, values in self.parameters.items():
            if not np.isfinite(values).all():
                return f"and {path} is not finite"
        outputs = self.vgg.with_parameters(self.parameters).using(tier="jit").runner.trace(x[:2])
        for name, values in outputs.items():
            if not np.isfinite(values).all():
                return f"and {name} is the first layer whose output is not finite"
        for path, values in reversed(gradients.items()):
            if not np.isfinite(values).all():
                return f"and the gradient of {path} is the first one that is not finite"
        return "while every parameter, every layer's output and every gradient is finite"


def wanted(net: Architecture, trained: Iterable[str] | None) -> list[str]:
    """The paths of what is learned in the layers of these names, None for all."""
    names = None if trained is None else set(trained)
    paths = [path for path in net.parameters if path.rpartition("/")[2] in LEARNED
             and (names is None or path.partition("/")[0] in names)]
    if not paths:
        raise UsageError("no layer is left to train; freeze fewer of them")
    return paths


def dropout_masks(net: Architecture, shape: tuple, seed: int, step: int, part: int = 0) -> dict[str, np.ndarray]:
    """{"drop6": (N, features) of bool, …} for pictures of this shape: True where a number is kept, with probability 1 − p."""
    masks = {}
    if not any(layer.op == "dropout" for layer in net.layers):
        return masks
    for number, row in enumerate(describe(net, shape[2:])):
        p = dict(row.layer.options).get("p") if row.layer.op == "dropout" else None
        if p:
            rng = draws.generator(seed, "dropout", part << 16 | number, step)
            masks[row.layer.name] = rng.random((shape[0], *row.output_shape), np.float32) >= p
    return masks


def fit(vgg: VGG, batches: Callable[[int], Iterable], loss: Callable[..., tuple[float, np.ndarray]],
        optimiser: Optimiser | None = None, *, epochs: int = 1, rate: float = 0.01, total: int | None = None,
        schedule: Callable[[int, int], float] = schedules.constant, callback: Callable[[Learner, int, Step], Any] | None = None,
        **options: Any) -> VGG:
    """Train on batches(epoch), which gives pairs (x, targets), for so many epochs → the network that was trained.

    `loss(logits, targets)` → (value, gradient of the logits), as in `losses`; the rate of a step is rate·schedule(step, total)
    where `total` is the number of steps, needed for schedules that end.  `callback(learner, epoch, step)` runs after each step
    and may raise StopIteration to end the training.  `options` are those of Learner.
    """
    check_count("epochs", epochs)
    learner = Learner(vgg, optimiser, **options)
    try:
        for epoch in range(epochs):
            for x, targets in batches(epoch):
                factor = schedule(learner.steps, learner.steps + 1 if total is None else total)
                taken = learner.step(x, lambda logits, targets=targets: loss(logits, targets), rate * factor)
                if callback is not None:
                    callback(learner, epoch, taken)
    except StopIteration:
        pass
    return learner.network()
