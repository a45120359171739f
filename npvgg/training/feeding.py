"""Batches, prepared by other threads while the kernels compute, delivered in their order.

    Feed(pictures, augmentation, …).batches(epoch, size, first)      → (number, x (N, C, H, W) float32, targets, indices)

A batch is a function of (seed, epoch, number), so neither the number of threads nor where a run begins changes one.
"""
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.images.presets import Preset
from npvgg.training import draws, mixing, packing, resampling
from npvgg.training.augmentation import NOTHING, Augmentation, Views, view, views, window
from npvgg.training.pictures import Pictures, Selected

AHEAD = 3               # batches that are ready, or being prepared


class Batch(NamedTuple):
    """What one step is made of."""

    number: int
    x: np.ndarray                     # (N, C, H, W) float32
    targets: np.ndarray               # (N,), or (N, classes) where they are mixed, or labels
    indices: np.ndarray               # (N,) of the pictures


@dataclass(eq=False)
class Feed:
    """A data set as batches.  `workers` threads prepare them; the batches do not depend on how many.

    The last batch of an epoch is smaller where the pictures do not come out even; one that is smaller than `least` is left out:
    a batch norm that sees one value of each picture needs two.
    """

    pictures: Pictures
    preset: Preset
    batch: int
    seed: int = 0
    workers: int = 2
    least: int = 1

    def __post_init__(self):
        self.table, self.order = packing.normalised_levels(self.preset), packing.channel_order(self.preset)

    @property
    def count(self) -> int:
        """Batches an epoch."""
        whole, rest = divmod(len(self.pictures), self.batch)
        return whole + (rest >= self.least) if self.batch >= self.least else 0

    def batches(self, epoch: int, augmentation: Augmentation = NOTHING, size: int | None = None, first: int = 0
                ) -> Iterator[Batch]:
        """The batches of one epoch from number `first` on, in its order, at the side `size` (None: the preset's)."""
        order = draws.generator(self.seed, "order", epoch).permutation(len(self.pictures))
        drawn = views(augmentation, self.pictures.sizes, self.seed, epoch)
        preset = self.preset if size is None else self.preset.resized(size)

        def make(number):
            indices = order[number * self.batch:(number + 1) * self.batch]
            x = self.prepared(indices, augmentation, drawn, preset)
            return Batch(number, *mixing.mixed(x, self.pictures.targets[indices], augmentation,
                                               len(self.pictures.class_names), self.seed, epoch, number), indices)

        yield from in_order(make, range(first, self.count), self.workers)

    def prepared(self, indices: np.ndarray, augmentation: Augmentation, drawn: Views, preset: Preset) -> np.ndarray:
        """The numbers of some pictures → (N, C, crop, crop) float32, as drawn for them."""
        x = np.empty((len(indices), preset.channels, preset.crop, preset.crop), np.float32)
        kept = self.pictures.levels
        if kept is not None and drawn.boxes is not None and drawn.colours is None and drawn.patches is None:
            levels, chosen = (kept.levels, kept.indices[indices]) if isinstance(kept, Selected) else (kept, indices)
            resampling.packed_parts(levels, chosen, drawn.boxes[indices], drawn.flips[indices], self.table, self.order, x)
            return x
        for place, index in enumerate(indices.tolist()):
            levels = self.view(augmentation, drawn, index, preset)
            rows, columns = window(levels, augmentation, drawn, index, preset.crop)
            packing.pack(levels, rows, columns, self.table, self.order, x[place])
            if drawn.patches is not None:
                blank(x[place], drawn.patches[index], augmentation.cutout)
        return x

    def view(self, augmentation, drawn, index, preset):
        """One picture's levels (H, W, C); those that are kept decoded are used as they are where nothing resizes them."""
        kept = self.pictures.levels
        if kept is not None and drawn.boxes is drawn.scales is drawn.colours is None:
            levels = kept[index]
            if preset.resize is None or set(levels.shape[:2]) == {preset.resize}:
                return levels
        return view(self.pictures.picture(index), augmentation, drawn, index, preset)


def blank(x: np.ndarray, u: np.ndarray, side: int) -> None:
    """Set a square of (C, H, W) around a place that was drawn to 0, the mean (Cutout, DeVries and Taylor 2017)."""
    corners = [int(u[axis] * x.shape[axis + 1]) - side // 2 for axis in range(2)]
    (top, left), (bottom, right) = corners, [corner + side for corner in corners]
    x[:, max(0, top):max(0, bottom), max(0, left):max(0, right)] = 0


def in_order(make, numbers, workers):
    """make(number) for each number, computed by so many threads up to AHEAD before it is asked for, in their order."""
    numbers, waiting = iter(numbers), deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="npvgg-feed") as pool:
        try:
            for number in numbers:
                waiting.append(pool.submit(make, number))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for task in waiting:
                task.cancel()


def in_parts(pictures: Pictures, preset: Preset, batch: int, workers: int = 2) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A data set as at inference, in its own order → (x, targets) of so many pictures at a time, the last one too."""
    feed = Feed(pictures, preset, batch, workers=workers)
    drawn = Views(None, None, np.zeros((len(pictures), 2)), np.zeros(len(pictures), bool), None, None)

    def make(number):
        indices = np.arange(number * batch, min(len(pictures), (number + 1) * batch))
        return feed.prepared(indices, NOTHING, drawn, preset), pictures.targets[indices]

    yield from in_order(make, range(ceil_div(len(pictures), batch)), workers)
