"""A model's name → its HDF5 weights file: bundled with npvgg, in the cache, or downloaded and converted.

    locate("vgg13_bn-cifar10")        …/npvgg/data/vgg13_bn-cifar10.h5         part of the package
    locate("vgg16")                   cache_folder()/models/vgg16.h5           made at first use
    locate("vgg16@keras")             cache_folder()/models/vgg16@keras.h5     another publisher's (weights_convert.catalog)

    models/.vgg16.<pid>.<uuid>.part   the download; hashed while it arrives, removed after the conversion
    models/.vgg16.lock                held by the one process that downloads vgg16, while others wait

Environment: NPVGG_CACHE moves the cache, NPVGG_MIRROR=https://… fetches the same files from another server, and with
NPVGG_OFFLINE=1 nothing is fetched.  At any moment vgg16.h5 is a whole, converted file or absent: everything unfinished
carries a temporary name.
"""
import errno
import os
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import getmtime, getsize, isfile
from pathlib import Path

from npvgg.download import by_hand, fetch, is_offline, require_space, unwritable
from npvgg.errors import DownloadError, StorageError, UsageError
from npvgg.storage.cache_folder import cache_folder

DATA = Path(__file__).with_name("data")
BUNDLED = {"vgg13_bn-cifar10": "vgg13_bn-cifar10.h5"}
DEFAULT = "vgg13_bn-cifar10"

STALE_S = 24 * 3600             # a temporary file untouched for so long belongs to no living process


@dataclass(frozen=True)
class ModelEntry:
    """One line of `npvgg models`."""

    name: str
    state: str                  # bundled, cached or downloadable
    path: Path | None           # None: not here yet
    size_bytes: int             # of the weights file, or of the download
    num_classes: int | None     # None: features only
    top1: float | None          # per cent on the validation pictures of `dataset`
    top5: float | None
    dataset: str
    publisher: str              # "npvgg" of the bundled ones
    checked_by: str             # "SHA-256", "SHA-256 (8/64)" of its digits, "SHA-1", "MD5", "size only"
    preset: str
    accuracy_source: str
    url: str | None
    opset: int | None           # of an ONNX file


# The bundled networks as `list_models` shows them; accuracy is that on the test set, through npvgg itself.
BUNDLED_FACTS = {"vgg13_bn-cifar10": {
    "num_classes": 10, "top1": 90.00, "top5": None, "dataset": "CIFAR-10", "preset": "cifar10",
    "accuracy_source": "docs/bundled-network"}}


def locate(name=DEFAULT, *, offline=False, progress=None):
    """A model's name → the Path of its weights file, downloaded and converted at the first use.

    `name`: one of `list_models`, or a letter of the paper; `progress` as in `download`.  Raises what `download` raises,
    and DownloadError where the file is not here and `offline` (or NPVGG_OFFLINE=1) forbids to fetch it.
    """
    return download(name, progress=progress, offline=offline)


def download(name, *, progress=None, force=False, offline=False):
    """Fetch, check and convert the published weights of `name`, and return the Path of the weights file.

    What is here already is returned at once, unless `force`, which replaces it.  `progress` is told of the bytes under
    pooch's protocol: an attribute `total`, and update(bytes), reset(), close().  Whatever goes wrong, the cache is as
    it was, and the next call starts afresh.

    Raises DownloadError (network, server), HashMismatchError, StorageError (disk), UsageError (no such name) and
    UnsupportedError (nobody publishes such weights).  Warns with UncheckedWarning where no digest is published.
    """
    if name in BUNDLED:
        return bundled(name)
    entry = published(name)
    folder = cache_folder() / "models"
    target = folder / f"{entry.name}.h5"
    if isfile(target) and not force:
        return target
    make(folder)                # before anything can fail, for the messages send people there
    if offline or is_offline():
        raise DownloadError(f"{entry.name} would have to be fetched, which offline=True or NPVGG_OFFLINE forbids; "
                            f"go online, or {by_hand(entry, target)}")
    stamp = modified(target)
    with exclusive(folder, entry):
        # Another process may have made the file while this one waited for the lock.
        if isfile(target) and (not force or modified(target) != stamp):
            return target
        require_space(folder, entry)
        part = folder / f".{entry.name}.{os.getpid()}.{uuid.uuid4().hex}.part"
        try:
            fetch(entry, part, target, progress)
            write_weights(entry, part, target)
        finally:
            with suppress(OSError):
                part.unlink()
    return target


def list_models():
    """Every network that has a name: [ModelEntry, …], the bundled ones first."""
    from weights_convert import catalog

    models = [ModelEntry(name, "bundled", DATA / file, size_of(DATA / file), publisher="npvgg", checked_by="SHA-256", url=None,
                         opset=None, **BUNDLED_FACTS[name])
              for name, file in BUNDLED.items()]
    for entry in catalog.CHECKPOINTS.values():
        path = cache_folder() / "models" / f"{entry.name}.h5"
        here = ("cached", path, size_of(path)) if isfile(path) else ("downloadable", None, entry.size_bytes)
        models.append(ModelEntry(entry.name, *here, entry.num_classes, entry.top1, entry.top5, entry.dataset, entry.publisher,
                                 entry.checked_by, entry.preset, entry.accuracy_source, entry.url, entry.opset))
    return models


# ------------------------------------------------------------------------------------------------- names


def bundled(name):
    path = DATA / BUNDLED[name]
    if not isfile(path):
        raise StorageError(f"{path}, the bundled network, is missing from this installation; install npvgg again")
    return path


def published(name):
    """A name → its catalog entry; UsageError lists the names there are."""
    from weights_convert import catalog

    try:
        return catalog.find(name)
    except UsageError:
        if "@" in str(name):
            raise
        names = ", ".join([*BUNDLED, *(entry.name for entry in catalog.CHECKPOINTS.values() if "@" not in entry.name)])
        raise UsageError(f"there is no model called {name!r}; there are {names} and the letters A, B, D and E of the "
                         "paper, those that `npvgg models --all` lists, and weights files, given as a path such as "
                         "./model.h5") from None


# ------------------------------------------------------------------------------------------------- disk


def size_of(path):
    return getsize(path) if isfile(path) else 0


def modified(path):
    return getmtime(path) if isfile(path) else None


def make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(unwritable(folder, error)) from None


@contextmanager
def exclusive(folder, entry):
    """Wait until no other process downloads `entry`, and clear away what killed ones have left.

    The operating system releases the lock of a process that dies.  Where the file system knows no locks the work may be
    done twice; the outcome is the same, for it takes its name in one step.
    """
    path = folder / f".{entry.name}.lock"
    try:
        lock = open(path, "ab")  # noqa: SIM115
    except OSError as error:
        raise StorageError(unwritable(path, error)) from None
    with lock:
        with suppress(OSError):
            wait_for(lock)
        for pattern in (f".{entry.name}.*.part", ".npvgg-*.tmp"):
            for left in folder.glob(pattern):
                with suppress(OSError):
                    if time.time() - left.stat().st_mtime > STALE_S:
                        left.unlink()
        yield


def wait_for(lock):
    """Hold the lock on an open file until it is closed: flock or, on Windows, the lock of its first byte."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        lock.seek(0)
        while True:
            try:
                return msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLK:                    # EDEADLK: ten seconds have passed; go on waiting
                    raise
    fcntl.flock(lock, fcntl.LOCK_EX)


def write_weights(entry, checkpoint, target):
    """The checkpoint → the weights file `target`, which appears whole or not at all."""
    from weights_convert.convert import convert

    convert(checkpoint, target, model=entry.architecture, preset=entry.preset, source_name=entry.url,
            notes=f"the download was compared with the published {entry.checked_by}", force=True)
