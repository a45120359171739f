"""A model's name → its HDF5 weights file: bundled with npvgg, in the cache, or downloaded and converted.

    locate("vgg13_bn-cifar10")        …/npvgg/data/vgg13_bn-cifar10.h5         part of the package
    locate("vgg16")                   cache_folder()/models/vgg16.h5           made at first use
    locate("vgg16@keras")             cache_folder()/models/vgg16@keras.h5     another publisher's (weights_convert.catalog)

    models/.vgg16.<pid>.<uuid>.part   the download; hashed while it arrives, removed after the conversion
    models/.vgg16.lock                held by the one process that downloads vgg16, while others wait (storage.file_lock)

Environment: NPVGG_CACHE moves the cache, NPVGG_MIRROR=https://… fetches the same files from another server, and with
NPVGG_OFFLINE=1 nothing is fetched.  At any moment vgg16.h5 is a whole, converted file or absent: everything unfinished
carries a temporary name.
"""
import fnmatch
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from os.path import getmtime, getsize, isfile
from pathlib import Path

from npvgg.architecture import architecture
from npvgg.checks import check_flags
from npvgg.download import by_hand, fetch, is_offline, require_space, unwritable
from npvgg.errors import BadFileError, DownloadError, StorageError, UsageError
from npvgg.storage import file_lock
from npvgg.storage.cache_folder import cache_folder
from npvgg.text import meant

LOG = logging.getLogger(__name__)
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


def locate(name: str = DEFAULT, *, offline: bool = False, progress=None) -> Path:
    """A model's name → the Path of its weights file, downloaded and converted at the first use.

    `name`: one of `list_models`, or a letter of the paper.  Raises DownloadError where the file is not here and `offline` (or
    NPVGG_OFFLINE=1) forbids to fetch it; `progress` and the other errors are those of `download`.
    """
    check_text(name)
    check_flags(offline=offline)
    if name in BUNDLED:
        return bundled(name)
    entry = published(name)
    target = cached(entry)
    if isfile(target):
        return target
    return made(entry, target, progress, force=False, offline=offline)


def download(name: str, *, force: bool = False, progress=None) -> Path:
    """Fetch, check and convert the published weights of `name`, and return the Path of the weights file.

    What is here already is returned at once, unless `force`, which replaces it.  `progress` is called with the bytes under
    pooch's protocol: an attribute `total`, and update(bytes), reset(), close().  While another process fetches the same
    weights, this one says so (a warning of the logger npvgg) and waits.  Whatever goes wrong, the cache is as it was, and the
    next call starts afresh.

    Raises DownloadError (network, server), HashMismatchError, StorageError (disk), UsageError (no such name) and
    UnsupportedError (no such weights are published).  Warns with UncheckedWarning where no digest is published.
    """
    check_text(name)
    check_flags(force=force)
    if not force or name in BUNDLED:
        return locate(name, progress=progress)
    entry = published(name)
    return made(entry, cached(entry), progress, force=True, offline=False)


def list_models(pattern: str = "*") -> list[ModelEntry]:
    """Every network whose name fits the pattern ("vgg16*", "*@keras"; * ? [ ] as in a shell), the bundled ones first.

    A pattern that fits none gives an empty list; UsageError for what is no text.
    """
    from npvgg.converter import catalog

    if not isinstance(pattern, str):
        raise UsageError(f"pattern is {pattern!r:.80}; give text such as 'vgg16*' or '*@keras'")

    models = [ModelEntry(name, "bundled", DATA / file, size_of(DATA / file), publisher="npvgg", checked_by="SHA-256", url=None,
                         opset=None, **BUNDLED_FACTS[name])
              for name, file in BUNDLED.items()]
    for entry in catalog.CHECKPOINTS.values():
        path = cached(entry)
        here = ("cached", path, size_of(path)) if isfile(path) else ("downloadable", None, entry.size_bytes)
        models.append(ModelEntry(entry.name, *here, entry.num_classes, entry.top1, entry.top5, entry.dataset, entry.publisher,
                                 entry.checked_by, entry.preset, entry.accuracy_source, entry.url, entry.opset))
    return [model for model in models if fnmatch.fnmatchcase(model.name, pattern.lower())]


# ------------------------------------------------------------------------------------------------- names


def check_text(name: str) -> None:
    """UsageError unless the name of a model is text."""
    if not isinstance(name, str):
        raise UsageError(f"the name of a model is {name!r:.80}; give text such as 'vgg16'")


def bundled(name: str) -> Path:
    """A bundled network's name → the Path of its file; StorageError where it is missing."""
    path = DATA / BUNDLED[name]
    if not isfile(path):
        raise StorageError(f"{path}, the bundled network, is missing from this installation; install npvgg again")
    return path


def published(name: str):
    """A name → its weights_convert.catalog.Checkpoint; UsageError lists the names there are."""
    from npvgg.converter import catalog

    try:
        return catalog.find(name)
    except UsageError as error:
        close = meant(name, [*BUNDLED, *catalog.CHECKPOINTS])
        if "@" in str(name):
            raise UsageError(f"{error}{close}") from None
        names = ", ".join([*BUNDLED, *(entry.name for entry in catalog.CHECKPOINTS.values() if "@" not in entry.name)])
        raise UsageError(f"there is no model called {name!r}{close}; there are {names} and the letters A, B, D and E of the "
                         "paper, those that `npvgg models --all` lists, and weights files, given as a path such as "
                         "./model.h5") from None


def cached(entry) -> Path:
    """A catalogue entry → where its weights file is, or will be."""
    return cache_folder() / "models" / f"{entry.name}.h5"


# ------------------------------------------------------------------------------------------------- making the file


def made(entry, target: Path, progress, *, force: bool, offline: bool) -> Path:
    """Fetch and convert `entry`, under the lock of its name → `target`.  Errors: those of `download`."""
    folder = target.parent
    make(folder)                # before anything can fail, for the messages name that folder
    if offline or is_offline():
        raise DownloadError(f"{entry.name} would have to be fetched, which offline=True or NPVGG_OFFLINE forbids; "
                            f"go online, or {by_hand(entry, target)}")
    stamp = modified(target)
    with exclusive(folder, entry):
        # Another process may have made the file while this one waited for the lock.
        if isfile(target) and (not force or modified(target) != stamp):
            return target
        require_space(folder, entry)
        LOG.warning("downloading and converting %s, %s MiB; later runs find it in %s", entry.name,
                    f"{entry.size_bytes / 2**20:,.0f}", folder)
        part = folder / f".{entry.name}.{os.getpid()}.{uuid.uuid4().hex}.part"
        try:
            fetch(entry, part, target, progress)
            write_weights(entry, part, target)
        finally:
            with suppress(OSError):
                part.unlink()
    return target


@contextmanager
def exclusive(folder: Path, entry) -> Iterator[None]:
    """Run the block while no other process fetches `entry`, after clearing away what killed ones have left."""
    path = folder / f".{entry.name}.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock.held(path, f"{entry.name} is being fetched by another process; waiting for it"))
        except OSError as error:
            raise StorageError(unwritable(path, error)) from None
        remove_leftovers(folder, entry)
        yield


def write_weights(entry, checkpoint: Path, target: Path) -> None:
    """The checkpoint → the weights file `target`, which appears whole or not at all."""
    from npvgg.converter import convert

    convert(checkpoint, target, model=entry.architecture, preset=entry.preset, source_name=entry.url,
            notes=f"the download was compared with the published {entry.checked_by}", force=True,
            accept=partial(require_published, entry))


def require_published(entry, net) -> None:
    """BadFileError unless the network that was found in a download is the one that the entry is of."""
    expected = architecture(entry.architecture, num_classes=entry.num_classes)
    have, want = ((one.name, one.width, one.input_channels, one.num_classes, one.dense_sizes if one.num_classes else ())
                  for one in (net, expected))
    if have != want:
        classes = f"{entry.num_classes} classes" if entry.num_classes else "no classifier"
        raise BadFileError(f"{entry.url} is published as {expected.name} with {classes} and holds {net.name} of width "
                           f"{net.width:g} and {net.num_classes or 'no'} classes; nothing was kept: tell its publisher, or "
                           "take another file of `npvgg models --all`")


def remove_leftovers(folder: Path, entry) -> None:
    """Temporary files of processes that were killed; one that was touched within a day may belong to a living process."""
    for pattern in (f".{entry.name}.*.part", ".npvgg-*.tmp"):
        for left in folder.glob(pattern):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_S:
                    left.unlink()


def make(folder: Path) -> None:
    """Make the folder and those above it; StorageError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(unwritable(folder, error)) from None


def size_of(path: Path) -> int:
    """Its size in bytes; 0 where there is no file."""
    return getsize(path) if isfile(path) else 0


def modified(path: Path) -> float | None:
    """When it was last written; None where there is no file."""
    return getmtime(path) if isfile(path) else None
