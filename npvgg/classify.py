"""The first journey: pictures in, labels out.

    load      "vgg16", "model.h5" or nothing → VGG
    predict   pictures → [Prediction, …]
    stream    paths → one Answer each, in batches, a bad picture reported in its place
"""
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npvgg import hub, images, labels, network
from npvgg.errors import NpvggError, UsageError
from npvgg.kernels import tiers
from npvgg.runner import Options


def load(model=None, *, tier=tiers.DEFAULT, threads=None, algorithm="auto", verify="new", offline=False, progress=None):
    """A model's name or an npvgg weights file → VGG.

    `model` is a name that `npvgg models` lists (downloaded and converted at its first use), a path, or None for the
    bundled network.  `verify`: True checks every digest, False none, "new" those of a file not seen before.  `progress`
    is shown while something is downloaded (see `hub.download`).  UsageError for an option that is not possible.
    """
    Options(tier, threads, algorithm)                                # refused now rather than after a download
    name = hub.DEFAULT if model is None else str(model)
    path = Path(model) if is_path(name) else hub.locate(name, offline=offline, progress=progress)
    return network.load_file(path, tier=tier, threads=threads, algorithm=algorithm, verify=verify)


def is_path(name):
    """Whether 'vgg16.h5', './vgg16' or 'models/vgg16' rather than the name of a model was given."""
    return Path(name).suffix != "" or Path(name).name != name or Path(name).is_file()


def predict(inputs, model=None, top=5, **options):
    """Pictures → [Prediction(label, probability, logit, index), …]: one list for one picture, a list of lists for several.

    `inputs`: whatever `images.batch` takes; `model` a VGG or what `load` takes, with its options.
    """
    return as_network(model, **options).predict(inputs, top)


def as_network(model=None, **options):
    return model if isinstance(model, network.VGG) else load(model, **options)


class Answer(NamedTuple):
    """What became of one picture: predictions, or the error that kept them away."""

    image: str
    predictions: list | None
    error: NpvggError | None = None


def stream(paths, vgg, *, top=5, batch=8, exif=False, background=None):
    """Paths → an Answer for each, in order, computed `batch` pictures at a time.

    A picture that cannot be read becomes an Answer with its error; the others are not affected.  Holds one batch in
    memory.  `exif` and `background` as in `images.read`.
    """
    if batch < 1:
        raise UsageError(f"batch is {batch}; give a whole number of at least 1")
    vgg.require_classifier()
    paths = list(paths)
    for start in range(0, len(paths), batch):
        yield from classified(paths[start:start + batch], vgg, top, exif, background)


def classified(paths, vgg, top, exif, background):
    prepared, errors = {}, {}
    for position, path in enumerate(paths):
        try:
            prepared[position] = images.prepare(images.read(path, exif=exif, background=background), vgg.preset)
        except NpvggError as error:
            errors[position] = error
    logits = vgg(np.stack(list(prepared.values()))) if prepared else ()
    predictions = dict(zip(prepared, labels.top(logits, vgg.class_names, top))) if prepared else {}
    for position, path in enumerate(paths):
        yield Answer(str(path), predictions.get(position), errors.get(position))
