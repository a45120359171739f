"""`read`: a path in, one Checkpoint or one sentence out."""
import dataclasses
import hashlib
import io
import os
import socket
import stat

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.audit import watching
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import call

from npvgg.errors import BadFileError, StorageError, UnsupportedError, UsageError
from weights_convert import formats
from weights_convert.formats import pytorch

ARRAYS = {"features.0.weight": np.arange(24, dtype="f4").reshape(4, 3, 2), "features.0.bias": np.ones(4, "f4")}


def honest(container):
    return builder.write(container, *builder.state_dict(ARRAYS))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["vgg.pth", "vgg.pt", "vgg.png", "vgg", "größe 3.pth"])
def test_reads_a_path_whatever_its_extension(container, name, tmp_path):
    path = tmp_path / name
    data = honest(container)
    path.write_bytes(data)
    for given in (path, str(path)):
        with watching(path) as seen:
            found = formats.read(given)
        assert not seen
        assert list(found.tensors) == list(ARRAYS)
        assert all(np.array_equal(found.tensors[key], x) for key, x in ARRAYS.items())
        assert found.sha256 == hashlib.sha256(data).hexdigest() and found.nested_under is None and found.metadata == {}
    assert path.read_bytes() == data


def test_checkpoint_is_frozen():
    data = honest("zip")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pytorch.read(io.BytesIO(data), len(data)).sha256 = ""


def message_of(path, error, **options):
    with pytest.raises(error) as caught:
        formats.read(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    assert caught.value.__suppress_context__, "no traceback of another library may show"
    return text


@pytest.mark.parametrize("container", CONTAINERS)
def test_message_names_the_file_and_the_reference(container, tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "evil.pth"
    path.write_bytes(builder.write(container, {"w": call("os", "system", f"touch {canary}")}, {}))
    with watching(path) as seen:
        text = message_of(path, BadFileError)
    assert "file refers to os.system; this is not a normal checkpoint" in text and not seen and not canary.exists()


def test_error_keeps_its_class(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(b"PYTORCH1")
    assert "TorchScript" in message_of(path, UnsupportedError)
    path.write_bytes(builder.write("zip", {"net": {"w": tensor("0", (1,))}, "model": {"w": tensor("0", (1,))}},
                                   {"0": np.zeros(1, "f4")}))
    assert "'net', 'model'" in message_of(path, UsageError)
    assert "under 'nothing'" in message_of(path, UsageError, key="nothing")


def test_missing_file(tmp_path):
    assert "cannot be read: No such file" in message_of(tmp_path / "no.pth", StorageError)
    assert "cannot be read: " in message_of(tmp_path / ("x" * 300), StorageError)


def test_folder(tmp_path):
    assert "is a folder" in message_of(tmp_path, BadFileError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipe_is_refused_without_waiting(tmp_path):
    path = tmp_path / "pipe.pth"
    os.mkfifo(path)
    assert "pipe" in message_of(path, BadFileError)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device(device):
    assert "device" in message_of(device, BadFileError)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.pth")
        message_of("socket.pth", StorageError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path):
    path = tmp_path / "secret.pth"
    path.write_bytes(honest("zip"))
    path.chmod(stat.S_IWUSR)
    assert "Permission denied" in message_of(path, StorageError)


def test_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(honest("zip"))
    (tmp_path / "link.pth").symlink_to("real")
    assert list(formats.read(tmp_path / "link.pth").tensors) == list(ARRAYS)


def test_enormous_file(tmp_path):
    path = tmp_path / "sparse.pth"
    path.write_bytes(honest("legacy"))
    os.truncate(path, 1 << 40)
    assert "1,099,511,627,776 bytes" in message_of(path, BadFileError)


@pytest.mark.parametrize("container", CONTAINERS)
def test_gigabytes_of_nothing_after_the_tensors(container, tmp_path):
    path = tmp_path / "sparse.pth"
    path.write_bytes(honest(container))
    os.truncate(path, 8 << 30)
    message_of(path, BadFileError)


def test_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "growing.pth"
    path.write_bytes(honest("zip"))
    honest_choice = pytorch.state_dict.choose

    def choose(*args):
        with open(path, "ab") as file:
            file.write(b"more")
        return honest_choice(*args)

    monkeypatch.setattr(pytorch.state_dict, "choose", choose)
    assert "changed while it was read" in message_of(path, BadFileError)


@pytest.mark.parametrize("container", CONTAINERS)
def test_file_that_shrinks_while_it_is_read(container, tmp_path, monkeypatch):
    path = tmp_path / "shrinking.pth"
    path.write_bytes(honest(container) if container == "zip" else
                     builder.write("legacy", *builder.state_dict({"w": np.zeros(10_000, "f4")})))
    honest_choice = pytorch.state_dict.choose

    def choose(*args):
        os.truncate(path, 300)
        return honest_choice(*args)

    monkeypatch.setattr(pytorch.state_dict, "choose", choose)
    assert "while it was read" in message_of(path, BadFileError)


def test_too_little_memory(tmp_path, monkeypatch):
    def read(*args):
        raise MemoryError

    monkeypatch.setattr(pytorch.arrays, "read", read)
    (tmp_path / "x.pth").write_bytes(honest("zip"))
    assert "not enough memory" in message_of(tmp_path / "x.pth", StorageError)


def test_disk_that_fails(tmp_path, monkeypatch):
    def read(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pytorch.arrays, "read", read)
    (tmp_path / "x.pth").write_bytes(honest("zip"))
    assert "cannot be read: Input/output error" in message_of(tmp_path / "x.pth", StorageError)
