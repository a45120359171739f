"""What every test may use: a cache of its own, a tiny network, a few pictures made here."""
import os

import numpy as np
import pytest
from PIL import Image
from witnesses.model_server import models, server  # noqa: F401

from npvgg.storage.cache_folder import cache_folder

# Compiled kernels are named for what they were compiled from, so they may be shared with the user and between runs.
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "kernels"))


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def private_cache(session_cache, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("NPVGG_CACHE", str(session_cache))


@pytest.fixture(scope="session")
def tiny():
    """A network of a few thousand parameters with everything in it: batch norm, two hidden layers, class names."""
    from npvgg import network

    return network.create("vgg11_bn", seed=5, how="he", width=1 / 16, hidden=(12, 9), pooled_size=1, input_size=32,
                          class_names=("ant", "bee", "cat", "dog"), num_classes=4)


@pytest.fixture(scope="session")
def tiny_file(tiny, tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("weights") / "tiny.h5", notes="made by the tests")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder: a.png, b.jpg, inner/c.png, and broken.jpg that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "inner").mkdir()
    rng = np.random.default_rng(0)
    for name, (height, width) in {"a.png": (41, 53), "b.jpg": (64, 37), "inner/c.png": (32, 32)}.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    return folder


@pytest.fixture
def one_torch_thread(monkeypatch):
    """PyTorch on one thread: its threads spin, and small networks take longer with two than with one."""
    torch = pytest.importorskip("torch")
    before, set_num_threads = torch.get_num_threads(), torch.set_num_threads
    set_num_threads(1)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    yield
    set_num_threads(before)
