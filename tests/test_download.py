"""The published bytes arrive or nothing is kept, whatever the network, the server and the disk do; the server is the test's."""
import errno
import gzip
import hashlib
import io
import re
import socket
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from witnesses.command import npvgg
from witnesses.model_server import CONTENT, DIGEST, FILE, WRONG, published, redirect, reset_after, send, visible

from npvgg import download, hub
from npvgg.errors import DownloadError, HashMismatchError, StorageError, UncheckedWarning, UsageError
from weights_convert import catalog


def stall(handler):
    send(CONTENT[:30_000], length=len(CONTENT))(handler)
    time.sleep(1)


def silence(handler):
    time.sleep(1)


SLOW = (stall, silence)


@pytest.mark.parametrize("answers", [
    [send()],
    [send(length=None)],
    [send(gzip.compress(CONTENT), Content_Encoding="gzip")],
    [redirect(f"/elsewhere/{FILE}"), send()],
    [send(b"busy", status=500), send()],
    [send(b"slow down", status=429), send()],
    [send(CONTENT[:1000], length=None), send()],
    [reset_after(20_000), send()],
], ids=["plain", "no length", "compressed on the way", "redirected", "500 then fine", "429 then fine",
        "short then whole", "reset then whole"])
def test_the_checkpoint_is_fetched_converted_and_then_forgotten(server, models, answers):
    server.answers[:] = answers
    path = hub.locate("vgg16")
    assert path == models / "vgg16.h5"
    assert path.read_bytes() == CONTENT
    assert visible(models) == ["vgg16.h5"]
    assert len(server.requests) == len(answers)
    assert hub.locate("D") == hub.download("VGG16") == path and len(server.requests) == len(answers)


def test_eight_known_digits_and_a_rounded_size_are_enough(server, models, monkeypatch):
    server.answers[:] = [send()]
    published(monkeypatch, digest=f"SHA-256:{DIGEST[:8]}", size_bytes=len(CONTENT) - 500, size_slack=500)
    assert hub.locate("vgg16").read_bytes() == CONTENT


class Bar:
    """Records what pooch's progress-bar protocol tells."""

    def __init__(self):
        self.total, self.shown, self.closed = 0, 0, False

    def update(self, size):
        self.shown, self.closed = self.shown + size, False

    def reset(self):
        self.shown = 0

    def close(self):
        self.closed = True


@pytest.mark.parametrize("answers, shown", [
    ([send()], len(CONTENT)), ([send(length=None)], 0), ([send(b"", status=404)], 0),
], ids=["with length", "without length", "failure"])
def test_progress_ends_at_the_total_and_is_closed(server, models, answers, shown):
    server.answers[:], bar = answers, Bar()
    with suppress(DownloadError):
        hub.download("vgg16", progress=bar)
    assert bar.closed and bar.shown == bar.total == shown


FAILURES = {
    "wrong bytes": (HashMismatchError, send(WRONG), 1,
                    f"gave a file whose SHA-256 is {hashlib.sha256(WRONG).hexdigest()}, where {DIGEST} is published"),
    "compressed wrong bytes": (HashMismatchError, send(gzip.compress(WRONG), Content_Encoding="gzip"), 1, "SHA-256"),
    "compressed nonsense": (DownloadError, send(CONTENT, Content_Encoding="gzip"), 2, "could not be fetched"),
    "compressed and endless": (DownloadError, send(gzip.compress(bytes(10**7)), Content_Encoding="gzip"), 1,
                               "gave more than 60,001 bytes"),
    "short": (DownloadError, send(CONTENT[:1000]), 1, "gave 1,000 bytes where 60,001 are published"),
    "short without length": (DownloadError, send(CONTENT[:1000], length=None), 2, "gave 1,000 bytes where 60,001"),
    "ends early": (DownloadError, send(CONTENT[:1000], length=len(CONTENT)), 2, "could not be fetched"),
    "empty": (DownloadError, send(b""), 1, "gave 0 bytes where 60,001 are published"),
    "long": (DownloadError, send(CONTENT + b"!"), 1, "gave 60,002 bytes where 60,001 are published"),
    "long without length": (DownloadError, send(CONTENT + b"!", length=None), 1, "gave more than 60,001 bytes"),
    "not a length": (DownloadError, send(length="many"), 2, "could not be fetched"),
    "an HTML page": (DownloadError, send(b"<html>log in first</html>"), 1, "gave 25 bytes where 60,001 are published"),
    "404": (DownloadError, send(b"no", status=404), 1, "the server answered 404 Not Found"),
    "403": (DownloadError, send(b"no", status=403), 1, "the server answered 403 Forbidden"),
    "206": (DownloadError, send(status=206), 1, "the server answered 206 Partial Content"),
    "299": (DownloadError, send(status=299), 1, "the server answered 299 for"),
    "500": (DownloadError, send(b"", status=500), 2, "the server answered 500 Internal Server Error"),
    "to http": (DownloadError, redirect(f"http://models.example/{FILE}"), 1,
                f"leads to http://models.example/{FILE}, which is not https"),
    "to a file": (DownloadError, redirect("file:///etc/passwd"), 1, "which is not https"),
    "to an escape": (DownloadError, redirect("http://models.example/\x1b[2J"), 1,
                     r"leads to http://models.example/\x1b[2J, which is not https"),
    "to nowhere": (DownloadError, redirect("http://["), 1, "could not be fetched"),
    "redirect loop": (DownloadError, redirect(f"/{FILE}"), 31, "could not be fetched (Exceeded 30 redirects)"),
    "reset at once": (DownloadError, reset_after(0), None, "could not be fetched"),
    "reset inside": (DownloadError, reset_after(30_000), 2, "could not be fetched (Connection reset by peer)"),
    "reset before the last byte": (DownloadError, reset_after(len(CONTENT) - 1), 2, "could not be fetched"),
    "stall": (DownloadError, stall, 2, "could not be fetched (timed out)"),
    "silence": (DownloadError, silence, 1, "could not be fetched (timed out)"),
}


def check_sentence(error, *parts):
    """One sentence for people, with the URL and the way around."""
    text = str(error)
    assert text.isprintable() and not re.search(r"object at 0x|HTTPConnectionPool|Traceback", text)
    for part in (*parts, catalog.CHECKPOINTS["vgg16"].url, f"`python -m weights_convert {FILE} "):
        assert part in text


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_sentence_and_leaves_the_cache_as_it_was(server, models, monkeypatch, name):
    kind, answer, requests, text = FAILURES[name]
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2 if answer in SLOW else 20)
    server.answers[:] = [answer]
    for before in [], ["vgg16.h5"]:
        server.requests.clear()
        if before:
            (models / "vgg16.h5").write_bytes(b"from before")
        with pytest.raises(kind) as caught:
            hub.download("vgg16", force=bool(before))
        check_sentence(caught.value, text)
        assert caught.value.exit_code == {DownloadError: 6, HashMismatchError: 5}[kind]
        assert len(server.requests) == requests or requests is None
        assert visible(models) == before
    assert (models / "vgg16.h5").read_bytes() == b"from before"


def test_after_a_failure_the_next_call_starts_afresh(server, models):
    server.answers[:] = [reset_after(1000), reset_after(2000), send()]
    with pytest.raises(DownloadError):
        hub.locate("vgg16")
    assert hub.locate("vgg16").read_bytes() == CONTENT


def rest(start, count=None, etag='"one"'):
    """The file from `start` on, of which `count` bytes come before the connection ends."""
    def answer(handler):
        assert handler.headers["Range"] == f"bytes={start}-" and handler.headers["If-Range"] == '"one"'
        body = CONTENT[start:]
        send(body[:count], status=206, length=len(body), Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}",
             ETag=etag)(handler)
    return answer


def cut(count):
    return send(CONTENT[:count], length=len(CONTENT), ETag='"one"')


def test_a_download_that_breaks_off_goes_on_where_it_was(server, models, monkeypatch):
    size = download.CHUNK
    server.answers[:] = [cut(3 * size), rest(3 * size, size), rest(4 * size, size), rest(5 * size, 2 * size), rest(7 * size)]
    assert hub.locate("vgg16").read_bytes() == CONTENT and len(server.requests) == 5
    assert visible(models) == ["vgg16.h5"]


@pytest.mark.parametrize("second", [
    [send()], [send(b"", status=416), send()],
    [send(CONTENT, status=206, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"), send()],
], ids=["the whole", "416", "another range"])
def test_where_it_cannot_go_on_it_begins_again(server, models, monkeypatch, second):
    monkeypatch.setattr(download, "ATTEMPTS", 3)
    server.answers[:] = [cut(3 * download.CHUNK), *second]
    assert hub.locate("vgg16").read_bytes() == CONTENT


def test_a_rest_of_another_file_is_noticed(server, models):
    start = 3 * download.CHUNK
    server.answers[:] = [cut(start), send(WRONG[start:], status=206, Content_Range=f"bytes {start}-60000/60001")]
    with pytest.raises(HashMismatchError):
        hub.locate("vgg16")
    assert visible(models) == []


def drip(handler):
    send(b"", length=len(CONTENT))(handler)
    for byte in CONTENT[:100]:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize("answer, grace", [(send(), -10), (drip, -1.4)], ids=["too late", "a byte at a time"])
def test_a_drip_has_an_end(server, models, monkeypatch, answer, grace):
    server.answers[:] = [answer]
    monkeypatch.setattr(download, "GRACE_S", grace)                  # of 1.8 s for all at 32 KiB a second
    start = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        hub.locate("vgg16")
    check_sentence(caught.value, "gave 0 of 60,001 bytes in the time that 32 KiB a second would take")
    assert time.monotonic() - start < 3


def test_no_server_is_a_sentence(models, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NPVGG_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(DownloadError) as caught:
            hub.locate("vgg16")
    check_sentence(caught.value, "could not be fetched (Connection refused); check the network")
    assert visible(models) == []


def test_no_name_service_is_a_sentence_whatever_the_caller_was_doing(models, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.delenv("NPVGG_MIRROR")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    try:
        raise KeyError("the caller's own trouble")
    except KeyError:
        with pytest.raises(DownloadError) as caught:
            hub.locate("vgg16")
    check_sentence(caught.value, f"{catalog.CHECKPOINTS['vgg16'].url} could not be fetched (Name or service not known)")


@pytest.mark.parametrize("algorithm", ["SHA-256", "SHA-1", "MD5"])
def test_the_published_digest_is_compared_whatever_its_algorithm(server, models, monkeypatch, algorithm):
    right = hashlib.new(algorithm.replace("-", ""), CONTENT).hexdigest()
    published(monkeypatch, digest=f"{algorithm}:{right}")
    server.answers[:] = [send(WRONG), send()]
    with pytest.raises(HashMismatchError, match=f"a file whose {algorithm} is [0-9a-f]+, where {right} is published"):
        hub.locate("vgg16")
    assert visible(models) == [] and hub.locate("vgg16").read_bytes() == CONTENT


def test_without_a_published_digest_one_is_told_so(server, models, monkeypatch):
    entry = published(monkeypatch, digest=None)
    server.answers[:] = [send()]
    with pytest.warns(UncheckedWarning) as caught:
        assert hub.locate("vgg16").read_bytes() == CONTENT
    assert [str(warning.message) for warning in caught] == [
        f"no digest of {server.url}/{entry.file} is published, so only its size could be checked; its SHA-256 is {DIGEST}"]
    run = npvgg("download", "vgg16", "--force")
    assert run.status == 0 and run.err.endswith(f"npvgg: {caught[0].message}\n")


@pytest.mark.parametrize("mirror", ["http://mirror.example/models", "ftp://127.0.0.1", "file:///srv", "mirror.example",
                                    "http://[", "http://127.0.0.1.example", "http://0x7f000001"])
def test_a_mirror_must_be_https(models, monkeypatch, mirror):
    monkeypatch.setenv("NPVGG_MIRROR", mirror)
    with pytest.raises(UsageError) as caught:
        hub.locate("vgg16")
    assert str(caught.value) == (f"NPVGG_MIRROR is {mirror!r}; give an address that begins with https:// (http:// is "
                                 "for servers on this computer only)")


@pytest.mark.parametrize("url, origin, trusted", [
    ("https://a.example/x", "https://b.example/x", True),
    ("https://a.example/x", "http://127.0.0.1/x", True),
    ("http://localhost:1/x", "http://127.0.0.1:2/x", True),
    ("http://[::1]:1/x", "http://127.0.0.1:2/x", True),
    ("http://127.0.0.1:1/x", "https://a.example/x", False),
    ("http://a.example/x", "https://a.example/x", False),
    ("http://a.example@127.0.0.1.b.example/", "http://127.0.0.1/x", False),
])
def test_trust_is_https_or_stays_on_this_computer(url, origin, trusted):
    assert download.is_trusted(url, origin) == trusted


def test_too_little_space_is_told_before_the_download(server, models, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=500 << 20))
    with pytest.raises(StorageError) as caught:
        hub.locate("vgg16")
    # 60,001 bytes + 4 · 138,357,544 parameters + 64 MiB
    assert str(caught.value) == (f"{models} has 500 MiB free and vgg16 needs 591 MiB while it is converted; free some "
                                 "space, or set NPVGG_CACHE to a folder on another disk")
    assert caught.value.exit_code == 7 and not server.requests


class FullDisk(io.FileIO):
    """A file that the disk has no room for behind `room` bytes."""

    room = 0

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 5000, 59_000])
def test_a_disk_that_fills_up_is_a_sentence(server, models, monkeypatch, room):
    server.answers[:] = [send()]
    monkeypatch.setattr(FullDisk, "room", room)
    monkeypatch.setattr(download, "open", lambda path, mode, **_: (FullDisk if ".part" in path.name else open)(path, mode),
                        raising=False)
    with pytest.raises(StorageError) as caught:
        hub.locate("vgg16")
    assert re.fullmatch(rf"{re.escape(str(models))}/\.vgg16\..*\.part cannot be written \(No space left on device\); "
                        r"free some space, or set NPVGG_CACHE to a folder that you may write to", str(caught.value))
    assert visible(models) == [] and len(server.requests) == 1


def test_a_full_disk_at_the_last_moment_is_a_sentence(server, models, monkeypatch):
    def fsync(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    server.answers[:] = [send()]
    monkeypatch.setattr(download.os, "fsync", fsync)
    with pytest.raises(StorageError, match="Disk quota exceeded"):
        hub.locate("vgg16")
    assert visible(models) == []
