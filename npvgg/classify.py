"""Classification: pictures → labels.

    load      "vgg16", "model.h5" or nothing → VGG
    predict   pictures → [Prediction, …]
    stream    paths → one Answer each, in batches, a bad picture reported in its place
"""
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npvgg import hub, images, labels, network
from npvgg.checks import check_count, check_flags, refuse_unknown
from npvgg.errors import ImageError, NpvggError, UsageError
from npvgg.images.reading import rgb_of
from npvgg.kernels import tiers
from npvgg.runner import Options
from npvgg.text import said, shown

LOADING = ("tier", "threads", "algorithm", "verify", "offline", "progress")


def load(model: str | os.PathLike | None = None, *, tier: str = tiers.DEFAULT, threads: int | None = None,
         algorithm: str = "auto", verify: bool | str = "new", offline: bool = False, progress=None,
         **unknown: Any) -> network.VGG:
    """A model's name or an npvgg weights file → VGG.

    `model` is a name that `npvgg models` lists (downloaded and converted at its first use), a path, or None for the
    bundled network.  `verify`: True checks every digest, False none, "new" those of a file not seen before.  `progress`
    is shown while something is downloaded (see `hub.download`).  UsageError for an option that is not possible.
    """
    refuse_unknown("load", unknown, LOADING)
    check_flags(offline=offline)
    Options(tier, threads, algorithm)                                # refused now rather than after a download
    if not isinstance(model, (str, os.PathLike, type(None))):
        raise UsageError(f"model is of type {type(model).__name__}; give a name from `npvgg models`, the path of a weights "
                         "file, or nothing for the bundled network")
    name = hub.DEFAULT if model is None else os.fsdecode(model)
    path = Path(name) if is_path(name) else hub.locate(name, offline=offline, progress=progress)
    return network.load_file(path, tier=tier, threads=threads, algorithm=algorithm, verify=verify)


def is_path(name: str) -> bool:
    """Whether 'vgg16.h5', './vgg16' or 'models/vgg16' rather than the name of a model was given."""
    return Path(name).suffix != "" or Path(name).name != name or Path(name).is_file()


def predict(inputs, model: str | os.PathLike | network.VGG | None = None, top: int = 5, **options) -> list:
    """Pictures → [Prediction(label, probability, logit, index), …]: one list for one picture, a list of lists for several.

    `inputs`: whatever `images.batch` takes; `model` a VGG or what `load` takes, with its options.  What the probabilities are
    depends on the network's `architecture.output`, see `labels`.
    """
    check_count("top", top)
    refuse_unknown("predict", [name for name in options if name not in LOADING], ("model", "top", *LOADING))
    return as_network(model, **options).predict(inputs, top)


def as_network(model=None, **options):
    """The VGG itself, or `load(model, **options)`.  UsageError for a VGG together with options, which are its own."""
    if not isinstance(model, network.VGG):
        return load(model, **options)
    if options:
        raise UsageError(f"{', '.join(options)} and a VGG were given; give them to the network itself, vgg.using(…)")
    return model


NAMES_ONLY = "give names of picture files, or binary files (npvgg.predict takes pictures in other forms)"


class Answer(NamedTuple):
    """The answer for one picture, by its path or the file's name: its predictions, or the error that prevented them."""

    image: str
    predictions: list | None
    error: NpvggError | None = None


def stream(paths: Iterable, vgg: network.VGG, *, top: int = 5, batch: int = 8, exif: bool = False,
           background: str | None = None) -> Iterator[Answer]:
    """Paths → an Answer for each, in order, computed `batch` pictures at a time.

    `paths`: one path, or any iterable of them, a generator too, of which one batch is taken at a time and held in memory.
    Binary files that are open for reading may stand among them.
    A picture that cannot be read becomes an Answer with its error; the others are not affected.  `exif` and `background` as
    in `images.read`.
    UsageError for arguments that make no sense, at once and not at the first picture; UnsupportedError where the network has
    no class scores.
    """
    check_count("batch", batch)
    check_count("top", top)
    check_flags(exif=exif)
    rgb_of(background)
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    if isinstance(paths, (bytes, bytearray, np.ndarray)) or not isinstance(paths, Iterable):
        raise UsageError(f"paths are of type {type(paths).__name__}; {NAMES_ONLY}")
    if not isinstance(vgg, network.VGG):
        raise UsageError(f"vgg is of type {type(vgg).__name__}; give what npvgg.load returns")
    vgg.require_classifier()
    return answers(iter(paths), vgg, top, batch, {"exif": exif, "background": background})


def answers(paths, vgg, top, batch, options):
    """An iterator over paths → an Answer for each, in order; `batch` pictures are read and computed at a time."""
    while part := list(islice(paths, min(batch, sys.maxsize))):
        wrong = [type(path).__name__ for path in part if not (isinstance(path, (str, os.PathLike)) or hasattr(path, "read"))]
        if wrong:
            raise UsageError(f"one of the paths is of type {wrong[0]}; {NAMES_ONLY}")
        prepared, errors = {}, {}
        for position, path in enumerate(part):
            try:
                prepared[position] = images.prepare(path, vgg.preset, **options)
            except NpvggError as error:
                errors[position] = error
            except MemoryError:
                errors[position] = ImageError(f"{shown(name_of(path))}: not enough memory to prepare it; scale it down first")
            except Exception as error:                               # whatever it is, the other pictures are answered
                errors[position] = ImageError(f"{shown(name_of(path))}: cannot be read ({said(error)}); replace it or leave it "
                                              "out")
        predictions = {}
        if prepared:
            logits = vgg.forward(np.stack(list(prepared.values())).astype(vgg.dtype, copy=False))
            for position, row in zip(prepared, logits, strict=True):
                try:
                    (predictions[position],) = labels.top(row[np.newaxis], vgg.class_names, top, vgg.architecture.output)
                except NpvggError as error:                # this picture makes NaN or infinity of these weights
                    errors[position] = error
        for position, path in enumerate(part):
            yield Answer(name_of(path), predictions.get(position), errors.get(position))


def name_of(picture):
    """A path, or a binary file, whose name may be missing → text."""
    return os.fsdecode(picture) if isinstance(picture, (str, os.PathLike)) else str(getattr(picture, "name", ""))
