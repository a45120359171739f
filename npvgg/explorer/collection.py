"""What a collection of pictures says of a network: those that a channel answers to most, and those that are alike."""
import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from npvgg.checks import check_count
from npvgg.errors import ShapeError, UsageError
from npvgg.explorer.explanation import Box
from npvgg.explorer.photograph import Photograph
from npvgg.explorer.targets import checked_place, row_of

TOGETHER = 8                              # pictures that run through the network together


class Patch(NamedTuple):
    """Where a channel answers most to one picture."""

    image: str
    value: float
    place: tuple[int, ...]                # (row, column) in the map; () of a flat layer
    seen: Box                             # the field of that place, in pixels of the prepared picture
    on_photograph: Box                    # and in pixels of the file


class Neighbour(NamedTuple):
    """A picture, and how alike its features are to those of another: the cosine of the angle between them."""

    image: str
    cosine: float


def patches(vgg, paths: Iterable, layer: str, channel: int, count: int = 9) -> list[Patch]:
    """Paths of pictures → the `count` patches to which the channel answers most, the strongest first, one a picture.

    Zeiler and Fergus, arXiv 1311.2901, figure 2.  UsageError for a channel that is not there; the errors of `images.read`.
    """
    check_count("count", count)
    strongest: list[tuple] = []
    for number, (path, photograph, size, output) in enumerate(outputs(vgg, paths, layer)):
        row = row_of(vgg.architecture, layer, size)
        (channel,) = checked_place(row, [channel])
        values = np.atleast_1d(output[channel])
        place = tuple(map(int, np.unravel_index(int(values.argmax()), values.shape)))
        entry = float(values[place]), -number, path, photograph, size, place if values.ndim == 2 else (), row
        (heapq.heappush if len(strongest) < count else heapq.heappushpop)(strongest, entry)
    found = []
    for value, _, path, photograph, size, place, row in sorted(strongest, reverse=True):
        top, left, bottom, right = row.field(*(place or (0, 0))) if place or row.layer.op == "dense" else (0, 0, *size)
        seen = Box(max(0, top), max(0, left), min(size[0], bottom), min(size[1], right))
        found.append(Patch(path, value, place, seen, Box(*photograph.box(seen))))
    return found


def nearest(vgg, image: Any, paths: Iterable, layer: str | None = None, count: int = 5) -> list[Neighbour]:
    """One picture and paths of others → the `count` whose features are most alike, the nearest first.

    The features are the layer's output, of maps their means; by default what the last dense layer is given, relu7's numbers in
    VGG-16.  The errors of `images.read`.
    """
    check_count("count", count)
    layer = last_features(vgg) if layer is None else layer
    x = vgg.prepare(image)
    if len(x) != 1:
        raise ShapeError(f"{len(x)} pictures were given; look for the neighbours of one at a time")
    own = direction(vgg.forward(x, layer)[0])
    found = [Neighbour(path, float(own @ direction(output))) for path, _, _, output in outputs(vgg, paths, layer)]
    return sorted(found, key=lambda neighbour: -neighbour.cosine)[:count]


def last_features(vgg) -> str:
    """The layer before the last dense one, or without any the final one."""
    names = [layer.name for layer in vgg.architecture.layers]
    dense = [at for at, layer in enumerate(vgg.architecture.layers) if layer.op == "dense"]
    return names[dense[-1] - 1] if dense else names[-1]


def direction(output: np.ndarray) -> np.ndarray:
    """The output of a layer on one picture, (C, H, W) or (features,) → a vector of length 1; zeros stay zeros."""
    features = output.astype(np.float64)
    features = features.mean((1, 2)) if features.ndim == 3 else features
    return features / (np.sqrt((features**2).sum()) or 1)


def outputs(vgg, paths: Iterable, layer: str) -> Iterator[tuple]:
    """Paths → (path, Photograph, (H, W) of the prepared picture, the layer's output on it), some computed together."""
    if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
        raise UsageError(f"the pictures are {paths!r:.80}; give a list of paths, for example images.find('photos')")
    pending = iter(paths)
    while part := list(islice(pending, TOGETHER)):
        wrong = [path for path in part if not isinstance(path, (str, os.PathLike))]
        if wrong:
            raise UsageError(f"one of the pictures is of type {type(wrong[0]).__name__}; give paths")
        photographs = [Photograph.of(path, vgg.preset) for path in part]
        x = vgg.prepare([photograph.picture for photograph in photographs])
        found = vgg.forward(x, layer)
        yield from ((os.fsdecode(path), photograph, x.shape[2:], output)
                    for path, photograph, output in zip(part, photographs, found, strict=True))
