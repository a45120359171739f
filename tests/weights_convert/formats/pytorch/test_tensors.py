"""Sizes, strides and offsets: every index of a tensor lies in its storage, and that is known before it is read."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, Late, StorageId, TensorCall, tensor
from witnesses.pickle_builder import build, call, new, opcodes, reference
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.formats.pytorch import objects

SIX = np.arange(6, dtype="f4")
ON_SIX = StorageId("0", 6)

BAD_BOXES = {                             # size, stride, offset on a storage of 6
    "one past the end": ((2, 3), (3, 1), 1),
    "last element past the end": ((2, 2), (5, 1), 0),
    "offset at the end": ((1,), (1,), 6),
    "scalar past the end": ((), (), 6),
    "negative size": ((-1,), (1,), 0),
    "negative stride": ((2,), (-1,), 5),
    "negative offset": ((2,), (1,), -1),
    "size is a bool": ((True, 3), (3, 1), 0),
    "size is a float": ((2.0, 3), (3, 1), 0),
    "size is NaN": ((float("nan"),), (1,), 0),
    "size is a text": (("2",), (1,), 0),
    "size is a list": ([2, 3], (3, 1), 0),
    "size is a number": (6, 1, 0),
    "size is None": (None, None, 0),
    "stride is shorter": ((2, 3), (1,), 0),
    "stride is a bool": ((2,), (True,), 0),
    "offset is a bool": ((2,), (1,), True),
    "offset is a float": ((2,), (1,), 0.0),
    "offset is None": ((2,), (1,), None),
    "offset is huge": ((1,), (1,), 2**62),
    "nine dimensions": ((1,) * 9, (1,) * 9, 0),
    "2^62 elements": ((2**31, 2**31), (0, 0), 0),
    "2^64 elements, by overflow 0": ((2**32, 2**32), (0, 0), 0),
    "a number of 255 bytes": ((2**2030,), (1,), 0),
    "stride that overflows": ((2, 2), (2**61, 2**61), 0),
    "stride 0 makes 4 bytes a matrix": ((100, 100), (0, 0), 0),
    "stride 0 makes 40 GB": ((10**5, 10**5), (0, 0), 0),
    "more elements than the storage": ((7,), (0,), 0),
    "empty, but enormous": ((0, 2**47, 2**47), (1, 1, 1), 0),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size, stride, offset", BAD_BOXES.values(), ids=BAD_BOXES)
def test_bad_box_is_refused(size, stride, offset, container):
    program = {"w": TensorCall(ON_SIX, size, stride, offset)}
    message = refusal(builder.write(container, program, {"0": SIX}), BadFileError)
    assert "no shape" in message or "storage 0 has 6 elements" in message


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=4), st.integers(0, 12), st.integers(0, 24),
       st.sampled_from(CONTAINERS))
def test_a_box_is_read_or_refused_as_its_indices_lie(axes, offset, numel, container):
    size, stride = tuple(n for n, _ in axes), tuple(step for _, step in axes)
    numbers = np.arange(100, 100 + numel, dtype="f4")
    data = builder.write(container, {"w": TensorCall(StorageId("0", numel), size, stride, offset)}, {"0": numbers})
    indices = [offset + sum(i * step for i, step in zip(index, stride)) for index in np.ndindex(*size)]
    if not indices or max(indices) < numel and len(indices) <= numel:
        found = read(data).tensors["w"]
        assert found.shape == size and found.ravel().tolist() == [100 + index for index in indices]
    else:
        refusal(data, BadFileError)


@pytest.mark.parametrize("size, stride", [((1, 1, 1, 2, 1, 3, 1, 1), (6, 6, 6, 3, 3, 1, 1, 1)), ((6,), (1,))])
def test_eight_dimensions_are_read(size, stride):
    found = read(builder.write("zip", {"w": TensorCall(ON_SIX, size, stride)}, {"0": SIX})).tensors["w"]
    assert found.shape == size and found.ravel().tolist() == SIX.tolist()


BAD_CALLS = {
    "v2 with two arguments": call("torch._utils", "_rebuild_tensor_v2", 1, 2),
    "v2 with nine arguments": call("torch._utils", "_rebuild_tensor_v2", *range(9)),
    "v2 of numbers": call("torch._utils", "_rebuild_tensor_v2", 0, 0, (1,), (1,), False, None),
    "v2 on a name": call("torch._utils", "_rebuild_tensor_v2", reference("torch", "Size"), 0, (), (), False, None),
    "parameter of a number": call("torch._utils", "_rebuild_parameter", 1, True, None),
    "Parameter of a number": new("torch.nn.parameter", "Parameter", 1),
    "BUILD without a tuple": build(call("torch", "FloatTensor"), [1, 2, 3, 4]),
    "BUILD of two": build(call("torch", "FloatTensor"), (1, 2)),
    "BUILD of numbers": build(call("torch", "FloatTensor"), (1, 2, 3, 4)),
    "Parameter, BUILD of numbers": build(new("torch.nn.parameter", "Parameter"), (1, None, None, True, False)),
    "Parameter, BUILD of a tensor never built": build(new("torch.nn.parameter", "Parameter"),
                                                      (call("torch", "FloatTensor"), None, None, True, False)),
    "v3 of numbers": call("torch._utils", "_rebuild_tensor_v3", 0, 0, (1,), (1,), False, None,
                          reference("torch", "uint16")),
    "from_type of nothing": call("torch._tensor", "_rebuild_from_type_v2", 1, 2, (3,), {}),
    "from_type of a name": call("torch._tensor", "_rebuild_from_type_v2", reference("my", "rebuild"),
                                reference("torch", "Tensor"), (1,), {}),
    "never built": call("torch", "FloatTensor"),
    "parameter never built": new("torch.nn.parameter", "Parameter"),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("program", BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_call_is_refused(program, container):
    refusal(builder.write(container, {"a": tensor("0", (6,)), "w": program}, {"0": SIX}), BadFileError)


@pytest.mark.parametrize("rest", {
    "hooks": (False, {"a": 1}), "hooks are a list": (False, [1]), "requires_grad is a number": (1, None),
    "metadata is a list": (False, None, [1]), "much metadata": (False, None, {str(n): False for n in range(9)}),
}.values(), ids=lambda rest: None)
def test_bad_flags_are_refused(rest):
    refusal(builder.write("zip", {"w": TensorCall(ON_SIX, (6,), (1,), rest=rest)}, {"0": SIX}), BadFileError)


@pytest.mark.parametrize("bit", ["conj", "neg"])
def test_bits_that_change_the_numbers_are_not_supported(bit):
    for flag in False, True:
        data = builder.write("zip", {"w": TensorCall(ON_SIX, (6,), (1,), rest=(False, None, {bit: flag}))}, {"0": SIX})
        if flag:
            refusal(data, UnsupportedError)
        else:
            assert read(data).tensors["w"].tolist() == SIX.tolist()


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_tensor_is_placed_once(container):
    twice = Late(lambda at: build(builder.old_tensor("0", (2, 3)).opcodes(at), (ON_SIX.opcodes(at), 0, (6,), (1,))))
    assert "twice" in refusal(builder.write(container, {"w": twice}, {"0": SIX}))


def test_class_of_a_tensor_and_of_its_storage_must_agree():
    program = {"w": Late(lambda at: build(call("torch", "LongTensor"), (ON_SIX.opcodes(at), 0, (6,), (1,))))}
    assert "int64 in a storage of float32" in refusal(builder.write("legacy", program, {"0": SIX}))


@pytest.mark.parametrize("dtype, error", [("float32", BadFileError), ("complex64", UnsupportedError),
                                          ("float8_e5m2", UnsupportedError), ("untyped", UnsupportedError)])
def test_v3_on_a_typed_storage_or_of_an_unknown_type(dtype, error):
    rest = (False, builder.EMPTY, reference("torch", dtype))
    program = {"w": TensorCall(ON_SIX, (6,), (1,), function="_rebuild_tensor_v3", rest=rest)}
    refusal(builder.write("zip", program, {"0": SIX}), error)


@pytest.mark.parametrize("container", CONTAINERS)
def test_many_tensors(container, monkeypatch):
    monkeypatch.setattr(objects, "MOST_TENSORS", 50)
    for count in (50, 51):
        program = {f"k{n}": tensor("0", (), numel=6) for n in range(count)}
        data = builder.write(container, program, {"0": SIX})
        if count == 50:
            assert len(read(data).tensors) == count
        else:
            assert "more than 50 tensors" in refusal(data)


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_tensor_under_many_names_counts_each_time(container):
    program = b"}(" + opcodes("k") + tensor("0", (6,)).opcodes(container) + b"q\x01"
    program += b"".join(opcodes(f"k{n}") + b"h\x01" for n in range(20_000)) + b"u"
    assert "more than 20,000 tensors" in refusal(builder.write(container, program, {"0": SIX}))


@pytest.mark.parametrize("container", CONTAINERS)
def test_alias_bomb_is_refused(container):
    """Some hundred views of one storage of a megabyte would fill the memory; the file is a megabyte."""
    megabyte = np.zeros(1 << 18, "f4")
    program = {f"w{n}": tensor("0", megabyte.shape) for n in range(100)}
    assert "share storages too often" in refusal(builder.write(container, program, {"0": megabyte}))
    program = {f"w{n}": tensor("0", megabyte.shape) for n in range(60)}
    assert len(read(builder.write(container, program, {"0": megabyte})).tensors) == 60
