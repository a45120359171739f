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
import hashlib
import math
import os
import shutil
import sys
import time
import uuid
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from os.path import getmtime, getsize, isfile
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from npvgg.architecture import architecture
from npvgg.errors import DownloadError, HashMismatchError, NpvggError, StorageError, UncheckedWarning, UsageError
from npvgg.storage.cache_folder import cache_folder

DATA = Path(__file__).with_name("data")
BUNDLED = {"vgg13_bn-cifar10": "vgg13_bn-cifar10.h5"}
DEFAULT = "vgg13_bn-cifar10"

TIMEOUT_S = 30                  # for a connection, and for the next bytes on it
ATTEMPTS = 2                    # where the server falters; not where it answers something else than the file
PAUSE_S = 1
CHUNK = 1 << 20
SPARE_BYTES = 64 << 20          # left free on the disk
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


def download(name, *, progress=None, force=False, keep=False, offline=False, timeout=TIMEOUT_S):
    """Fetch, check and convert the published weights of `name`, and return the Path of the weights file.

    What is here already is returned at once, unless `force`, which replaces it.  `progress` is told of the bytes under
    pooch's protocol: an attribute `total`, and update(bytes), reset(), close().  `keep` leaves the checkpoint beside
    the result; `timeout` is in seconds.  Whatever goes wrong, the cache is as it was, and the next call starts afresh.

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
            fetch(entry, part, target, progress, timeout)
            write_weights(entry, part, target)
            if keep:
                keep_as(folder / entry.file, part)
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


def is_offline():
    return os.environ.get("NPVGG_OFFLINE", "").lower() not in ("", "0", "false", "no")


def address(entry):
    """The URL of a checkpoint, on $NPVGG_MIRROR where that is set."""
    mirror = os.environ.get("NPVGG_MIRROR")
    if not mirror:
        return entry.url
    url = f"{mirror.rstrip('/')}/{entry.file}"
    if not is_trusted(url, url):
        raise UsageError(f"NPVGG_MIRROR is {mirror!r}; give an address that begins with https:// (http:// is for "
                         "servers on this computer only)")
    return url


def is_trusted(url, origin):
    """https, or http on this computer for whoever began on this computer."""
    try:
        scheme = urlsplit(url).scheme
        return scheme == "https" or scheme == "http" and is_loopback(url) and is_loopback(origin)
    except ValueError:
        return False


def is_loopback(url):
    host = urlsplit(url).hostname
    return host == "localhost" or ip_address(host).is_loopback


def by_hand(entry, target):
    """The way around npvgg's own download, for the end of a message."""
    arrived = entry.url.rpartition("/")[2]
    return f"fetch {entry.url} in another way and run `python -m weights_convert {arrived} {target}`"


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


def keep_as(path, part):
    try:
        os.replace(part, path)
    except OSError as error:
        raise StorageError(unwritable(path, error)) from None


def require_space(folder, entry):
    """StorageError unless the checkpoint, the weights file made from it and something to spare fit on the disk."""
    net = architecture(entry.architecture, num_classes=entry.num_classes)
    weights_bytes = 4 * sum(math.prod(shape) for shape in net.parameters.values())
    needed, free = entry.size_bytes + weights_bytes + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(f"{folder} has {free >> 20:,} MiB free and {entry.name} needs {needed >> 20:,} MiB while it "
                           "is converted; free some space, or set NPVGG_CACHE to a folder on another disk")


def unwritable(path, error):
    return (f"{path} cannot be written ({error.strerror or error}); free some space, or set NPVGG_CACHE to a folder "
            "that you may write to")


# ------------------------------------------------------------------------------------------------- network


class Faltered(DownloadError):
    """The server or the connection broke off: worth another attempt."""


def fetch(entry, part, target, progress, timeout):
    """The published bytes of `entry` → the file `part`, proven to be those; once more where the server falters."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return receive(entry, part, target, progress, timeout)
        except Faltered:
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE_S)


def receive(entry, part, target, progress, timeout):
    import pooch

    url, outside = address(entry), sys.exception()
    arrival = Arrival(entry, url, part, by_hand(entry, target))
    load = pooch.HTTPDownloader(progressbar=progress or False, chunk_size=CHUNK, timeout=timeout,
                                headers={"Accept-Encoding": "identity"}, hooks={"response": arrival.answered})
    try:
        with arrival:
            load(url, arrival, None)
            arrival.check()
    except NpvggError:
        raise
    except (OSError, ValueError) as error:                # requests' own errors, and a URL or header that is none
        kind = DownloadError if arrival.response is None else Faltered
        raise kind(f"{url} could not be fetched ({innermost(error, outside)}); check the network and try again, or "
                   f"{arrival.otherwise}") from None
    finally:
        if progress:
            progress.close()


def innermost(error, outside):
    """What lies under the layers of a network error, in a few words; `outside` is what was being handled before it."""
    while (inner := error.__cause__ or error.__context__) and inner is not outside:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Arrival:
    """The file that pooch writes to: counts and hashes what comes, and refuses what cannot be the checkpoint.

    A response of another size is refused at its first line, an endless one at the first byte too many, and a redirect
    before it is followed if it leads away from https.
    """

    def __init__(self, entry, url, part, otherwise):
        self.entry, self.url, self.part, self.otherwise = entry, url, part, otherwise
        self.algorithm, _, self.expected = (entry.digest or "SHA-256").partition(":")
        # MD5 is not there for security: nothing that comes is run.  Where OpenSSL is in FIPS mode there is none otherwise.
        self.digest = hashlib.new(self.algorithm.replace("-", ""), usedforsecurity=False)
        self.count, self.response = 0, None

    def __enter__(self):
        try:
            # Emptied, for a second attempt starts from nothing; its owner's alone (0600) until it is checked.
            self.file = open(self.part, "wb", opener=partial(os.open, mode=0o600))
        except OSError as error:
            raise StorageError(unwritable(self.part, error)) from None
        return self

    def __exit__(self, *_):
        # After a failed write, close fails again for what is left in the buffer: the first error is the one to tell.
        with suppress(OSError):
            self.file.close()
        if self.response is not None:
            self.response.close()

    def answered(self, response, **_):
        """Called by requests for every response, redirects included, before its body is read."""
        onward = urljoin(response.url, response.headers["location"]) if response.is_redirect else response.url
        if not is_trusted(onward, self.url):
            raise DownloadError(f"{self.url} leads to {onward}, which is not https; {self.otherwise}")
        if response.is_redirect:
            return
        self.response, code = response, response.status_code
        status = f"{code} {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else str(code)
        if code >= 500 or code == HTTPStatus.TOO_MANY_REQUESTS:
            raise Faltered(f"the server answered {status} for {self.url}; try again later, or {self.otherwise}")
        if code != HTTPStatus.OK:
            raise DownloadError(f"the server answered {status} for {self.url}; {self.otherwise}")
        length = response.headers.get("content-length")
        # Compressed on the way, the length is another; what is unpacked is counted in any case.
        if length is not None and "content-encoding" not in response.headers and not self.entry.has_size(int(length)):
            raise DownloadError(self.of_another_size(f"{int(length):,}"))

    def write(self, data):
        self.count += len(data)
        if self.count > self.entry.size_bytes + self.entry.size_slack:
            raise DownloadError(self.of_another_size(f"more than {self.entry.size_bytes:,}"))
        self.digest.update(data)
        self.stored(self.file.write, data)

    def flush(self):
        self.stored(self.file.flush)

    def check(self):
        """Everything has come: is it the checkpoint?"""
        if not self.entry.has_size(self.count):
            raise Faltered(self.of_another_size(f"{self.count:,}"))
        found = self.digest.hexdigest()
        if not found.startswith(self.expected):
            beginning = "" if len(found) == len(self.expected) else "one that begins with "
            raise HashMismatchError(f"{self.url} gave a file whose {self.algorithm} is {found}, where {beginning}"
                                    f"{self.expected} is published; nothing was kept: try again, or {self.otherwise}")
        if not self.expected:
            warnings.warn(f"no digest of {self.url} is published, so only its size could be checked; its {self.algorithm} is "
                          f"{found}", UncheckedWarning, stacklevel=2)
        self.flush()
        self.stored(os.fsync, self.file.fileno())

    def stored(self, operation, *arguments):
        # A full disk must not be taken for a fault of the network: to requests and pooch both are an OSError.
        try:
            return operation(*arguments)
        except OSError as error:
            raise StorageError(unwritable(self.part, error)) from None

    def of_another_size(self, found):
        return (f"{self.url} gave {found} bytes where {self.entry.size_bytes:,} are published; check the network and "
                f"try again, or {self.otherwise}")


def write_weights(entry, checkpoint, target):
    """The checkpoint → the weights file `target`, which appears whole or not at all."""
    from weights_convert.convert import convert

    convert(checkpoint, target, model=entry.architecture, preset=entry.preset, source_name=entry.url,
            notes=f"the download was compared with the published {entry.checked_by}", force=True)
