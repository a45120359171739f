"""Pictures with what they show: what every kind of data set is read into.

    Pictures.levels     (N, H, W, C) uint8 where all have one size and fit into memory, read once
    Pictures.paths      otherwise: the files, decoded whenever they are needed
    Pictures.targets    (N,) int64, one class each; or (N, labels) float32 of 0 and 1, labels that do not exclude each other
"""
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from PIL import Image

from npvgg import images
from npvgg.checks import is_number
from npvgg.errors import BadFileError, NpvggError, UsageError
from npvgg.text import counted, listed, shown
from npvgg.training import draws

SHARE_OF_MEMORY = 4             # decoded pictures may take a quarter of it
PART = 256                      # pictures a task


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data set, or a part of one.  `skipped` are (path, reason) of files that are no pictures or cannot be read.

    `sizes` are (N, 2), height and width; `digest` is of names, sizes in bytes and labels, or of the arrays.
    """

    targets: np.ndarray
    class_names: tuple[str, ...]
    mode: str = "RGB"                         # of the pictures: RGB, L or RGBA
    levels: np.ndarray | None = field(default=None, repr=False)
    paths: tuple[str, ...] | None = field(default=None, repr=False)
    sizes: np.ndarray | None = field(default=None, repr=False)
    skipped: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return self.targets.ndim == 2

    def picture(self, index: int) -> Image.Image:
        """One picture in the data set's mode.  ImageError where its file has become unreadable since it was checked."""
        if self.levels is None:
            return images.read(self.paths[index], mode=self.mode)
        values = self.levels[index]
        return Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)

    def name(self, index: int) -> str:
        """The file's name, or the picture's number."""
        return self.paths[index] if self.paths is not None else f"picture {index}"

    def part(self, indices: np.ndarray) -> "Pictures":
        """Those of these numbers."""
        return replace(
            self, targets=self.targets[indices], levels=None if self.levels is None else Selected(self.levels, indices),
            paths=None if self.paths is None else tuple(self.paths[index] for index in indices), sizes=self.sizes[indices])

    def in_mode(self, mode: str) -> "Pictures":
        """The same pictures with other channels: RGB, L (grey) or RGBA."""
        if mode == self.mode:
            return self
        if self.levels is None:
            return replace(self, mode=mode)
        levels = [np.asarray(images.read(self.picture(index), mode=mode)) for index in range(len(self))]
        return replace(self, mode=mode, levels=np.stack(levels).reshape(len(self), *self.levels.shape[1:3], -1))

    def counts(self) -> np.ndarray:
        """How many pictures each class, or label, has."""
        if self.is_multi_label:
            return self.targets.sum(axis=0).astype(np.int64)
        return np.bincount(self.targets, minlength=len(self.class_names))


class Selected:
    """Some rows of an array, which are copied one by one when they are asked for: a split shares the pictures of the whole."""

    def __init__(self, levels, indices: np.ndarray):
        if isinstance(levels, Selected):
            levels, indices = levels.levels, levels.indices[indices]
        self.levels, self.indices = levels, indices
        self.shape = (len(self.indices), *self.levels.shape[1:])

    def __getitem__(self, index: int) -> np.ndarray:
        return self.levels[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def read_files(paths: Sequence[str], targets: np.ndarray, class_names: Sequence[str], *, root: str = "", mode: str = "RGB",
               threads: int = 2, skipped: Sequence[tuple[str, str]] = ()) -> Pictures:
    """Files and their targets → Pictures: every file is decoded once, those that cannot be are left out and listed.

    Where all have one size and fit into a quarter of the memory they stay there.  BadFileError where none can be read.
    """
    store = Store(len(paths))

    def read_part(start):
        return [read_one(path, mode, store, start + k) for k, path in enumerate(paths[start:start + PART])]

    with ThreadPoolExecutor(threads) as pool:
        found = [item for part in pool.map(read_part, range(0, len(paths), PART)) for item in part]
    kept = np.array([k for k, item in enumerate(found) if not isinstance(item, str)], np.int64)
    unreadable = [(paths[k], item) for k, item in enumerate(found) if isinstance(item, str)]
    if not len(kept):
        reason = f"; the first: {unreadable[0][1]}" if unreadable else ""
        raise BadFileError(f"{root or 'the data'} has no picture that can be read{reason}")
    levels = store.taken(kept)
    return Pictures(targets[kept], tuple(class_names), mode, levels, tuple(paths[k] for k in kept),
                    np.array([found[k] for k in kept]), (*skipped, *unreadable), digest_of(paths, targets, root))


class Store:
    """The decoded pictures for as long as they have one size and fit."""

    def __init__(self, count: int):
        self.count, self.levels, self.is_fit, self.turn = count, None, True, Lock()

    def put(self, index: int, values: np.ndarray) -> None:
        """Keep one picture."""
        with self.turn:
            if self.levels is None and self.is_fit and self.count * values.nbytes <= memory() // SHARE_OF_MEMORY:
                self.levels = np.empty((self.count, *values.shape), np.uint8)
            levels = self.levels
            if levels is None or levels.shape[1:] != values.shape:
                self.levels, self.is_fit = None, False
                return
        levels[index] = values

    def taken(self, kept: np.ndarray) -> np.ndarray | None:
        """Those that were kept, None where they differ in size."""
        if self.levels is None:
            return None
        return self.levels if len(kept) == self.count else self.levels[kept]


def read_one(path, mode, store, index):
    """Decode one file → its (height, width), or the sentence that says why it cannot be."""
    try:
        picture = images.read(path, mode=mode)
    except NpvggError as error:
        return str(error)
    values = np.asarray(picture)
    store.put(index, values.reshape(*values.shape[:2], -1))
    return values.shape[:2]


def memory() -> int:
    """This computer's memory in bytes; 4 GiB where the system does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**32


def digest_of(paths: Sequence[str], targets: np.ndarray, root: str) -> str:
    """SHA-256 of each file's name below `root`, its size in bytes and its target."""
    digest = hashlib.sha256()
    for path, target in zip(paths, targets, strict=True):
        try:
            size = os.stat(path).st_size
        except OSError:
            size = -1
        digest.update(f"{os.path.relpath(path, root or None)}\0{size}\0".encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(target).tobytes())
    return digest.hexdigest()


def of_arrays(levels: np.ndarray, targets: np.ndarray, class_names: Sequence[str] | None = None, source: str = "the arrays"
              ) -> Pictures:
    """(N, H, W) or (N, H, W, C) uint8 and (N,) class numbers, or (N, labels) of 0 and 1 → Pictures.

    UsageError for arrays that do not fit together, and for a label without a class.
    """
    levels, targets = np.asarray(levels), np.asarray(targets)
    levels = levels[..., np.newaxis] if levels.ndim == 3 else levels
    if levels.dtype != np.uint8 or levels.ndim != 4 or levels.shape[3] not in MODES or not len(levels):
        raise UsageError(f"the pictures of {source} are {levels.dtype} {levels.shape}; give uint8 of shape (N, H, W) or "
                         "(N, H, W, C) with 1, 3 or 4 channels")
    if targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind in "iu" and targets.max(initial=0) > 1:
        targets = targets[:, 0]
    if len(targets) != len(levels) or targets.ndim not in (1, 2):
        raise UsageError(f"{source} has {len(levels)} pictures and labels of shape {targets.shape}; give one label for each, "
                         "or a row of 0 and 1 for each")
    targets = class_numbers(targets, class_names, source) if targets.ndim == 1 else label_rows(targets, class_names, source)
    count = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
    names = tuple(class_names) if class_names is not None else tuple(map(str, range(count)))
    digest = hashlib.sha256(np.ascontiguousarray(levels))
    digest.update(np.ascontiguousarray(targets))
    return Pictures(targets, names, MODES[levels.shape[3]], levels, None,
                    np.broadcast_to(np.array(levels.shape[1:3]), (len(levels), 2)), (), digest.hexdigest())


MODES = {1: "L", 3: "RGB", 4: "RGBA"}         # by channels


def class_numbers(targets, class_names, source):
    """(N,) whole numbers from 0 → int64; UsageError for any other."""
    if targets.dtype.kind not in "iu":
        raise UsageError(f"the labels of {source} are {targets.dtype}; give whole numbers from 0")
    most = len(class_names) - 1 if class_names is not None else None
    wrong = np.flatnonzero((targets < 0) if most is None else (targets < 0) | (targets > most))
    if len(wrong):
        raise UsageError(f"label {targets[wrong[0]]} of picture {wrong[0]} in {source} is out of range; labels go from 0 to "
                         f"{'the number of classes − 1' if most is None else most}")
    return targets.astype(np.int64)


def label_rows(targets, class_names, source):
    """(N, labels) of 0 and 1 → float32; UsageError for any other."""
    if not np.isin(targets, (0, 1)).all() or class_names is not None and len(class_names) != targets.shape[1]:
        raise UsageError(f"the labels of {source} are rows of {targets.shape[1]} numbers; give 0 or 1 for each of the labels"
                         f"{f', {len(class_names)} of them' if class_names is not None else ''}")
    return targets.astype(np.float32)


def split(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """A data set → what to train on, and the `share` of each class, chosen by the seed, that is held out.

    A class of two pictures or more gives at least one and keeps at least one.  Pictures of several labels are not parted by
    class.  UsageError for a share that is not between 0 and 1, or that leaves nothing.
    """
    if not is_number(share) or not 0 < share < 1:
        raise UsageError(f"the part to hold out is {share!r}; give a fraction such as 0.1, or another data set")
    held = np.zeros(len(pictures), bool)
    for group in groups_of(pictures):
        order = draws.generator(seed, "split", 0, int(group[0])).permutation(group)
        count = min(max(1, round(len(group) * share)), len(group) - 1)
        held[order[:count]] = True
    if not held.any():
        raise UsageError(f"{counted(len(pictures), 'picture')} in {len(pictures.class_names)} classes cannot be parted; give "
                         "more pictures, or others to validate on with --val")
    return pictures.part(np.flatnonzero(~held)), pictures.part(np.flatnonzero(held))


def groups_of(pictures):
    """The numbers of the pictures of each class that has any; of all of them where they have several labels."""
    if pictures.is_multi_label:
        return [np.arange(len(pictures))]
    order = np.argsort(pictures.targets, kind="stable")
    cuts = np.cumsum(pictures.counts())[:-1]
    return [group for group in np.split(order, cuts) if len(group)]


def check_classes(pictures: Pictures, source: str) -> None:
    """UsageError for a data set that nothing can be learned from: one class, or classes without a picture."""
    counts = pictures.counts()
    if not pictures.is_multi_label and len(pictures.class_names) < 2:
        raise UsageError(f"{source} has one class, {shown(pictures.class_names[0])}, and nothing to tell it from; give a "
                         "folder for each of at least two classes")
    empty = [shown(name) for name, count in zip(pictures.class_names, counts, strict=True) if not count]
    if empty:
        raise UsageError(f"{source} has no picture of {listed(empty)}; add some, or remove "
                         f"{'this class' if len(empty) == 1 else 'these classes'}")
