"""Machine code kept on disk between runs, so that a kernel is compiled once on a machine.

    <folder>/<name>          SHA-256 of the name and the rest, the rest

What is read back is executed, so it is read from a folder and a file that only their owner, us or the administrator, can write
to, and only with a matching SHA-256: Numba's own cache checks neither, and of fifty single flipped bits eight ended the process
and one changed an answer.  The name holds a digest of all that the code was compiled from and for, so there is no index that
two processes would write at the same time.  Whatever goes wrong with a file or the folder, the kernel is compiled, and the
answer is the same; that it could not be kept is logged once, for then every process compiles again.

The folder is $NUMBA_CACHE_DIR or the cache folder / "kernels".
"""
import hashlib
import logging
import os
import stat
import uuid
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from npvgg.errors import StorageError
from npvgg.storage import opening
from npvgg.storage.cache_folder import cache_folder

LOG = logging.getLogger(__name__)
DIGEST_BYTES = hashlib.sha256().digest_size
SAID = set()                    # sentences that this process has logged
UNKEPT = []                     # why code that was compiled in this process could not be kept


def announce() -> None:
    """Log, once a process, that something has to be compiled: it takes seconds, and ten the first time."""
    say("compiling the kernels for this machine, which takes some seconds; later runs start at once" if why_unusable() is None
        else "compiling the kernels for this machine, which takes some seconds")


def say(sentence: str) -> None:
    """Log a sentence as a warning, unless this process has logged it before."""
    if sentence not in SAID:
        SAID.add(sentence)
        LOG.warning(sentence)


def folder() -> Path:
    """The folder of compiled kernels; StorageError where the home folder is not known."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder() / "kernels")


def require_folder() -> Path:
    """The folder, made if it is not there; StorageError where nothing can be kept in it, or others could write to it."""
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return trusted(path)
    except OSError as error:
        raise StorageError(f"compiled kernels cannot be kept in {path} ({error.strerror or error}), so that every run compiles "
                           "them again; set NPVGG_CACHE to a folder of your own") from None


def why_unusable() -> StorageError | None:
    """What `require_folder` raises; None where the folder can be used."""
    try:
        require_folder()
    except StorageError as error:
        return error
    return None


def read(name: str) -> bytes:
    """The bytes that were written under that name; OSError where there is none, its digest differs, or others can write it."""
    with open(trusted(folder()) / name, "rb", opener=opening.without_waiting) as file:
        refuse_of_others(os.fstat(file.fileno()), stat.S_ISREG, name)
        raw = file.read()
    if digest(name, raw[DIGEST_BYTES:]) != raw[:DIGEST_BYTES]:
        raise OSError(f"{name} is damaged")
    return raw[DIGEST_BYTES:]


def keep(name: str, content: bytes) -> None:
    """Write the file for later processes; where that fails it is logged, once, and counted in UNKEPT."""
    try:
        require_folder()
        write(name, content)
    except (OSError, StorageError) as error:
        sentence = str(error) if isinstance(error, StorageError) else (
            f"compiled kernels cannot be kept in {folder()} ({error.strerror or error}), so that the next run compiles them "
            "again; free some space, or set NPVGG_CACHE to a folder on another disk")
        UNKEPT.append(sentence)
        say(sentence)


def write(name: str, content: bytes) -> None:
    """A file that is there whole or not at all, and that only its owner can write to; OSError where it cannot be made."""
    path = folder()
    temporary = path / f".{name}.{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=0o644)) as file:
            file.write(digest(name, content) + content)
        os.replace(temporary, path / name)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def digest(name: str, content: bytes) -> bytes:
    """SHA-256 of a file's name and content: under another name it is another file."""
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def trusted(path: Path) -> Path:
    """The folder, if only its owner can write to it and that is us or the administrator; OSError otherwise."""
    refuse_of_others(path.lstat(), stat.S_ISDIR, path)
    return path


def refuse_of_others(status: os.stat_result, is_kind, path) -> None:
    """OSError unless it is of that kind, belongs to us or the administrator, and nobody else can write to it."""
    if not is_kind(status.st_mode):
        raise OSError(f"{path} is of another kind")
    if hasattr(os, "getuid") and (status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022):
        raise OSError(f"{path} can be written by others")


@cache
def sources(kernels):
    """A digest of the kernels in a folder, of the modules one floor below, and of what compiles them."""
    files = sorted([*kernels.rglob("*.py"), *kernels.parent.glob("*.py"), *Path(__file__).parent.glob("*.py")])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def name(title, *made_for):
    """A file's name: what it is, and a digest of what it was compiled from and for."""
    return f"{title}.{hashlib.sha256(repr(made_for).encode()).hexdigest()[:32]}.bin"
