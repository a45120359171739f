"""NumPy archives, whole, damaged and hostile."""
import io
import os
import random
import time
import zipfile

import numpy as np
import pytest

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import formats
from weights_convert.formats import npz

ARRAYS = {"conv1_1/weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2), "half": np.arange(3, dtype="f2"),
          "fortran": np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3)), "big": np.arange(3, dtype=">i4"),
          "flags": np.array([True, False]), "scalar": np.array(5), "empty": np.zeros((0, 3))}


def read(data):
    return npz.read(io.BytesIO(data), len(data)).tensors


def saved(write=np.savez, **arrays):
    file = io.BytesIO()
    write(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_numpys_own_archives(tmp_path, write):
    write(tmp_path / "x.npz", **ARRAYS)
    found = formats.read(tmp_path / "x.npz")
    assert found.container == "NumPy archive" and len(found.sha256) == 64
    assert list(found.tensors) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert np.array_equal(found.tensors[key], array) and found.tensors[key].dtype == array.dtype.newbyteorder("<")
        assert found.tensors[key].flags.c_contiguous and found.tensors[key].flags.aligned


def archive(record, name="a.npy", **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as target:
        target.writestr(name, record)
    return file.getvalue()


def header(text, version=b"\x01\x00", numbers=b"\0" * 8):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + numbers


def described(descr="'<f4'", shape="(2,)", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()


HOSTILE = {
    "objects": (header(described("'|O'")), "has elements of .O"),
    "nothing a piece": (header(described("'|V0'", "(1000000000000,)")), "has elements of .V0"),
    "records": (header(described("[('a', '<f4')]")), "no header"),
    "complex": (header(described("'<c8'", "(1,)")), "has elements of <c8"),
    "too large a shape": (header(described(shape="(1000000000000,)")), "has 8 bytes for the shape"),
    "overflowing shape": (header(described(shape="(4611686018427387904, 4)")), "has 8 bytes for the shape"),
    "negative shape": (header(described(shape="(-2, -1)")), "no header"),
    "shape of bools": (header(described(shape="(True, 2)")), "no header"),
    "trailing bytes": (header(described(), numbers=b"\0" * 9), "has 9 bytes for the shape"),
    "missing bytes": (header(described(), numbers=b"\0" * 7), "has 7 bytes for the shape"),
    "an expression": (header(b"{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': ()}\n"), "no header"),
    "no header": (b"\x93NUMPY\x01\x00\xff\xff{}", "no header"), "version 9": (header(described(), b"\x09\x00"), "no header"),
    "nested": (header(b"(" * 9000), "no header"), "empty": (b"", "no header"),
}


@pytest.mark.parametrize("record, text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arrays_are_refused_in_one_sentence(record, text):
    with pytest.raises((BadFileError, UnsupportedError), match=text) as caught:
        read(archive(record))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_a_deflate_bomb_is_refused_before_it_unpacks():
    data = archive(header(described(shape=f"({20 << 20},)"), numbers=bytes(80 << 20)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadFileError, match=f"its {len(data):,} bytes unpack to 83,886,"):
        read(data)


def test_a_compressed_record_that_lies_about_its_length_is_refused():
    data = bytearray(saved(np.savez_compressed, a=np.arange(1000)))
    with pytest.raises(BadFileError):
        read(bytes(data).replace((8128).to_bytes(4, "little"), (8000).to_bytes(4, "little")))


def test_every_truncation_is_refused(tmp_path):
    data = saved(a=np.arange(3, dtype="f4"))
    for end in range(len(data)):
        with pytest.raises(NpvggError):
            read(data[:end])


def test_mutants_are_refused_or_the_same():
    """CRC-32 covers the numbers, and both copies of every name and size must agree."""
    seconds, rng = float(os.environ.get("NPVGG_FUZZ_SECONDS", 2)), random.Random(5)
    seeds = [saved(a=np.arange(3, dtype="f4")), saved(np.savez_compressed, a=np.arange(30, dtype="f8"))]
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        seed = rng.choice(seeds)
        data = bytearray(seed)
        for _ in range(rng.choice([1, 1, 2, 9])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, 128, rng.randrange(256)])
        count += 1
        try:
            found = read(bytes(data))
        except NpvggError as error:
            assert str(error).isprintable()
        else:
            assert all(np.array_equal(array, read(seed)["a"]) for array in found.values())
    assert count > 100
