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
from npvgg.storage.identity import FileIdentity

# A file younger than this may still change within the same tick of its file system's clock (FAT's: two seconds).
SETTLED_NS = 2_000_000_000


def is_known(identity: FileIdentity) -> bool:
    """Whether this very file has passed verification before; a cache folder that cannot be read knows none."""
    try:
        return stamp_path(identity).read_text(encoding="utf-8") == stamp(identity)
    except (OSError, ValueError):
        return False


def remember(identity: FileIdentity) -> None:
    """Note that the file has passed.  Where no note can be kept, the next reader verifies again."""
    if time.time_ns() - max(identity.modified, identity.changed) < SETTLED_NS:
        return
    try:
        path = stamp_path(identity)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.write(path, stamp(identity), force=True)
    except (OSError, ValueError):
        pass


def stamp_path(identity: FileIdentity) -> Path:
    """One small file for each path, named by its digest: paths may be long or hold any byte."""
    real = os.fsencode(os.path.realpath(identity.path))
    return cache_folder() / "verified" / hashlib.sha256(real).hexdigest()[:32]


def stamp(identity: FileIdentity) -> str:
    """The line that is kept of a file."""
    return (f"{identity.size} {identity.modified} {identity.changed} {identity.device} {identity.inode} "
            f"{identity.digest}\n")
