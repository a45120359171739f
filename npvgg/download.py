"""A catalogue entry → its published bytes in a file: fetched over https, counted, hashed and compared.

pooch's HTTPDownloader fetches; `Arrival`, the file that it writes to, adds what pooch.retrieve does not have: an answer of
another size is refused at its first line and an endless one at the first byte too many, a redirect is looked at before it is
followed, a digest of which eight digits are published is compared, a full disk is told from a fault of the network, and the
bytes reach the disk before they count.

Environment: NPVGG_MIRROR=https://… fetches the same files from another server; with NPVGG_OFFLINE=1 nothing is fetched.
"""
import hashlib
import math
import os
import shutil
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from npvgg import text
from npvgg.architecture import architecture
from npvgg.errors import DownloadError, HashMismatchError, NpvggError, StorageError, UncheckedWarning, UsageError

TIMEOUT_S = 30                  # for a connection, and for the next bytes on it
ATTEMPTS = 2                    # in a row, where the server falters; not where it answers something else than the file
GRACE_S, SLOWEST = 60, 32 << 10                 # the whole may take a minute and 32 KiB a second, however often bytes come
PAUSE_S = 1
CHUNK = 1 << 20
SPARE_BYTES = 64 << 20          # left free on the disk
SWITCH = dict.fromkeys(("", "0", "false", "no", "off"), False) | dict.fromkeys(("1", "true", "yes", "on"), True)


def is_offline() -> bool:
    """Whether NPVGG_OFFLINE forbids the network; UsageError where it says neither yes nor no."""
    stated = os.environ.get("NPVGG_OFFLINE", "").strip().lower()
    if stated not in SWITCH:
        raise UsageError(f"NPVGG_OFFLINE is {stated!r:.80}; give 1 to forbid the network, or 0 to allow it")
    return SWITCH[stated]


def address(entry) -> str:
    """The URL of a checkpoint, on $NPVGG_MIRROR where that is set; UsageError for a mirror without https."""
    mirror = os.environ.get("NPVGG_MIRROR")
    if not mirror:
        return entry.url
    url = f"{mirror.rstrip('/')}/{entry.file}"
    if not is_trusted(url, url):
        raise UsageError(f"NPVGG_MIRROR is {mirror!r}; give an address that begins with https:// (http:// is for "
                         "servers on this computer only)")
    return url


def is_trusted(url: str, origin: str) -> bool:
    """Whether it is https, or http on this computer for whoever began at `origin` on this computer."""
    try:
        scheme = urlsplit(url).scheme
        return scheme == "https" or scheme == "http" and is_loopback(url) and is_loopback(origin)
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether its host is this computer; ValueError for a name that is not localhost."""
    host = urlsplit(url).hostname
    return host == "localhost" or ip_address(host).is_loopback


def by_hand(entry, target: Path) -> str:
    """The way around npvgg's own download, for the end of a message."""
    arrived = entry.url.rpartition("/")[2]
    return f"fetch {entry.url} in another way and run `python -m weights_convert {arrived} {target}`"


def require_space(folder: Path, entry) -> None:
    """StorageError unless the checkpoint, the weights file made from it and something to spare fit on the disk."""
    net = architecture(entry.architecture, num_classes=entry.num_classes)
    weights_bytes = 4 * sum(math.prod(shape) for shape in net.parameters.values())
    needed, free = entry.size_bytes + weights_bytes + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(f"{folder} has {free >> 20:,} MiB free and {entry.name} needs {needed >> 20:,} MiB while it "
                           "is converted; free some space, or set NPVGG_CACHE to a folder on another disk")


def unwritable(path: Path, error: OSError) -> str:
    """The sentence for a place in the cache that cannot be written."""
    return (f"{path} cannot be written ({error.strerror or error}); free some space, or set NPVGG_CACHE to a folder "
            "that you may write to")


class Faltered(DownloadError):
    """The server or the connection broke off: worth another attempt."""


def fetch(entry, part: Path, target: Path, progress) -> None:
    """The published bytes of `entry` → the file `part`, proven to be those; once more where the server falters.

    `target` is where its weights file will be, for the messages; `progress` and the errors are those of `hub.download`.
    """
    arrival, left = Arrival(entry, address(entry), part, by_hand(entry, target)), ATTEMPTS
    while True:
        try:
            return receive(arrival, progress)
        except Faltered:
            left = ATTEMPTS if arrival.has_gone_on else left - 1     # one that went on where the last broke off is none of them
            if not left:
                raise
            time.sleep(PAUSE_S)


def receive(arrival: "Arrival", progress) -> None:
    """One attempt of `fetch`; Faltered where another is worth it."""
    import pooch

    url, outside = arrival.url, sys.exception()
    load = pooch.HTTPDownloader(progressbar=progress or False, chunk_size=CHUNK, timeout=TIMEOUT_S,
                                headers=arrival.headers(), hooks={"response": arrival.answered})
    try:
        with arrival:
            load(url, arrival, None)
            arrival.check()
    except NpvggError:
        raise
    except (OSError, ValueError) as error:                # requests' own errors, and a URL or header that is none
        arrival.check_time()
        kind = DownloadError if arrival.response is None else Faltered
        raise kind(f"{url} could not be fetched ({innermost(error, outside)}); check the network and try again, or "
                   f"{arrival.otherwise}") from None
    finally:
        if progress:
            progress.close()


def innermost(error: BaseException, outside: BaseException | None) -> str:
    """What lies under the layers of a network error, in a few words; `outside` is what was being handled before it."""
    while (inner := error.__cause__ or error.__context__) and inner is not outside:
        error = inner
    return text.said(getattr(error, "strerror", None) or error)


class Arrival:
    """The file that pooch writes to: counts and hashes what comes, and refuses what cannot be the checkpoint.

    A response of another size is refused at its first line, an endless one at the first byte too many, and a redirect
    before it is followed if it leads away from https.  Where the connection breaks off, the next response goes on from there
    (RFC 9110, Range and If-Range), if the server can and its file is the same; in the end the digest decides.
    """

    def __init__(self, entry, url: str, part: Path, otherwise: str):
        self.entry, self.url, self.part, self.otherwise = entry, url, part, otherwise
        self.algorithm, _, self.expected = (entry.digest or "SHA-256").partition(":")
        self.until = time.monotonic() + GRACE_S + entry.size_bytes / SLOWEST
        self.start_over()

    def start_over(self) -> None:
        """Nothing has come."""
        # MD5 is not there for security: nothing that comes is run.  Where OpenSSL is in FIPS mode there is none otherwise.
        self.digest = hashlib.new(self.algorithm.replace("-", ""), usedforsecurity=False)
        self.count, self.response, self.validator, self.has_gone_on, self.is_plain = 0, None, None, False, True

    def headers(self) -> dict[str, str]:
        """What the next request says: uncompressed, and from where the last response broke off."""
        headers = {"Accept-Encoding": "identity"}
        if self.count and self.is_plain and (self.validator or self.entry.digest):
            headers["Range"] = f"bytes={self.count}-"
            if self.validator:
                headers["If-Range"] = self.validator
        return headers

    def __enter__(self):
        self.response, self.has_gone_on, self.timer = None, False, None
        try:
            # Its owner's alone (0600) until it is checked.
            self.file = open(self.part, "ab" if self.count else "wb", opener=partial(os.open, mode=0o600))
        except OSError as error:
            raise StorageError(unwritable(self.part, error)) from None
        return self

    def __exit__(self, *_):
        if self.timer is not None:
            self.timer.cancel()
        # After a failed write, close fails again for what is left in the buffer: the first error is the one to tell.
        with suppress(OSError):
            self.file.close()
        if self.response is not None:
            self.response.close()

    def answered(self, response, **_) -> None:
        """Called by requests for every response, redirects included, before its body is read."""
        onward = urljoin(response.url, response.headers["location"]) if response.is_redirect else response.url
        if not is_trusted(onward, self.url):
            raise DownloadError(f"{self.url} leads to {text.shown(onward, 200)}, which is not https; {self.otherwise}")
        if response.is_redirect:
            return
        self.response, code = response, response.status_code
        status = f"{code} {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else str(code)
        if code >= 500 or code == HTTPStatus.TOO_MANY_REQUESTS:
            raise Faltered(f"the server answered {status} for {self.url}; try again later, or {self.otherwise}")
        if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or code == HTTPStatus.PARTIAL_CONTENT and self.count and \
                not response.headers.get("content-range", "").startswith(f"bytes {self.count}-"):
            self.start_over()
            raise Faltered(f"the server answered {status} for {self.url}; try again later, or {self.otherwise}")
        if code == HTTPStatus.OK and self.count:         # the whole, from its start
            self.start_over()
            self.stored(self.file.truncate, 0)
            self.response = response
        if code != HTTPStatus.OK and not (code == HTTPStatus.PARTIAL_CONTENT and self.count):
            raise DownloadError(f"the server answered {status} for {self.url}; {self.otherwise}")
        self.watch(response)
        # Compressed on the way, the length is another; what is unpacked is counted in any case.
        self.is_plain = "content-encoding" not in response.headers
        total = self.count + int(response.headers.get("content-length", self.entry.size_bytes - self.count))
        if self.is_plain and not self.entry.has_size(total):
            raise DownloadError(self.of_another_size(f"{total:,}"))
        etag = response.headers.get("etag", "")
        self.validator = etag if etag.startswith('"') else response.headers.get("last-modified")

    def write(self, data: bytes) -> None:
        """Called by pooch for every piece; StorageError where the disk fails, DownloadError for one byte too many."""
        self.check_time()
        self.has_gone_on = self.response.status_code == HTTPStatus.PARTIAL_CONTENT
        self.count += len(data)
        if self.count > self.entry.size_bytes + self.entry.size_slack:
            raise DownloadError(self.of_another_size(f"more than {self.entry.size_bytes:,}"))
        self.digest.update(data)
        self.stored(self.file.write, data)

    def check_time(self) -> None:
        """DownloadError where all should have come by now."""
        if time.monotonic() > self.until:
            raise DownloadError(f"{self.url} gave {self.count:,} of {self.entry.size_bytes:,} bytes in the time that "
                                f"{SLOWEST >> 10} KiB a second would take for all; try again later, or {self.otherwise}")

    def watch(self, response) -> None:
        """End the connection when all should have come: bytes that drip in never let a read time out."""
        def end():
            # There is no public way to the socket of a response that another thread is reading.
            with suppress(AttributeError, OSError):
                response.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)

        self.timer = threading.Timer(max(0.0, self.until - time.monotonic()), end)
        self.timer.daemon = True
        with suppress(RuntimeError):                     # no thread to be had: then `write` looks at the clock
            self.timer.start()

    def flush(self) -> None:
        """Called by pooch after every piece."""
        self.stored(self.file.flush)

    def check(self) -> None:
        """Everything has come: Faltered or HashMismatchError unless it is the checkpoint; then it is on the disk."""
        if not self.entry.has_size(self.count):
            raise Faltered(self.of_another_size(f"{self.count:,}"))
        digest = self.digest.hexdigest()
        if not digest.startswith(self.expected):
            beginning = "" if len(digest) == len(self.expected) else "one that begins with "
            raise HashMismatchError(f"{self.url} gave a file whose {self.algorithm} is {digest}, where {beginning}"
                                    f"{self.expected} is published; nothing was kept: try again, or {self.otherwise}")
        if not self.expected:
            warnings.warn(f"no digest of {self.url} is published, so only its size could be checked; its {self.algorithm} is "
                          f"{digest}", UncheckedWarning, stacklevel=2)
        self.flush()
        self.stored(os.fsync, self.file.fileno())

    def stored(self, operation: Callable, *arguments):
        """Do something to the file; StorageError where that fails."""
        # A full disk must not be taken for a fault of the network: to requests and pooch both are an OSError.
        try:
            return operation(*arguments)
        except OSError as error:
            raise StorageError(unwritable(self.part, error)) from None

    def of_another_size(self, count: str) -> str:
        """The sentence for a body of `count` bytes."""
        return (f"{self.url} gave {count} bytes where {self.entry.size_bytes:,} are published; check the network and "
                f"try again, or {self.otherwise}")
