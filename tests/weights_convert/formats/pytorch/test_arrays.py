"""Arrays and the memory they cost."""
import io
import tracemalloc

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.refusal import read

from weights_convert import formats
from weights_convert.formats import pytorch
from weights_convert.formats.pytorch import arrays

TYPES = ["f4", "f8", "f2", "i8", "i4", "i2", "i1", "u1", "b1"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("code", TYPES)
def test_element_types(code, container):
    x = np.arange(15).astype(code).reshape(3, 5)
    found = read(builder.write(container, *builder.state_dict({"w": x, "n": x[1, 1], "none": x[:0]}))).tensors
    for name, expected in {"w": x, "n": x[1, 1], "none": x[:0]}.items():
        y = found[name]
        assert isinstance(y, np.ndarray) and y.dtype == x.dtype and np.array_equal(y, expected)
        assert y.flags.c_contiguous and y.flags.aligned and y.flags.writeable


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_bfloat16_becomes_the_float32_of_the_same_value(container):
    upper = np.arange(1 << 16, dtype="<u2")
    program = {"w": tensor("0", (256, 256), cls="BFloat16Storage"), "n": tensor("1", (), cls="BFloat16Storage")}
    found = read(builder.write(container, program, {"0": upper, "1": upper[0x3FC0:0x3FC1]})).tensors
    assert np.array_equal(found["w"].ravel().view("<u4"), upper.astype("<u4") << 16)
    assert found["n"].shape == () and found["n"] == np.float32(1.5) and isinstance(found["n"], np.ndarray)


@pytest.mark.parametrize("container", CONTAINERS)
def test_order_is_that_of_the_state_dict_not_of_the_storages(container):
    program = {"c": tensor("2", (1,)), "a": tensor("0", (1,)), "b": tensor("1", (1,))}
    found = read(builder.write(container, program, {str(n): np.full(1, n, "f4") for n in range(3)})).tensors
    assert [(name, x.item()) for name, x in found.items()] == [("c", 2), ("a", 0), ("b", 1)]


def test_shared_storages_are_reported():
    program = {"a": tensor("0", (6,)), "b": tensor("0", (2, 3)), "c": tensor("1", (1,))}
    found = read(builder.write("zip", program, {"0": np.zeros(6, "f4"), "1": np.zeros(1, "f4")}))
    assert "2 tensors share a storage with another ('a', 'b'); each has an array of its own" in found.remarks
    found.tensors["a"][0] = 7
    assert found.tensors["b"][0, 0] == 0


@pytest.mark.parametrize("container", CONTAINERS)
def test_memory_is_that_of_the_tensors(container, tmp_path):
    """Five storages of 8 MiB: the arrays, and little else; not the file a second time."""
    size = 8 << 20
    storages = {str(n): np.full(size // 4, n, "f4") for n in range(5)}
    path = tmp_path / "large.pth"
    program = {f"w{n}": tensor(str(n), (size // 4,)) for n in range(4)}
    program["transposed"] = tensor("4", (2048, 1024), stride=(1, 2048))
    path.write_bytes(builder.write(container, program, storages))
    tracemalloc.start()
    try:
        found = formats.read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [x.nbytes for x in found.tensors.values()] == [size] * 5
    assert peak < 6.1 * size                              # five arrays, and the storage of the transposed one


@pytest.mark.parametrize("container", CONTAINERS)
def test_large_storages_are_read_in_chunks(container, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", 7)
    x = np.arange(60, dtype="f4").reshape(3, 20)
    data = builder.write(container, *builder.state_dict({"w": x}))
    assert np.array_equal(pytorch.read(io.BytesIO(data), len(data)).tensors["w"], x)
