"""A TensorProto of the tests' own making and of onnx', whole, damaged and hostile."""
import os
import random
import time

import numpy as np
import pytest
from witnesses.caffemodel_builder import number, piece, varint
from witnesses.tensor_proto_builder import tensor_proto

from npvgg.errors import BadFileError, NpvggError, StorageError, UnsupportedError
from weights_convert.formats import tensor_proto as reader

NUMBERS = np.random.default_rng(3).standard_normal((2, 3, 1, 5))
FORMS = ("raw", "packed", "one by one")

each_form = pytest.mark.parametrize("form", FORMS)
each_type = pytest.mark.parametrize("dtype", ["f4", "f8"])


@each_form
@each_type
def test_numbers_in_every_form_arrive_bit_for_bit(tmp_path, dtype, form):
    array = NUMBERS.astype(dtype)
    (tmp_path / "input_0.pb").write_bytes(tensor_proto(array, form))
    found = reader.read(tmp_path / "input_0.pb")
    assert found.dtype == array.dtype and found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("shape", [(), (1,), (0, 4)], ids=str)
def test_odd_shapes(shape):
    array = np.ones(shape, "f4")
    found = reader.array(memoryview(tensor_proto(array)))
    assert found.shape == shape and (found == 1).all()


def test_sizes_may_stand_one_by_one():
    data = number(1, 2) + number(1, 3) + number(2, 1) + piece(9, bytes(24))
    assert reader.array(memoryview(data)).shape == (2, 3)


@each_type
@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "list"])
def test_what_onnx_writes(dtype, is_raw):
    onnx = pytest.importorskip("onnx")
    array = NUMBERS.astype(dtype)
    made = onnx.numpy_helper.from_array(array, "data") if is_raw else onnx.helper.make_tensor(
        "data", onnx.TensorProto.FLOAT if dtype == "f4" else onnx.TensorProto.DOUBLE, array.shape, array.ravel())
    np.testing.assert_array_equal(reader.array(memoryview(made.SerializeToString())), array)


WHOLE = tensor_proto(NUMBERS.astype("f4"))
REFUSED = {
    "nothing": (BadFileError, b"", "it is no TensorProto"),
    "text": (BadFileError, b"not a tensor\n", "wire type|no TensorProto|bytes where"),
    "another type": (UnsupportedError, number(1, 2) + number(2, 7) + piece(9, bytes(16)), "elements of ONNX's type 7"),
    "another file": (UnsupportedError, number(1, 2) + number(2, 1) + number(14, 1), "its numbers are in another file"),
    "a segment": (UnsupportedError, number(2, 1) + piece(3, number(1, 1)), "its numbers are in another file"),
    "two places": (BadFileError, number(1, 1) + number(2, 1) + piece(9, bytes(4)) + piece(4, bytes(4)), "in two places"),
    "for another type": (BadFileError, number(1, 1) + number(2, 1) + piece(10, bytes(8)), "or in one for another type"),
    "too few": (BadFileError, number(1, 3) + number(2, 1) + piece(9, bytes(8)), "8 bytes for the shape .3,."),
    "negative": (BadFileError, piece(1, b"\xff" * 9 + b"\x01") + number(2, 1) + piece(9, bytes(4)), "does not end|4 bytes for"),
    "many sizes": (BadFileError, piece(1, b"\1" * 10**6) + number(2, 1) + piece(9, bytes(4)), "4 bytes for the shape"),
    "huge": (BadFileError, piece(1, varint(2**62) * 4) + number(2, 1), "0 bytes for the shape"),
    "cut": (BadFileError, WHOLE[:-1], "bytes where"),
}


@pytest.mark.parametrize("kind, data, text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_tensor_is_refused_in_one_sentence(tmp_path, kind, data, text):
    path = tmp_path / "output_0.pb"
    path.write_bytes(data)
    with pytest.raises(kind, match=text) as caught:
        reader.read(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_a_missing_file_and_an_enormous_one(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match="input_0.pb: it cannot be read: No such file"):
        reader.read(tmp_path / "input_0.pb")
    monkeypatch.setattr(reader, "LARGEST_FILE", 10)
    (tmp_path / "input_0.pb").write_bytes(WHOLE)
    with pytest.raises(BadFileError, match="a test has at most 10"):
        reader.read(tmp_path / "input_0.pb")


def test_every_truncation_and_many_mutants_are_refused_or_read():
    rng, seeds = random.Random(5), [tensor_proto(NUMBERS.astype("f4"), form) for form in FORMS]
    for seed in seeds:
        for end in range(len(seed)):
            survives(seed[:end])
    until = time.monotonic() + float(os.environ.get("NPVGG_FUZZ_SECONDS", 1))
    count = 0
    while time.monotonic() < until:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice([1, 1, 2, 9])):
            data[rng.randrange(min(len(data), 60))] = rng.choice([0, 255, 128, 127, rng.randrange(256)])
        survives(bytes(data))
        count += 1
    assert count > 20


def survives(data):
    try:
        found = reader.array(memoryview(data))
    except NpvggError as error:
        assert str(error).isprintable()
    else:
        assert found.dtype.name in ("float32", "float64") and found.nbytes <= len(data)
