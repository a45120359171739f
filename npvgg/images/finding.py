"""Names, directories and patterns → the pictures they stand for."""
import fnmatch
import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from npvgg.checks import check_flags
from npvgg.errors import StorageError, UsageError
from npvgg.images.reading import shown

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff",
            ".ppm", ".pgm", ".pbm", ".pnm"}


def find(patterns, *, missing: bool = False) -> list[Path]:
    """Names, directories or glob patterns → [Path, …], in the order of the patterns.

    A file that is named is taken whatever its suffix, and each time it is named; with `missing` also where there is none, for
    whoever reads it says so in its place; so it is with a directory that cannot be read.  A directory gives the files below it
    whose suffix is a picture's, names in natural order (2 before 10), without hidden ones and without entering linked
    directories.  A pattern means what it means in a shell, `**` any depth, linked directories left out; a name that exists is
    no pattern, whatever its characters.  Directories and patterns give no picture a second time.

    UsageError for what gives nothing, StorageError for a directory that cannot be read.
    """
    check_flags(missing=missing)
    is_one = isinstance(patterns, (str, os.PathLike)) or not isinstance(patterns, Iterable)
    patterns = [patterns] if is_one else list(patterns)
    wrong = [type(pattern).__name__ for pattern in patterns if not isinstance(pattern, (str, os.PathLike))]
    if wrong:
        raise UsageError(f"one of the names is of type {wrong[0]}; give names of files, directories or patterns, as text or a "
                         "Path")
    if not patterns:
        raise UsageError("no pictures were named; give files, directories or patterns")
    paths, seen = [], set()
    for pattern in map(os.fspath, patterns):
        is_name = is_file_name(pattern, missing)
        below = [Path(pattern)] if is_name else [path for name in expanded(pattern) for path in pictures(name, missing)]
        if not below:
            reason = "no picture in this directory" if os.path.isdir(pattern) else "no such file, directory or match"
            raise UsageError(f"{shown(pattern) or repr('')}: {reason}; check the name")
        for path in below:
            if is_name or place(path) not in seen:
                paths.append(path)
                seen.add(place(path))
    return paths


def is_file_name(pattern, missing):
    """Whether one file is named, be it there or, with `missing`, not."""
    if os.path.lexists(pattern):
        return not os.path.isdir(pattern)
    return missing and pattern != "" and not glob.has_magic(pattern)


def place(path):
    """What two names of one entry of a directory have in common, whatever links lead there."""
    try:
        return os.path.realpath(path.parent), path.name
    except ValueError:                                    # a NUL character
        return path


def expanded(pattern):
    """A name or a pattern with * ? [ ] → the names that exist, sorted; a name that exists is never read as a pattern."""
    if os.path.lexists(pattern):
        return [pattern]
    return sorted(matches("", Path(pattern).parts), key=natural) if pattern else []


def matches(folder, parts):
    """A directory and the parts of a pattern below it → the names that fit; `**` enters no linked directory."""
    if not parts:
        yield from [folder] if os.path.lexists(folder) else []
        return
    part, *rest = parts
    if part == "**":
        yield from matches(folder, rest or ["*"])
    if not glob.has_magic(part):
        yield from matches(os.path.join(folder, part), rest)
        return
    for entry in entries(folder):
        name = os.path.join(folder, entry.name)
        if entry.name.startswith(".") and not part.startswith("."):
            continue
        if part == "**":
            yield from matches(name, parts) if entry.is_dir(follow_symlinks=False) else []
        elif fnmatch.fnmatch(entry.name, part):
            yield from matches(name, rest)


def entries(folder):
    """Those of a directory; none where it cannot be read, as in a shell."""
    try:
        with os.scandir(folder or os.curdir) as scanned:
            return list(scanned)
    except (OSError, ValueError):
        return []


def pictures(name, missing):
    """A file → itself; a directory → the pictures below it, with `missing` also directories that cannot be read."""
    if not os.path.isdir(name):
        return [Path(name)]
    below = []

    def unreadable(error):
        if not missing:
            raise StorageError(f"{shown(error.filename)}: cannot be read: {error.strerror}; check the directory's rights")
        below.append(Path(error.filename))

    for folder, folders, files in os.walk(name, onerror=unreadable):
        folders[:] = [inner for inner in folders if not inner.startswith(".")]
        below += [Path(folder, file) for file in files
                  if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES]
    return sorted(below, key=natural)


def natural(path):
    """A sort key that reads digits as numbers and ignores case; the name itself settles what is then equal."""
    parts = Path(path).parts
    return [[(run.isdecimal(), int(run) if run.isdecimal() else run.casefold()) for run in re.split(r"(\d+)", part)]
            for part in parts], parts
