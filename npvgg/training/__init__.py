"""Training a network: a library of plain functions and small classes, and the run that `npvgg train` makes of them.

    losses          logits and targets → a number and its gradient
    optimisers      parameters and gradients → the next parameters; schedules, clipping and averaging beside them
    learner         one step, and a loop of steps over batches of one's own
    sources         data sets as they lie on disks → pictures
    augmentation    each epoch's draws, as functions of (seed, epoch, picture); mixing for whole batches
    feeding         pictures → batches, prepared by other threads
    recipe          everything that a training is made of, as data; npvgg/data/recipes has those with a name
    run             a whole training in a folder, which can be killed and goes on bit for bit
    evaluation      how often a network is right; report draws it
"""
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npvgg.training.augmentation import Augmentation
    from npvgg.training.feeding import Feed
    from npvgg.training.learner import Learner, fit
    from npvgg.training.optimisers import SGD, AdamW

__all__ = ["SGD", "AdamW", "Augmentation", "Feed", "Learner", "fit"]
HOMES = {"Augmentation": "augmentation", "Feed": "feeding", "Learner": "learner", "fit": "learner", "SGD": "optimisers",
         "AdamW": "optimisers"}

if not TYPE_CHECKING:                     # looked up at its first use: the losses need neither Numba nor Pillow
    def __getattr__(name):
        if name in HOMES:
            return getattr(import_module(f"npvgg.training.{HOMES[name]}"), name)
        raise AttributeError(f"module 'npvgg.training' has no attribute {name!r}")
