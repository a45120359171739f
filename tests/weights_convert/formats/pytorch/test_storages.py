"""Persistent ids: what a storage may claim to be."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, Late, StorageId, TensorCall, tensor
from witnesses.pickle_builder import opcodes, reference
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError

SIX = np.arange(6, dtype="f4")


def with_storage(storage):
    return {"w": TensorCall(storage, (2, 3), (3, 1))}


BAD_STORAGES = {
    "negative numel": (StorageId("0", -6), "sensible number"),
    "numel is True": (StorageId("0", True), "sensible number"),
    "numel is a text": (StorageId("0", "6"), "sensible number"),
    "numel is 6.0": (StorageId("0", 6.0), "sensible number"),
    "numel is NaN": (StorageId("0", float("nan")), "sensible number"),
    "numel is 2^63": (StorageId("0", 2**63), "sensible number"),
    "numel is enormous": (StorageId("0", 2**2000), "sensible number"),
    "numel times itemsize past the file": (StorageId("0", 2**61), "would end at byte|instead of"),
    "numel one too many": (StorageId("0", 7), "would end at byte|instead of|in one place"),
    "numel one too few": (StorageId("0", 5), "storage 0 has 5 elements"),
    "key climbs out": (StorageId("../data.pkl", 6), "other than a number"),
    "key is a number": (StorageId(0, 6), "other than a number"),
    "key is empty": (StorageId("", 6), "other than a number"),
    "key is None": (StorageId(None, 6), "other than a number"),
    "key in other digits": (StorageId("٣", 6), "other than a number"),
    "key with a sign": (StorageId("-1", 6), "other than a number"),
    "key with a newline": (StorageId("0\n", 6), "other than a number"),
    "key of a kilobyte": (StorageId("1" * 1000, 6), "other than a number"),
    "class is a text": (StorageId("0", 6, opcodes("torch.FloatStorage")), "no class"),
    "class is no storage": (StorageId("0", 6, "Tensor"), "not a storage"),
    "class of another package": (StorageId("0", 6, reference("mytorch", "FloatStorage")), "not a storage"),
    "class is a whole tensor": (StorageId("0", 6, reference("torch", "Size")), "not a storage"),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("storage, text", BAD_STORAGES.values(), ids=BAD_STORAGES)
def test_bad_storage_is_refused(storage, text, container):
    message = refusal(builder.write(container, with_storage(storage), {"0": SIX}), BadFileError)
    assert any(part in message for part in text.split("|")), message


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("cls", ["ComplexFloatStorage", "QInt8Storage", "QUInt4x2Storage", "TypedStorage"])
def test_other_elements_are_not_supported(cls, container):
    message = refusal(builder.write(container, with_storage(StorageId("0", 6, cls)), {"0": SIX}), UnsupportedError)
    assert f"torch.{cls}" in message


BAD_IDS = {
    "a text": "storage", "a number": 5, "empty": (), "a list": ["storage", "0"],
    "another kind": ("tensor", 1, "0", "cpu", 6), "too short": ("storage",), "None": None,
    "too long": ("storage", 1, "0", "cpu", 6, None, None), "an object": b"}",
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("identity", BAD_IDS.values(), ids=BAD_IDS)
def test_bad_persistent_id_is_refused(identity, container):
    refusal(builder.write(container, {"w": opcodes(identity) + b"Q"}, {}), BadFileError)


def test_the_id_of_the_other_container_is_refused():
    other = {"legacy": "zip", "zip": "legacy"}
    for container in CONTAINERS:
        program = {"w": Late(lambda at: TensorCall(StorageId("0", 6), (6,), (1,)).opcodes(other[at]))}
        assert "items, not" in refusal(builder.write(container, program, {"0": SIX}))


def test_the_class_of_a_network_is_a_persistent_id_in_a_legacy_stream_only():
    program = {"w": tensor("0", (6,)), "x": [opcodes(("module", reference("my", "Net"), "net.py", "class Net: pass")) + b"Q"]}
    assert "w" in read(builder.write("legacy", program, {"0": SIX})).tensors
    assert "not a storage" in refusal(builder.write("zip", program, {"0": SIX}), BadFileError)
    program["x"] = [opcodes(("module", "my.Net", "net.py", "")) + b"Q"]
    assert "not a storage" in refusal(builder.write("legacy", program, {"0": SIX}), BadFileError)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("again", [StorageId("0", 6, "IntStorage"), StorageId("0", 5)],
                         ids=["other class", "other length"])
def test_the_same_storage_twice_must_be_the_same(again, container):
    program = {"a": tensor("0", (6,)), "b": TensorCall(again, (1,), (1,))}
    assert "described twice" in refusal(builder.write(container, program, {"0": SIX}))


BAD_VIEWS = {
    "past the end": ("1", 4, 3), "negative offset": ("1", -1, 3), "negative size": ("1", 1, -3), "not three": ("1", 1),
    "key is no number": ("x", 0, 3), "a list": ["1", 0, 3], "numbers are texts": ("1", "0", "3"),
    "huge": ("1", 2**62, 2**62),
}


@pytest.mark.parametrize("view", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_bad_view_is_refused(view):
    program = {"w": tensor("0", (2,), numel=6, view=view)}
    assert "view" in refusal(builder.write("legacy", program, {"0": SIX}))


def test_tensor_must_fit_the_view_not_the_storage():
    program = {"w": tensor("0", (3,), numel=6, view=("1", 3, 2))}
    assert "size (3,)" in refusal(builder.write("legacy", program, {"0": SIX}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_untyped_storage_counts_bytes(container):
    program = {"bytes": tensor("0", (4,), cls="UntypedStorage"),
               "shorts": TensorCall(StorageId("1", 12, "UntypedStorage", module="torch.storage"), (2, 3), (3, 1),
                                    function="_rebuild_tensor_v3",
                                    rest=(False, builder.EMPTY, reference("torch", "uint16")))}
    storages = {"0": np.arange(4, dtype="u1"), "1": np.arange(12, dtype="u1")}
    found = read(builder.write(container, program, storages)).tensors
    assert found["bytes"].tolist() == [0, 1, 2, 3]
    assert found["shorts"].dtype == np.uint16 and found["shorts"].tobytes() == bytes(range(12))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("value", [2, 255])
def test_bool_is_0_or_1(value, container):
    storage = np.array([0, 1, value], "u1")
    program = {"w": tensor("0", (3,), cls="BoolStorage")}
    assert "neither 0 nor 1" in refusal(builder.write(container, program, {"0": storage}))
