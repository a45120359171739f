"""safetensors files, whole, damaged and hostile."""
import io
import json
import os
import random
import struct
import sys
import time

import numpy as np
import pytest

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import formats
from weights_convert.formats import safetensors

numpy = pytest.importorskip("safetensors.numpy")

ARRAYS = {"z": np.arange(24, dtype="f4").reshape(2, 3, 2, 2), "half": np.arange(3, dtype="f2"), "count": np.array(7),
          "double": np.arange(6, dtype="f8").reshape(2, 3), "flags": np.array([True, False]), "empty": np.zeros((0, 3), "f4")}


def read(data):
    return safetensors.read(io.BytesIO(data), len(data)).tensors


def raw(header, numbers=b""):
    """A file with that header, as text or as what json.dumps makes of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_the_packages_own_files(tmp_path):
    numpy.save_file(ARRAYS, tmp_path / "x.safetensors", {"format": "np"})
    found = formats.read(tmp_path / "x.safetensors")
    assert found.container == "safetensors" and found.stated == {} and found.tensors.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert np.array_equal(found.tensors[key], array) and found.tensors[key].dtype == array.dtype
        assert found.tensors[key].flags.aligned and found.tensors[key].flags.owndata


def test_bfloat16_becomes_float32_exactly():
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    tensor = torch.randn(5).to(torch.bfloat16)
    assert np.array_equal(read(save({"w": tensor}))["w"], tensor.float().numpy())


HOSTILE = {
    "header too long": struct.pack("<Q", 1 << 40) + b"{" + bytes(20), "header too short": raw(b"{"), "no JSON": raw(b"{abc}  "),
    "not UTF-8": raw(b'{"\xff": 1}'), "no object": raw(b"[1, 2, 3]"),
    "numbers missing": raw({"a": entry()}, bytes(7)), "numbers left over": raw({"a": entry()}, bytes(9)),
    "hole": raw({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
    "overlap": raw({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "ten times the same numbers": raw({str(n): entry() for n in range(10)}, bytes(8)),
    "shape that overflows": raw({"a": entry(shape=(2, 2**63 - 1))}, bytes(8)),
    "shape that is larger": raw({"a": entry(shape=(2, 2**64 - 2))}, bytes(8)),
    "fractional shape": raw({"a": entry(shape=(2.0,))}, bytes(8)), "negative shape": raw({"a": entry(shape=(-2,))}, bytes(8)),
    "true as a shape": raw({"a": entry(shape=(True, 2))}, bytes(8)),
    "unknown type": raw({"a": entry("F31")}, bytes(8)), "NaN": raw(b'{"a": NaN}'),
    "offsets reversed": raw({"a": entry(offsets=(8, 0))}, bytes(8)), "deep": raw(b'{"a":' + b"[" * 100_000),
    "a name twice": raw(b'{"a":' + json.dumps(entry()).encode() + b',"a":' + json.dumps(entry()).encode() + b"}", bytes(8)),
    "a name twice, side by side": raw(b'{"a":' + json.dumps(entry()).encode() + b',"a":'
                                      + json.dumps(entry(offsets=(8, 16))).encode() + b"}", bytes(16)),
    "bools of 2": raw({"a": entry("BOOL", (2,), (0, 2))}, b"\1\2"),
    "metadata of ours that is not": raw({"__metadata__": {"npvgg": "{}"}, "a": entry()}, bytes(8)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadFileError) as caught:
        formats.read(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_elements_that_no_vgg_has_are_not_supported():
    with pytest.raises(UnsupportedError, match="tensor 'a' holds F8_E4M3; npvgg reads floats, integers and bools only"):
        read(raw({"a": entry("F8_E4M3", (8,), (0, 8))}, bytes(8)))


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(UnsupportedError, match=r'pip install "npvgg\[safetensors\]"'):
        read(raw({"a": entry()}, bytes(8)))


def test_mutants_never_escape():
    seconds, rng = float(os.environ.get("NPVGG_FUZZ_SECONDS", 2)), random.Random(5)
    seed = numpy.save({"a": np.arange(3, dtype="f4"), "b": np.arange(4)}, {"format": "np"})
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = bytearray(seed)
        for _ in range(rng.choice([1, 1, 2, 9])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, 128, ord("0"), rng.randrange(256)])
        count += 1
        try:
            read(bytes(data[:rng.randrange(len(data))] if rng.random() < 0.1 else data))
        except NpvggError as error:
            assert str(error).isprintable()
    assert count > 100
