"""A trained network whose answers are a part of another one's targets (Hinton et al. 2015)."""
from dataclasses import dataclass

import numpy as np

from npvgg import labels, network
from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.text import shown
from npvgg.training.mixing import one_hot
from npvgg.training.recipe import Recipe


@dataclass(frozen=True)
class Teacher:
    """A trained network that says more of a picture than its class."""

    vgg: VGG
    trust: float
    temperature: float

    @classmethod
    def of(cls, recipe: Recipe, pupil: VGG) -> "Teacher":
        """The recipe's; UsageError where it has other classes, or is given pictures that were normalised otherwise."""
        own = recipe.training
        vgg = network.load_file(own.teacher, tier=pupil.options.tier, threads=pupil.options.threads)
        if vgg.class_names != pupil.class_names or vgg.architecture.output != "softmax":
            raise UsageError(f"the teacher {shown(own.teacher)} has other classes than the data; give one of the same, in "
                             "this order")
        for name in ("mean", "std", "divisor", "order"):
            if getattr(vgg.preset, name) != getattr(pupil.preset, name):
                raise UsageError(f"the teacher {shown(own.teacher)} wants {name} = {getattr(vgg.preset, name)} and the "
                                 f"pictures are prepared with {getattr(pupil.preset, name)}; give a preset of the same")
        return cls(vgg, own.trust, own.temperature)

    def mixed(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(N, C, H, W) and (N,) or (N, classes) → (N, classes): `trust` of what it answers and the rest of the targets."""
        answers = labels.probabilities(self.vgg.forward(x).astype(np.float64) / self.temperature, "softmax")
        rows = targets if targets.ndim == 2 else one_hot(targets, answers.shape[1], np.dtype(np.float64))
        return ((1 - self.trust) * rows + self.trust * answers).astype(x.dtype)
