"""A server on this computer that publishes one network, and a cache of its own for whoever fetches it."""
import hashlib
import os
import random
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from npvgg import download, hub
from weights_convert import catalog

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
    monkeypatch.setattr(download, "PAUSE_S", 0)
    monkeypatch.setattr(download, "CHUNK", 1 << 12)
    monkeypatch.setattr(hub, "write_weights", copied)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**40))
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
