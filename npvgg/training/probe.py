"""A linear probe: the last layer alone, on features that are computed once."""
import os
from pathlib import Path

import numpy as np

from npvgg.errors import UsageError
from npvgg.network import VGG
from npvgg.parameters import sealed
from npvgg.storage import atomic_file
from npvgg.text import shown
from npvgg.training import class_weights, draws, losses, schedules
from npvgg.training.evaluation import BATCH, judged
from npvgg.training.feeding import in_parts
from npvgg.training.optimisers import SGD
from npvgg.training.pictures import Pictures, check_classes
from npvgg.training.recipe import Recipe
from npvgg.training.run import RESULT


def features_before_last(vgg: VGG, pictures: Pictures) -> np.ndarray:
    """A data set → (N, features): what the last layer is given, pictures prepared as at inference."""
    layers = vgg.architecture.layers
    if layers[-1].op != "dense" or len(layers) < 2:
        raise UsageError(f"the head of {vgg.architecture.name} does not end with a dense layer, so there is none to train "
                         "alone; give a head such as 'avg1 flatten classes'")
    return np.concatenate([vgg.forward(x.astype(vgg.dtype, copy=False), layers[-2].name)
                           for x, _ in in_parts(pictures.in_mode(vgg.preset.mode), vgg.preset, BATCH)])


def fit(features: np.ndarray, targets: np.ndarray, classes: int, recipe: Recipe, weights: np.ndarray | None = None
        ) -> tuple[np.ndarray, np.ndarray]:
    """(N, F) features and their targets → weight (classes, F) and bias (classes,): soft-max or, of labels, sigmoid regression.

        dW = dzᵀ·f,  db = Σ dz,  z = f·Wᵀ + b

    The features are centred and scaled to a deviation of 1, on which any rate works, and the layer is scaled back.
    """
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = 1 / (deviation + 1e-3 * (deviation.mean() or 1.0))
    scaled = ((features - mean) * scale / np.sqrt(features.shape[1])).astype(np.float32)
    layer = {"weight": np.zeros((classes, features.shape[1]), np.float32), "bias": np.zeros(classes, np.float32)}
    optimiser, own = SGD(momentum=0.9, nesterov=True), recipe.training
    batches = -(-len(features) // own.batch)
    for epoch in range(own.epochs):
        order = draws.generator(own.seed, "order", epoch).permutation(len(features))
        for part in np.array_split(order, batches):
            f, t = scaled[part], targets[part]
            logits = f @ layer["weight"].T + layer["bias"]
            if t.ndim == 2:
                _, dz = losses.binary_cross_entropy(logits, t, positive_weights=weights)
                dz = dz * dz.dtype.type(classes)
            else:
                _, dz = losses.cross_entropy(logits, t, smoothing=own.smoothing, weights=weights)
            rate = 4.0 * schedules.cosine(optimiser.steps, own.epochs * batches)
            optimiser.step(layer, {"weight": dz.T @ f, "bias": dz.sum(axis=0)}, rate)
    weight = layer["weight"].astype(np.float64) * scale / np.sqrt(features.shape[1])
    return weight.astype(np.float32), (layer["bias"] - weight @ mean).astype(np.float32)


def run(recipe: Recipe, vgg: VGG, pictures: Pictures, val: Pictures | None, folder: str | os.PathLike, *, notes: str = "",
        store: str = "float32", is_again: bool = False) -> VGG:
    """Train the last layer of a network on `pictures` and write RUN/weights.h5 → the network.

    There is no checkpoint: the features take most of the time, and `is_again` begins anew.  UsageError where there is a result
    already and not `is_again`.
    """
    check_classes(pictures, "the data")
    target = Path(folder) / RESULT
    if target.exists() and not is_again:
        raise UsageError(f"{shown(folder)} holds a training already; give another --out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic_file.StorageError(atomic_file.sentence(folder, error)) from None
    last, classes = vgg.architecture.layers[-1].name, len(pictures.class_names)
    weight, bias = fit(features_before_last(vgg, pictures), pictures.targets, classes, recipe,
                       class_weights.of_classes(recipe.training.class_weights, pictures))
    shape = vgg.architecture.parameters[f"{last}/weight"]
    trained = vgg.with_parameters({f"{last}/weight": sealed(weight.reshape(shape).astype(vgg.dtype)),
                                   f"{last}/bias": sealed(bias.astype(vgg.dtype))})
    lines = [notes] if notes else []
    if val is not None:
        features = features_before_last(vgg, val)
        answer = judged(features @ weight.T + bias, val.targets)
        lines.append(f"validation: top-1 {100 * answer.top1:.2f} % of {len(val)} pictures that were held out")
    lines.append(f"a linear probe: {last} alone, on {len(pictures)} pictures")
    trained.save(target, notes="\n".join(lines), source_name=vgg.source, store=store, force=is_again)
    return trained
