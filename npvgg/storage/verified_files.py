"""Which files have passed verification before, so that gigabytes are not hashed at every start.

    cache_folder()/verified/<digest of the path>        one line: size, times, device, inode, digest of the header

A file that differs in any of these is new.
"""
import hashlib
import os
import time
from pathlib import Path

from npvgg.storage import atomic_file
from npvgg.storage.cache_folder import cache_folder
from npvgg.storage.hdf5_reading import Contents

# A file younger than this may still change within the same tick of its file system's clock (FAT's: two seconds).
SETTLED_NS = 2_000_000_000


def is_known(contents: Contents) -> bool:
    """Whether this very file has passed verification before; a cache folder that cannot be read knows none."""
    try:
        return stamp_path(contents).read_text(encoding="utf-8") == stamp(contents)
    except (OSError, ValueError):
        return False


def remember(contents: Contents) -> None:
    """Note that the file has passed.  Where no note can be kept, the next reader verifies again."""
    if time.time_ns() - max(contents.status.st_mtime_ns, contents.status.st_ctime_ns) < SETTLED_NS:
        return
    try:
        path = stamp_path(contents)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.write(path, stamp(contents), force=True)
    except (OSError, ValueError):
        pass


def stamp_path(contents: Contents) -> Path:
    """One small file for each path, named by its digest: paths may be long or hold any byte."""
    real = os.fsencode(os.path.realpath(contents.path))
    return cache_folder() / "verified" / hashlib.sha256(real).hexdigest()[:32]


def stamp(contents: Contents) -> str:
    """The line that is kept of a file."""
    status = contents.status
    return (f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_dev} {status.st_ino} "
            f"{contents.digest}\n")
