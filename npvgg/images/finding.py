"""Names, directories and patterns → the pictures they stand for."""
import glob
import os
import re
from pathlib import Path

from npvgg.errors import StorageError, UsageError
from npvgg.images.reading import shown

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff",
            ".ppm", ".pgm", ".pbm", ".pnm"}


def find(patterns):
    """Names, directories or glob patterns → [Path, …], each picture once, in the order of the patterns.

    A file that is named is taken whatever its suffix.  A directory gives the files below it whose suffix is a
    picture's, names in natural order (2 before 10), without hidden ones and without entering linked directories.  A
    pattern means what a shell makes of it, `**` any depth; a name that exists is no pattern, whatever its characters.
    UsageError for a pattern that gives nothing, StorageError for a directory that cannot be read.
    """
    patterns = [patterns] if isinstance(patterns, (str, os.PathLike)) else list(patterns)
    if not patterns:
        raise UsageError("no pictures were named; give files, directories or patterns")
    found = {}
    for pattern in map(os.fspath, patterns):
        paths = [path for name in expanded(pattern) for path in pictures(name)]
        if not paths:
            reason = "no picture in this directory" if os.path.isdir(pattern) else "no such file, directory or match"
            raise UsageError(f"{shown(pattern)}: {reason}; check the name")
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def expanded(pattern):
    if os.path.lexists(pattern):
        return [pattern]
    return sorted(glob.glob(pattern, recursive=True), key=natural)


def pictures(name):
    """A file → itself; a directory → the pictures below it."""
    if not os.path.isdir(name):
        return [Path(name)]
    below = []
    for folder, folders, files in os.walk(name, onerror=refuse_folder):
        folders[:] = [inner for inner in folders if not inner.startswith(".")]
        below += [Path(folder, file) for file in files
                  if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES]
    return sorted(below, key=natural)


def refuse_folder(error):
    raise StorageError(f"{shown(error.filename)}: cannot be read: {error.strerror}; check the directory's rights")


def natural(path):
    """A sort key that reads digits as numbers and ignores case; the name itself settles what is then equal."""
    parts = Path(path).parts
    return [[(run.isdecimal(), int(run) if run.isdecimal() else run.casefold()) for run in re.split(r"(\d+)", part)]
            for part in parts], parts
