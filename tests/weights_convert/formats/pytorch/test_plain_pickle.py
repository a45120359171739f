"""pickle.dump(model, file): one pickle, each storage in it a legacy stream."""
import struct

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.pickle_builder import call, framed, opcodes, pickle
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError

NUMBERS = np.arange(6, dtype="f4")


def stream(numbers=NUMBERS, root=None):
    """What torch.save makes of a storage alone."""
    identity = builder.StorageId("94", len(numbers)).opcodes("legacy")
    return builder.legacy(pickle(identity if root is None else root), {"94": numbers})


def binary(data):
    """The opcodes of bytes, as protocol 3 and later have them."""
    return b"C" + bytes([len(data)]) + data if len(data) < 256 else b"B" + struct.pack("<I", len(data)) + data


def eight(data):
    return b"\x8e" + struct.pack("<Q", len(data)) + data


def storage(data=None, push=binary, name="_load_from_bytes"):
    return call("torch.storage", name, push(stream() if data is None else data))


def tensor(inner=None, size=(2, 3), stride=(3, 1)):
    inner = storage() if inner is None else inner
    return call("torch._utils", "_rebuild_tensor_v2", inner, 0, size, stride, False, builder.EMPTY)


@pytest.mark.parametrize("push", [binary, eight])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_read_where_they_lie(push, protocol):
    found = read(pickle({"state_dict": {"a": tensor(storage(push=push)), "b": tensor(size=(3,), stride=(2,))}}, protocol))
    assert found.container == "Python pickle" and found.nested_under == "state_dict"
    assert np.array_equal(found.tensors["a"], NUMBERS.reshape(2, 3)) and np.array_equal(found.tensors["b"], [0, 2, 4])
    assert any("no checksum" in remark for remark in found.remarks)


def test_two_tensors_on_one_storage():
    program = b"}(" + opcodes("a") + tensor(storage() + b"q\x07") + opcodes("b") + tensor(b"h\x07", (6,), (1,)) + b"u"
    found = read(pickle(program))
    assert np.array_equal(found.tensors["a"].ravel(), found.tensors["b"]) and len(found.tensors) == 2


def test_a_framed_pickle():
    assert list(read(framed(pickle({"w": tensor()}, 4))).tensors) == ["w"]


@pytest.mark.parametrize("program, words", {
    "no tensor": ({"a": 1}, "without a tensor"),
    "arrays": ({"a": call("numpy.core.multiarray", "_reconstruct")}, "without a tensor"),
    "no stream": ({"a": tensor(storage(b"\0" * 99))}, "no legacy stream"),
    "short bytes": ({"a": tensor(storage(b"abc"))}, "no stream of PyTorch"),
    "a text": ({"a": tensor(call("torch.storage", "_load_from_bytes", "a" * 99))}, "no stream of PyTorch"),
    "no argument": ({"a": tensor(call("torch.storage", "_load_from_bytes"))}, "no stream of PyTorch"),
    "a stream of something else": ({"a": tensor(storage(stream(root=5)))}, "it lists 1 storages"),
    "a stream with more behind": ({"a": tensor(storage(stream() + b"more"))}, "4 bytes after its last storage"),
    "a stream that is cut": ({"a": tensor(storage(stream()[:-1]))}, "would end at byte"),
    "a storage outside": ({"a": builder.StorageId("0", 6).opcodes("legacy")}, "outside of it"),
    "another function": ({"a": call("torch", "load", "x"), "b": tensor()}, "refers to torch.load"),
    "a call in the stream": ({"a": tensor(storage(stream(root=call("os", "system", "true"))))}, "refers to os.system"),
    "a stream in a stream": ({"a": tensor(storage(stream(root=storage())))}, "refers to torch.storage._load_from_bytes"),
}.values(), ids=str)
def test_what_is_refused(program, words):
    assert words in refusal(pickle(program), BadFileError)


def test_a_second_pickle_is_refused():
    assert "after its first pickle" in refusal(pickle({"a": tensor()}) + pickle(1), BadFileError)


def test_bytes_that_are_longer_than_the_file_are_refused():
    for opcode in (b"B" + struct.pack("<I", 2**31), b"\x8e" + struct.pack("<Q", 2**62)):
        assert "ends too early" in refusal(b"\x80\x04" + opcode + b"x" * 99 + b".", BadFileError)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_against_pytorch(protocol):
    torch = pytest.importorskip("torch")
    import pickle as pythons

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 40, 3, padding=1, padding_mode="reflect"), torch.nn.ReLU(),
                                torch.nn.Flatten(), torch.nn.Linear(40, 300))
    if protocol < 3:                                          # bytes are texts there, of twice the length
        assert "no stream of PyTorch" in refusal(pythons.dumps(model, protocol), BadFileError)
        return
    found = read(pythons.dumps(model, protocol))
    for key, value in model.state_dict().items():
        assert np.array_equal(found.tensors[key], value.numpy()), key
    assert found.stated["padding_mode"] == "reflect"


def test_a_method_is_a_name_like_any_other():
    """mmengine's checkpoints before publishing: getattr(HistoryBuffer, 'min')."""
    buffer = call("builtins", "getattr", b"cmmengine.logging.history_buffer\nHistoryBuffer\n", "min")
    for container in builder.CONTAINERS:
        weights = builder.tensor("0", (6,)).opcodes(container)
        data = builder.write(container, {"state_dict": {"w": weights}, "message_hub": {"min": buffer}}, {"0": NUMBERS})
        assert list(read(data).tensors) == ["w"]
        for target, words in ((b"cnumpy\nload\n", "file refers to"), (b"cos\nsystem\n", "os.system"), (5, "no name")):
            bad = {"state_dict": {"w": weights}, "m": call("builtins", "getattr", target, "min")}
            assert words in refusal(builder.write(container, bad, {"0": NUMBERS}), BadFileError)
        bad = {"state_dict": {"w": weights}, "m": call("builtins", "getattr", b"cnumpy\nndarray\n", "not a name")}
        assert "no name of a class" in refusal(builder.write(container, bad, {"0": NUMBERS}), BadFileError)
