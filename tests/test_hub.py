"""Names become files whatever the network, the server, the disk and other processes do; the server is the test's."""
import errno
import gzip
import hashlib
import io
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from witnesses import caffemodel_builder
from witnesses.command import npvgg

from npvgg import classify, hub
from npvgg.errors import (
    BadFileError,
    DownloadError,
    HashMismatchError,
    StorageError,
    UncheckedWarning,
    UnsupportedError,
    UsageError,
)
from weights_convert import catalog

ROOT = Path(__file__).parents[1]
CONTENT = random.Random(16).randbytes(60_001)
WRONG = CONTENT[::-1]
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = "vgg16-397923af.pth"


@pytest.fixture
def server():
    """A server on this computer: `answers` are called one after another, the last one again and again."""
    answers, requests = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            with suppress(ConnectionError):
                answers[min(len(requests), len(answers)) - 1](self)

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{listening.server_port}", answers=answers, requests=requests)
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def models(server, tmp_path, monkeypatch):
    """The folder of the cache, with one published network, a server for it, no pauses and a conversion that copies."""
    entry = replace(catalog.CHECKPOINTS["vgg16"], size_bytes=len(CONTENT), digest=f"SHA-256:{DIGEST}")
    monkeypatch.setattr(catalog, "CHECKPOINTS", {"vgg16": entry})
    monkeypatch.setenv("NPVGG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPVGG_MIRROR", server.url)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.delenv("NPVGG_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "PAUSE_S", 0)
    monkeypatch.setattr(hub, "CHUNK", 1 << 12)
    monkeypatch.setattr(hub, "write_weights", copied)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**40))
    return tmp_path / "cache" / "models"


def copied(entry, checkpoint, target):
    assert os.name != "posix" or checkpoint.stat().st_mode & 0o777 == 0o600
    target.write_bytes(checkpoint.read_bytes())


def published(monkeypatch, **changes):
    """The one catalog entry, changed."""
    entry = replace(catalog.CHECKPOINTS["vgg16"], **changes)
    monkeypatch.setattr(catalog, "CHECKPOINTS", {"vgg16": entry})
    return entry


def visible(folder):
    """The names in the cache without the lock, which stays."""
    return sorted(path.name for path in folder.glob("*") if path.name != ".vgg16.lock") if folder.is_dir() else []


# --------------------------------------------------------------------------------------------- answers of the server


def send(body=CONTENT, *, status=200, length=True, **headers):
    """An answer: status line, headers, body.  `length`: True for the body's own, None for none, or what it claims."""
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length is True else length))
        handler.end_headers()
        handler.wfile.write(body)
    return answer


def redirect(location):
    return send(b"", status=302, Location=location)


def reset_after(count):
    """The first `count` bytes of the body, then a TCP reset in place of an end."""
    def answer(handler):
        send(CONTENT[:count], length=len(CONTENT))(handler)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.rfile.close()
        handler.wfile.close()
        handler.connection.close()
    return answer


def stall(handler):
    send(CONTENT[:30_000], length=len(CONTENT))(handler)
    time.sleep(1)


def silence(handler):
    time.sleep(1)


SLOW = (stall, silence)


# ------------------------------------------------------------------------------------------------- success


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


def test_force_fetches_again_and_keep_leaves_the_checkpoint(server, models):
    server.answers[:] = [send()]
    path = hub.download("vgg16")
    path.write_bytes(b"damaged")
    assert hub.download("vgg16").read_bytes() == b"damaged"
    assert hub.download("vgg16", force=True, keep=True).read_bytes() == CONTENT
    assert (models / FILE).read_bytes() == CONTENT
    assert visible(models) == [FILE, "vgg16.h5"] and len(server.requests) == 2


def test_eight_known_digits_and_a_rounded_size_are_enough(server, models, monkeypatch):
    server.answers[:] = [send()]
    published(monkeypatch, digest=f"SHA-256:{DIGEST[:8]}", size_bytes=len(CONTENT) - 500, size_slack=500)
    assert hub.locate("vgg16").read_bytes() == CONTENT


def test_the_bundled_network_needs_no_network(models):
    assert hub.DEFAULT in hub.BUNDLED and set(hub.BUNDLED) == set(hub.BUNDLED_FACTS)
    try:
        assert hub.locate() == hub.download(hub.DEFAULT) == hub.DATA / hub.BUNDLED[hub.DEFAULT]
    except StorageError as error:
        assert str(error) == (f"{hub.DATA / hub.BUNDLED[hub.DEFAULT]}, the bundled network, is missing from this "
                              "installation; install npvgg again")
        assert not (hub.DATA / hub.BUNDLED[hub.DEFAULT]).exists()


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


def test_the_conversion_is_told_what_the_catalog_knows(server, models, monkeypatch):
    convert = pytest.importorskip("weights_convert.convert")
    told = []
    monkeypatch.undo()                              # the true write_weights
    monkeypatch.setattr(convert, "convert", lambda *arguments, **options: told.append((arguments, options)))
    entry = catalog.CHECKPOINTS["vgg16_features"]
    hub.write_weights(entry, Path("a.part"), Path("b.h5"))
    assert told == [((Path("a.part"), Path("b.h5")), {
        "model": "vgg16", "preset": "torchvision-features", "source_name": entry.url, "force": True,
        "notes": "the download was compared with the published SHA-256 (8/64)"})]


# ------------------------------------------------------------------------------------------------- failure


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
    "to nowhere": (DownloadError, redirect("http://["), 1, "could not be fetched"),
    "redirect loop": (DownloadError, redirect(f"/{FILE}"), 31, "could not be fetched (Exceeded 30 redirects.)"),
    "reset at once": (DownloadError, reset_after(0), None, "could not be fetched"),
    "reset inside": (DownloadError, reset_after(30_000), 2, "could not be fetched (Connection reset by peer)"),
    "reset before the last byte": (DownloadError, reset_after(len(CONTENT) - 1), 2, "could not be fetched"),
    "stall": (DownloadError, stall, 2, "could not be fetched (timed out)"),
    "silence": (DownloadError, silence, 1, "could not be fetched (timed out)"),
}


def check_sentence(error, *parts):
    """One sentence for people, with the URL and the way around."""
    text = str(error)
    assert "\n" not in text and not re.search(r"object at 0x|HTTPConnectionPool|Traceback", text)
    for part in (*parts, catalog.CHECKPOINTS["vgg16"].url, f"`python -m weights_convert {FILE} "):
        assert part in text


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_sentence_and_leaves_the_cache_as_it_was(server, models, name):
    kind, answer, requests, text = FAILURES[name]
    server.answers[:] = [answer]
    for before in [], ["vgg16.h5"]:
        server.requests.clear()
        if before:
            (models / "vgg16.h5").write_bytes(b"from before")
        with pytest.raises(kind) as caught:
            hub.download("vgg16", timeout=0.2 if answer in SLOW else 20, force=bool(before))
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
    assert run.status == 0 and run.err == f"npvgg: {caught[0].message}\n"


@pytest.mark.parametrize("switch", ["argument", "environment"])
def test_offline_fetches_nothing_and_uses_what_is_here(server, models, monkeypatch, switch):
    if switch == "environment":
        monkeypatch.setenv("NPVGG_OFFLINE", "1")
    with pytest.raises(DownloadError) as caught:
        hub.locate("vgg16", offline=switch == "argument")
    assert str(caught.value) == (
        "vgg16 would have to be fetched, which offline=True or NPVGG_OFFLINE forbids; go online, or fetch "
        f"https://download.pytorch.org/models/{FILE} in another way and run "
        f"`python -m weights_convert {FILE} {models / 'vgg16.h5'}`")
    assert models.is_dir()                          # or that command would have nowhere to write
    (models / "vgg16.h5").write_bytes(b"made by hand")
    assert hub.locate("vgg16", offline=switch == "argument") == models / "vgg16.h5"
    assert not server.requests


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_offline_can_be_switched_off(server, models, monkeypatch, value):
    server.answers[:] = [send()]
    monkeypatch.setenv("NPVGG_OFFLINE", value)
    assert hub.locate("vgg16").is_file()


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
    assert hub.is_trusted(url, origin) == trusted


def test_names_without_weights_say_what_to_do(models):
    with pytest.raises(UnsupportedError, match=r"npvgg\.create\('c'\), or .*`python -m weights_convert FILE OUT\.h5"):
        hub.locate("C")
    with pytest.raises(UsageError) as caught:
        hub.locate("resnet50")
    assert str(caught.value) == (
        "there is no model called 'resnet50'; there are vgg13_bn-cifar10, vgg16 and the letters A, B, D and E of the "
        "paper, those that `npvgg models --all` lists, and weights files, given as a path such as ./model.h5")
    with pytest.raises(UsageError, match="^there is no publisher called 'paddle'; npvgg knows torchvision, timm"):
        hub.locate("vgg16@paddle")


# ------------------------------------------------------------------------------------------------- disk


def test_too_little_space_is_told_before_the_download(server, models, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda folder: SimpleNamespace(free=500 << 20))
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
    monkeypatch.setattr(hub, "open", lambda path, mode, **_: (FullDisk if ".part" in path.name else open)(path, mode),
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
    monkeypatch.setattr(hub.os, "fsync", fsync)
    with pytest.raises(StorageError, match="Disk quota exceeded"):
        hub.locate("vgg16")
    assert visible(models) == []


@pytest.mark.parametrize("broken", ["cache", "models", ".vgg16.lock"])
def test_a_cache_that_cannot_be_written_is_a_sentence(server, models, broken):
    path = {"cache": models.parent, "models": models, ".vgg16.lock": models / ".vgg16.lock"}[broken]
    path.parent.mkdir(parents=True, exist_ok=True)
    if broken == ".vgg16.lock":
        path.mkdir()
    else:
        path.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot be written .* set NPVGG_CACHE to a folder that you may write to"):
        hub.locate("vgg16")
    assert not server.requests


@pytest.mark.parametrize("error", [StorageError("no room"), KeyboardInterrupt()], ids=["an error", "Ctrl-C"])
def test_an_interrupted_conversion_leaves_no_download_behind(server, models, monkeypatch, error):
    def interrupted(*_):
        raise error

    server.answers[:] = [send()]
    monkeypatch.setattr(hub, "write_weights", interrupted)
    with pytest.raises(type(error)):
        hub.locate("vgg16")
    assert visible(models) == []


def test_what_killed_processes_left_goes_after_a_day(server, models):
    server.answers[:] = [send()]
    models.mkdir(parents=True)
    old, young, others = ".vgg16.1.aa.part", ".vgg16.2.bb.part", ".vgg16_bn.1.cc.part"
    for name in (old, young, others, ".npvgg-dd.tmp"):
        (models / name).write_bytes(b"x")
    for name in (old, others, ".npvgg-dd.tmp"):
        os.utime(models / name, (0, time.time() - 25 * 3600))
    hub.locate("vgg16")
    assert visible(models) == [young, others, "vgg16.h5"]


# ------------------------------------------------------------------------------------------------- other processes


def forked(models, server, *arguments):
    """The lines of tests/witnesses/forked_downloads.py, as objects."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    server.answers[:] = [send(CHECKPOINT.encode())]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CHECKPOINT": CHECKPOINT, "NPVGG_CACHE": str(models.parent)}
    run = subprocess.run([sys.executable, ROOT / "tests/witnesses/forked_downloads.py", *arguments], env=environment,
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


CHECKPOINT = "0123456789" * 1000


def test_of_four_processes_one_downloads(server, models):
    rounds = forked(models, server, "together", "10")
    assert [line["statuses"] for line in rounds] == [[0] * 4] * 10
    assert len(server.requests) == 10
    assert visible(models) == ["vgg16.h5"]


def test_killed_at_any_step_the_cache_holds_nothing_or_the_whole(server, models):
    """kill −9 at each open, rename, lock, connection and chunk; and the next process finishes the job."""
    lines = forked(models, server, "killed")
    assert len(lines) > 20 and [line["status"] for line in lines] == [-9] * (len(lines) - 1) + [0]
    for line in lines:
        assert line["content"] in ("", "01234") and (line["content"] == "01234") == ("vgg16.h5" in line["left"])
        assert line["again"] == 0 and line["then"] == "01234"
    assert {line["content"] for line in lines[:-1]} == {"", "01234"}      # some died before the result, some after it
    assert any(name.endswith(".part") for line in lines for name in line["left"])


def test_without_locks_the_work_is_done_all_the_same(server, models, monkeypatch):
    def unsupported(lock):
        raise OSError(errno.ENOLCK, "No locks available")

    server.answers[:] = [send()]
    monkeypatch.setattr(hub, "wait_for", unsupported)
    assert hub.locate("vgg16").read_bytes() == CONTENT


def test_windows_waits_until_the_lock_is_free(models, monkeypatch, tmp_path):
    tried = []

    def locking(descriptor, mode, count):
        tried.append((mode, count))
        if len(tried) < 3:
            raise OSError(errno.EDEADLK, "Resource deadlock avoided")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_LOCK=1))
    with open(tmp_path / "lock", "ab") as lock:
        hub.wait_for(lock)
    assert tried == [(1, 1)] * 3


# ------------------------------------------------------------------------------------------------- the list


FACTS = (1000, 71.592, 90.382, "ImageNet-1K", "torchvision", "SHA-256", "torchvision",
         "torchvision 0.28, models/vgg.py, _metrics", f"https://download.pytorch.org/models/{FILE}", None)


def test_the_list_says_where_each_model_is(server, models):
    server.answers[:] = [send()]
    hub.locate("vgg16")
    listed = {model.name: model for model in hub.list_models()}
    assert list(listed) == [*hub.BUNDLED, "vgg16"]
    assert listed["vgg16"] == hub.ModelEntry("vgg16", "cached", models / "vgg16.h5", len(CONTENT), *FACTS)
    bundled = listed[hub.DEFAULT]
    assert (bundled.state, bundled.num_classes, bundled.dataset) == ("bundled", 10, "CIFAR-10")
    (models / "vgg16.h5").unlink()
    assert hub.list_models()[-1] == hub.ModelEntry("vgg16", "downloadable", None, len(CONTENT), *FACTS)


def test_the_list_needs_neither_cache_nor_network(monkeypatch, tmp_path):
    monkeypatch.setenv("NPVGG_CACHE", str(tmp_path / "absent"))
    models = hub.list_models()
    assert [model.name for model in models[:1]] == [hub.DEFAULT]
    assert {model.state for model in models[1:]} == {"downloadable"} and len(models) == 1 + len(catalog.CHECKPOINTS)
    assert not (tmp_path / "absent").exists()


# ------------------------------------------------------------------------------------------------- all of it


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_from_a_server_to_logits(server, models, monkeypatch, tmp_path, zipped):
    torch = pytest.importorskip("torch")
    import numpy as np

    from npvgg import network
    from weights_convert.schemes.torchvision import TORCHVISION

    vgg = network.create("vgg11_bn", seed=3, how="he", width=1 / 32, hidden=(6, 5), pooled_size=1, input_size=32)
    state = {key: torch.tensor(vgg.parameters[path]) for key, path in TORCHVISION.paths(vgg.architecture).items()}
    torch.save(state, tmp_path / "made.pth", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "made.pth").read_bytes()
    published(monkeypatch, architecture="vgg11_bn", size_bytes=len(content),
              digest=f"SHA-256:{hashlib.sha256(content).hexdigest()}")
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send(content)]

    loaded = network.load_file(hub.locate("vgg16"), tier="reference")
    assert visible(models) == ["vgg16.h5"]
    assert loaded.class_names[0] == "tench" and loaded.preset.name == "torchvision" and loaded.preset.crop == 224
    x = np.random.default_rng(0).standard_normal((1, 3, 33, 47), np.float32)
    np.testing.assert_array_equal(loaded.forward(x), vgg.using(tier="reference").forward(x))


TRUE_WRITE_WEIGHTS, ALL = hub.write_weights, catalog.CHECKPOINTS

SMALL = {"width": 1 / 32, "hidden": (6, 5), "num_classes": 3, "pooled_size": 1, "input_size": 32}


def as_published(name, vgg, path):
    """A VGG → the bytes of a file as the publisher of `name` writes it."""
    import h5py

    from weights_convert import export, schemes

    publisher = name.partition("@")[2]
    if publisher == "timm":
        pytest.importorskip("safetensors")
    if publisher in ("timm", "mmpretrain"):
        return export.write(vgg, path.with_suffix(".safetensors" if publisher == "timm" else ".pth"), publisher).read_bytes()
    if publisher == "caffe":
        return caffemodel_builder.model(vgg, 1)
    if publisher == "onnx":
        pytest.importorskip("onnx")
        from witnesses import onnx_graphs

        return (onnx_graphs.caffe2 if "caffe2" in name else onnx_graphs.mxnet)(vgg).SerializeToString()
    with h5py.File(path, "w") as file:
        for key, array in export.tensors(vgg, schemes.find("keras")).items():
            layer, field = key.split("/")
            file[f"{layer}/{layer}_{'W' if field == 'kernel' else 'b'}_1:0"] = array
    return path.read_bytes()


def offered(name, content, monkeypatch):
    """The catalog entry `name`, with the size and, by the same algorithm, the digest of `content`."""
    old = ALL[name]
    algorithm = old.digest.partition(":")[0]
    digest = hashlib.new(algorithm.replace("-", ""), content).hexdigest()
    entry = replace(old, size_bytes=len(content), size_slack=0, digest=f"{algorithm}:{digest}")
    monkeypatch.setattr(catalog, "CHECKPOINTS", ALL | {name: entry})
    return entry


@pytest.mark.parametrize("name", ["vgg16@timm", "vgg13_bn@timm", "vgg11@mmpretrain", "vgg19_bn@mmpretrain", "vgg16@keras",
                                  "vgg19_features@keras", "vgg19@caffe", "vgg16_bn-7@onnx", "vgg19-caffe2-9@onnx"])
def test_what_others_publish_is_fetched_by_name_and_converted(server, models, monkeypatch, tmp_path, name):
    import numpy as np

    from npvgg import network

    sizes = {"width": 1 / 32, "num_classes": None} if "features" in name else SMALL
    vgg = network.create(ALL[name].architecture, seed=3, how="he", **sizes)
    content = as_published(name, vgg, tmp_path / "made.h5")
    entry = offered(name, content, monkeypatch)
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send(content)]

    path = hub.locate(name.upper())
    found = network.load_file(path, tier="reference")
    assert path == models / f"{name}.h5" and server.requests == [f"/{entry.file}"]
    assert found.architecture == vgg.architecture and found.preset.name == entry.preset
    assert found.source_output == ("probabilities" if entry.preset == "caffe" else "logits")
    assert all(np.array_equal(found.parameters[key], array) for key, array in vgg.parameters.items())
    assert classify.load(name, tier="reference", offline=True).architecture == vgg.architecture
    (listed,) = [model for model in hub.list_models() if model.name == name]
    assert (listed.state, listed.path, listed.checked_by) == ("cached", path, entry.checked_by)


def test_a_file_that_is_none_leaves_nothing(server, models, monkeypatch):
    offered("vgg16-7@onnx", CONTENT, monkeypatch)
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send()]
    with pytest.raises(BadFileError):
        hub.locate("vgg16-7@onnx")
    assert server.requests == ["/vgg16-7.onnx"] and [path.name for path in models.iterdir()] == [".vgg16-7@onnx.lock"]
