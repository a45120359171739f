"""The legacy stream: five pickles and the storages must account for every byte."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import SYSTEM, tensor
from witnesses.pickle_builder import call, pickle
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError

STORAGES = {"7": np.arange(6, dtype="f4"), "10": np.array([2.5, -1], "f8")}
PROGRAM = {"a": tensor("7", (2, 3)), "b": tensor("10", (2,), cls="DoubleStorage")}
PICKLED = pickle(builder.resolve(PROGRAM, "legacy"))


def test_reads_the_stream():
    found = read(builder.legacy(PICKLED, STORAGES))
    assert found.container == "PyTorch legacy stream" and list(found.tensors) == ["a", "b"]
    assert found.tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found.tensors["b"].tolist() == [2.5, -1]
    assert "no checksum" in found.remarks[0]


def test_storages_come_in_the_order_of_their_list():
    """Keys are sorted as texts: "10" before "7"."""
    data = builder.legacy(PICKLED, STORAGES, keys=["7", "10"])
    assert "elements in one place" in refusal(data)


@pytest.mark.parametrize("keys", {
    "one missing": ["10"], "one too many": ["10", "7", "8"], "another": ["10", "8"], "one twice": ["10", "7", "7"],
    "not a list": {"10": 1, "7": 1}, "numbers": [10, 7], "none": [], "a tuple": ("10", "7"),
    "not texts": ["10", b"C\x017"], "lists": [["10"], ["7"]],
}.values())
def test_bad_list_of_storages_is_refused(keys):
    assert "storages" in refusal(builder.legacy(PICKLED, STORAGES, keys=keys), BadFileError)


@pytest.mark.parametrize("count", [0, 5, 7, -6, 2**62, -2**63])
def test_length_in_the_stream_must_be_the_one_in_the_pickle(count):
    message = refusal(builder.legacy(PICKLED, STORAGES, counts={"7": count}))
    assert f"has {count} elements in one place and 6" in message


def test_nothing_may_follow():
    assert "1 bytes after its last storage" in refusal(builder.legacy(PICKLED, STORAGES, tail=b"\0"))
    assert "after its last storage" in refusal(builder.legacy(PICKLED, STORAGES) * 2)


@pytest.mark.parametrize("version", [1000, 1002, True, "1001", None, 1001.0])
def test_other_version_is_refused(version):
    assert "another version" in refusal(builder.legacy(PICKLED, STORAGES, version=version))


def test_big_endian_writer_is_not_supported():
    refusal(builder.legacy(PICKLED, STORAGES, system=SYSTEM | {"little_endian": False}), UnsupportedError)


@pytest.mark.parametrize("system", [{}, {"little_endian": 1}, {"little_endian": None}, [], "little", None])
def test_byte_order_must_be_said(system):
    refusal(builder.legacy(PICKLED, STORAGES, system=system), BadFileError)


def test_writer_on_windows_has_shorter_longs():
    sizes = {"short": 2, "int": 4, "long": 4}
    assert read(builder.legacy(PICKLED, STORAGES, system=SYSTEM | {"type_sizes": sizes})).tensors


@pytest.mark.parametrize("first, words", [
    (call("builtins", "eval", "0x1950a86a20f9469cfc6c"), "refers to builtins.eval"), (1, "after its first pickle"),
    (builder.MAGIC + 1, "after its first pickle"), ([builder.MAGIC], "after its first pickle"),
], ids=["by eval", "1", "one more", "in a list"])
def test_magic_number_must_be_those_very_bytes(first, words):
    data = pickle(first) + builder.legacy(PICKLED, STORAGES)[15:]
    assert words in refusal(data)


def test_cut_stream_says_where_it_should_end():
    data = builder.legacy(PICKLED, STORAGES)
    message = refusal(data[:-1])
    assert f"has {len(data) - 1} bytes" in message and f"end at byte {len(data)}" in message


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_protocol_numbers(protocol):
    assert read(builder.write("legacy", PROGRAM, STORAGES, protocol)).tensors["b"].tolist() == [2.5, -1]
