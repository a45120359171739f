"""Data sets as they lie on disks → Pictures.

    DATA                          what it is
    ---------------------------   -------------------------------------------------------------------------------------
    folder/CLASS/….jpg            a folder per class, classes in the order of their names
    list.txt                      `path label` a line, paths relative to the list; a label is a name or a number from 0,
                                  several labels are separated by commas, and none is -
    folder/data_batch_1.bin …     CIFAR-10's binary layout (train.bin: CIFAR-100's), or one such file: test_batch.bin
    folder/train-images-idx3-…    MNIST's idx, with or without .gz, or one such file of pictures, its labels beside it
    data.npz                      x (N, H, W[, C]) uint8 and y (N,) or (N, labels); class_names if it has any
"""
import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.images.finding import SUFFIXES
from npvgg.text import listed, meant, said, shown
from npvgg.training import pictures
from npvgg.training.pictures import Pictures

CIFAR_SIDE = 32
IDX_TYPES = {8: np.uint8}
PARTS = {"train", "val", "valid", "validation", "test"}


def read(data: str | os.PathLike, *, class_names: Sequence[str] | None = None, mode: str = "RGB", threads: int = 2) -> Pictures:
    """A data set by its path, one of the table above → Pictures in `mode` (arrays keep their own channels).

    `class_names` are those of the network, or of the data that it is trained on: then the classes are these, in this order, and
    a class that is none of them is refused.  UsageError, BadFileError, StorageError.
    """
    path = Path(data)
    if not path.exists():
        raise StorageError(f"there is no {shown(path)}; check the name")
    if path.is_dir():
        names = {entry.name for entry in os.scandir(path)}
        if names & {"data_batch_1.bin", "train.bin"}:
            return read_cifar(sorted(path / name for name in names if re.fullmatch(r"data_batch_\d\.bin|train\.bin", name)),
                              class_names)
        idx = sorted(name for name in names if re.fullmatch(r"train-images[.-]idx3-ubyte(\.gz)?", name))
        if idx:
            return read_idx(path / idx[0], class_names)
        return read_folder(path, class_names, mode, threads)
    if path.suffix == ".npz":
        return read_npz(path, class_names)
    if path.suffix == ".bin":
        return read_cifar([path], class_names)
    if re.search(r"idx3-ubyte(\.gz)?$", path.name):
        return read_idx(path, class_names)
    return read_list(path, class_names, mode, threads)


def read_folder(root: Path, class_names: Sequence[str] | None, mode: str, threads: int) -> Pictures:
    """A folder of classes → Pictures."""
    found = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise UsageError(f"{shown(root)} has no folder of a class in it; give a folder with one folder of pictures per class, "
                         "a list, or one of the other layouts of `npvgg train --help`")
    if set(found) <= PARTS and len(found) > 1:
        raise UsageError(f"{shown(root)} holds {' and '.join(found)}, which look like parts of a data set and not like "
                         f"classes; give {shown(root / found[0])}, or with --val one of the others")
    names = tuple(found) if class_names is None else tuple(class_names)
    refuse_other_classes(found, names, root)
    paths, targets = [], []
    for name in found:
        below = sorted(file for file in walk(root / name) if os.path.splitext(file)[1].lower() in SUFFIXES)
        if not below:
            raise UsageError(f"the class folder {shown(root / name)} has no picture in it; add some, or remove the folder")
        paths += below
        targets += [names.index(name)] * len(below)
    return pictures.read_files(paths, np.array(targets, np.int64), names, root=str(root), mode=mode, threads=threads)


def walk(folder):
    """The files below a folder, without hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(place, name) for name in files if not name.startswith("."))


def refuse_other_classes(found, names, source):
    """UsageError where the data has a class that the network, or the data that it is trained on, lacks."""
    unknown = [name for name in found if name not in names]
    if unknown:
        raise UsageError(f"{shown(source)} has {listed(map(shown, unknown))}, which {'is' if len(unknown) == 1 else 'are'} "
                         f"none of the {len(names)} classes ({listed(map(shown, names))}){meant(unknown[0], names)}; both must "
                         "have the same classes")


def read_list(path: Path, class_names: Sequence[str] | None, mode: str, threads: int) -> Pictures:
    """A list of `path label` lines → Pictures."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise StorageError(f"{shown(path)} cannot be read ({error.strerror or error}); check its rights") from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, label = line.strip().rpartition("\t" if "\t" in line.strip() else " ")
        if not name.strip() or "\0" in line:
            raise UsageError(f"line {number} of {shown(path)} is {shown(line, 60)!r}; give lists as `path label`, one a line")
        rows.append((os.path.join(path.parent, name.strip()), label.strip()))
    if not rows:
        raise UsageError(f"{shown(path)} lists no picture; give lines of `path label`")
    targets, names = list_targets([label for _, label in rows], class_names, path)
    return pictures.read_files([name for name, _ in rows], targets, names, root=str(path.parent), mode=mode, threads=threads)


def list_targets(labels, class_names, path):
    """The labels as they are written → targets and class names."""
    several = [[] if label == "-" else label.split(",") for label in labels]
    is_multi = any(len(parts) != 1 for parts in several)
    words = {part for parts in several for part in parts}
    are_numbers = all(re.fullmatch(r"\d{1,7}", word) for word in words)
    if class_names is not None:
        names = tuple(class_names)
    elif are_numbers:
        names = tuple(map(str, range(max(map(int, words), default=0) + 1)))
    else:
        names = tuple(sorted(words))
    index = {name: number for number, name in enumerate(names)}
    if are_numbers and not words <= index.keys():
        index = {word: int(word) for word in words}
    wrong = [word for word in sorted(words) if not 0 <= index.get(word, -1) < len(names)]
    if wrong:
        raise UsageError(f"the label {shown(wrong[0], 60)!r} in {shown(path)} is out of range; the {len(names)} classes are "
                         f"{listed(map(shown, names))}, or their numbers from 0")
    if not is_multi:
        return np.array([index[parts[0]] for parts in several], np.int64), names
    targets = np.zeros((len(several), len(names)), np.float32)
    for row, parts in enumerate(several):
        targets[row, [index[part] for part in parts]] = 1
    return targets, names


def read_cifar(files: Sequence[Path], class_names: Sequence[str] | None) -> Pictures:
    """CIFAR's records: one label byte (CIFAR-100: a coarse and a fine one), then 3072 levels, colour after colour."""
    parts = [np.frombuffer(content(file), np.uint8) for file in files]
    folder = files[0].parent
    is_fine = int(files[0].name in ("train.bin", "test.bin") or (folder / "fine_label_names.txt").exists())
    record = 3 * CIFAR_SIDE**2 + 1 + is_fine
    for file, part in zip(files, parts, strict=True):
        if not part.size or part.size % record:
            raise BadFileError(f"{shown(file)} has {part.size:,} bytes, which is no multiple of CIFAR's records of {record}; "
                               "fetch it again")
    records = np.concatenate(parts).reshape(-1, record)
    names = class_names
    listed_names = folder / ("fine_label_names.txt" if is_fine else "batches.meta.txt")
    if names is None and listed_names.exists():
        names = tuple(listed_names.read_text(encoding="utf-8").split())
    levels = records[:, 1 + is_fine:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
    return pictures.of_arrays(np.ascontiguousarray(levels), records[:, is_fine], names, shown(folder))


def read_idx(path: Path, class_names: Sequence[str] | None) -> Pictures:
    """MNIST's pictures, and the labels in the file beside them."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == path or not beside.exists():
        raise StorageError(f"the labels of {shown(path)} are not beside it, where {shown(beside.name)} is expected")
    return pictures.of_arrays(idx(path, 3), idx(beside, 1), class_names, shown(path))


def idx(path, rank):
    """An idx file of unsigned bytes → array."""
    data = content(path)
    head = 4 + 4 * rank
    shape = tuple(int.from_bytes(data[4 + 4 * axis:8 + 4 * axis], "big") for axis in range(rank))
    if data[:4] != bytes((0, 0, 8, rank)) or len(data) - head != np.prod(shape, dtype=object):
        raise BadFileError(f"{shown(path)} is no idx file of {rank} axes of bytes, or was cut short; fetch it again")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def content(path):
    """The bytes of a file, unpacked if it is gzip's."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{shown(path)} cannot be read ({said(error)}); check it, or fetch it again") from None


def read_npz(path: Path, class_names: Sequence[str] | None) -> Pictures:
    """An .npz of x and y → Pictures."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("x", "y", "images", "labels", "class_names")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, SyntaxError) as error:
        raise BadFileError(f"{shown(path)} cannot be read as .npz ({said(error)}); write it with np.savez(path, x=…, "
                           "y=…)") from None
    x, y = arrays.get("x", arrays.get("images")), arrays.get("y", arrays.get("labels"))
    if x is None or y is None:
        raise UsageError(f"{shown(path)} has {listed(arrays) or 'none'} of the arrays x and y; write it with "
                         "np.savez(path, x=pictures, y=labels)")
    names = class_names
    if names is None and "class_names" in arrays:
        names = tuple(map(str, arrays["class_names"].tolist()))
    return pictures.of_arrays(x, y, names, shown(path))
