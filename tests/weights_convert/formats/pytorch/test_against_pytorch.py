"""What PyTorch itself reads from the same file, bit for bit."""
import argparse
import io
import itertools
import random as random_numbers
from collections import OrderedDict

import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, Late, StorageId, TensorCall, tensor
from witnesses.checkpoint_fuzzer import mutants
from witnesses.pickle_builder import build, call, new, python2, set_items

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import formats
from weights_convert.formats import pytorch

torch = pytest.importorskip("torch")

rng = np.random.default_rng(7)


def random(*size, dtype=None):
    return torch.from_numpy(rng.standard_normal(size).astype(np.float32)).to(dtype or torch.float32)


def with_strides(x, size, stride, offset):
    return x.as_strided(size, stride, offset)


def tied():
    weight = random(5, 3)
    return {"a.weight": weight, "b.weight": weight, "c.weight": weight[1:4]}


def flat_buffer():
    buffer = random(40)
    return {"a": buffer[:15].view(3, 5), "b": buffer[15:21].view(2, 3), "c": buffer[39:]}


def with_attributes():
    weight = random(3, 2)
    weight.note = "kept by torch.save"
    return {"w": weight}


def vgg():
    net = torch.nn.Sequential(OrderedDict([
        ("features", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU())),
        ("classifier", torch.nn.Linear(6, 5))]))
    net.features[1].running_mean.uniform_()
    net.features[1].num_batches_tracked.fill_(3)
    return net


BITS = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 0x80000000, 1, 0x00400000], np.uint32)

STATE_DICTS = {
    "a network": lambda: vgg().state_dict(),
    "parameters": lambda: dict(vgg().named_parameters()),
    "float16": lambda: {"w": random(3, 5, dtype=torch.float16)},
    "bfloat16": lambda: {"w": random(3, 5, dtype=torch.bfloat16), "scalar": torch.tensor(1.5, dtype=torch.bfloat16)},
    "float64": lambda: {"w": torch.from_numpy(rng.standard_normal((3, 5)))},
    "integers": lambda: {str(dtype): torch.arange(-3, 9).to(dtype).reshape(3, 4)
                         for dtype in (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)},
    "bools": lambda: {"mask": random(4, 3) > 0, "one": torch.tensor(True)},
    "NaN payloads, infinities, −0, subnormals": lambda: {"w": torch.from_numpy(BITS.view(np.float32).copy())},
    "a scalar and empty tensors": lambda: {"n": torch.tensor(5), "none": torch.empty(0, 3), "no side": torch.empty(0)},
    "transposed": lambda: {"w": random(3, 5).t()},
    "every second row": lambda: {"w": random(8, 5)[1::2, ::3]},
    "channels last": lambda: {"w": random(4, 3, 5, 2).to(memory_format=torch.channels_last)},
    "overlapping windows": lambda: {"w": with_strides(random(6), (2, 2), (1, 1), 2)},
    "odd strides of sides of one": lambda: {"w": with_strides(random(6), (1, 3, 1), (1000, 2, 77), 1)},
    "tied": tied,
    "slices of one buffer": flat_buffer,
    "a slice alone on its storage": lambda: {"w": random(30)[7:13].view(2, 3)},
    "attributes on a tensor": with_attributes,
    "a key that is not ASCII": lambda: {"schicht.gewicht.größe": random(2, 2)},
}


def pytorch_reads(data):
    """The bytes of a checkpoint → {key: array} as PyTorch has it; bfloat16 as float32."""
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return as_arrays(loaded)


def as_arrays(state):
    tensors = {key: value.detach() for key, value in state.items()}
    return {key: (value.float() if value.dtype == torch.bfloat16 else value).numpy() for key, value in tensors.items()}


def ours(data, **options):
    return pytorch.read(io.BytesIO(data), len(data), **options)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for key, x in expected.items():
        y = found[key]
        assert isinstance(y, np.ndarray) and (y.dtype, y.shape) == (x.dtype, x.shape), key
        assert y.flags.c_contiguous and y.flags.aligned and y.flags.writeable, key
        assert y.tobytes() == x.tobytes(), key


def save(state, container, **options):
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=container == "zip", **options)
    return file.getvalue()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("state", STATE_DICTS.values(), ids=STATE_DICTS)
def test_state_dict(state, container):
    data = save(state(), container)
    read = ours(data)
    assert_same(read.tensors, pytorch_reads(data))
    assert read.container == {"zip": "PyTorch zip", "legacy": "PyTorch legacy stream"}[container]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocol(protocol, container):
    state = {"state_dict": OrderedDict(vgg().state_dict()), "arch": "vgg11", "best": 0.75, "epoch": 90, "big": 1 << 40,
             "options": argparse.Namespace(lr=0.1, layers={1, 2}), "raw": b"\x00\xff"}
    data = save(state, container, pickle_protocol=protocol)
    expected = torch.load(io.BytesIO(data), weights_only=False)["state_dict"]
    read = ours(data)
    assert_same(read.tensors, as_arrays(expected))
    assert read.nested_under == "state_dict" and read.metadata == {"arch": "vgg11"}
    assert any("argparse.Namespace" in remark for remark in read.remarks)


@pytest.mark.parametrize("container", CONTAINERS)
def test_tensors_do_not_share_memory(container):
    arrays = list(ours(save(tied() | flat_buffer(), container)).tensors.values())
    for number, x in enumerate(arrays):
        assert not any(np.shares_memory(x, y) for y in arrays[:number])


def test_sixteen_to_sixty_four_bits_without_sign():
    state = {str(dtype): torch.arange(6).to(dtype).view(2, 3) for dtype in (torch.uint16, torch.uint32, torch.uint64)}
    data = save(state, "zip")
    assert_same(ours(data).tensors, pytorch_reads(data))


def test_optimizer_and_history_are_left_out():
    net = vgg()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.classifier(random(2, 6)).sum().backward()
    optimizer.step()
    data = save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "acc": np.float64(71.5),
                 "mean": np.arange(3.0)}, "zip")
    read = ours(data)
    assert_same(read.tensors, as_arrays(net.state_dict()))
    assert read.nested_under == "model" and any("multiarray.scalar" in remark for remark in read.remarks)


def test_big_endian():
    """A file as PyTorch on a big-endian machine writes it: PyTorch swaps the elements, and so do we."""
    for dtype in ("f4", "f8", "f2", "i8", "i2", "u1"):
        x = np.arange(1, 7).astype(dtype).reshape(2, 3)
        program, storages = builder.state_dict({"w": x})
        pickled = builder.pickle(builder.resolve(program, "zip"))
        records = builder.records(pickled, {key: y.byteswap() for key, y in storages.items()})
        data = builder.archive(builder.changed(records, "byteorder", data=b"big"))
        assert_same(ours(data).tensors, {"w": x})
        assert_same(ours(data).tensors, pytorch_reads(data))


def test_checksums_that_pytorch_left_out():
    previous = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        data = save({"w": random(3, 2)}, "zip")
    finally:
        torch.serialization.set_crc32_options(previous)
    with pytest.raises(BadFileError, match="CRC-32 .*checksum=False"):
        ours(data)
    read = ours(data, checksum=False)
    assert_same(read.tensors, pytorch_reads(data))
    assert any("CRC-32" in remark for remark in read.remarks)


def test_records_without_zip64_or_descriptors_as_other_tools_write_them(tmp_path):
    import zipfile

    source = save(vgg().state_dict(), "zip")
    for force_zip64 in (False, True):
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(packed, "w") as new_archive:
            for name in old.namelist():
                with new_archive.open(name, "w", force_zip64=force_zip64) as record:
                    record.write(old.read(name))
        data = packed.getvalue()
        assert_same(ours(data).tensors, pytorch_reads(data))


VALUES = np.arange(6, dtype="f4")
PAIR = np.array([2.5, -1], "f4")

# Forms that PyTorch no longer writes but still reads.
OLD_FORMS = {
    "_rebuild_tensor": {"w": TensorCall(StorageId("0", 6), (2, 3), (3, 1), function="_rebuild_tensor", rest=())},
    "FloatTensor and BUILD": {"w": builder.old_tensor("0", (3, 2))},
    "storage on a graphics card": {"w": TensorCall(StorageId("0", 6, module="torch.cuda"), (6,), (1,))},
    "hooks are None": {"w": TensorCall(StorageId("0", 6), (2, 3), (3, 1), rest=(True, None))},
    "Parameter, BUILD of 5": {"w": builder.old_parameter("0", (2, 3))},
    "Parameter(data), BUILD of 3": {"w": Late(lambda at: build(
        new("torch.nn.parameter", "Parameter", tensor("0", (2, 3)).opcodes(at)), (True, False, builder.EMPTY)))},
    "_rebuild_parameter": {"w": Late(lambda at: call("torch._utils", "_rebuild_parameter",
                                                     tensor("0", (6,)).opcodes(at), True, builder.EMPTY))},
    "sizes as torch.Size": {"w": TensorCall(StorageId("0", 6), call("torch", "Size", (3, 2)), (2, 1))},
    "old name of a module": {"w": Late(lambda at: call(
        "torch._tensor", "_rebuild_from_type_v2", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nTensor\n",
        (StorageId("0", 6).opcodes(at), 0, (6,), (1,), False, builder.EMPTY), {"note": "x"}))},
    "strings of Python 2": {python2("w"): tensor("0", (2, 3))},
    "OrderedDict with _metadata": Late(lambda at: build(
        builder.EMPTY + set_items({"w": tensor("0", (2, 3)).opcodes(at)}), {"_metadata": {"": {"version": 1}}})),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("program", OLD_FORMS.values(), ids=OLD_FORMS)
def test_old_form(program, container):
    data = builder.write(container, program, {"0": VALUES})
    expected = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    found = ours(data).tensors
    assert_same(found, {key: value.detach().numpy() for key, value in expected.items()})
    assert found["w"].ravel().tolist() == VALUES.tolist()


def test_views_of_a_storage_in_a_legacy_stream():
    program = {"all": tensor("10", (2, 3)),
               "part": tensor("10", (2,), numel=6, view=("11", 3, 2)),
               "same part": tensor("10", (1,), numel=6, view=("11", 3, 2), offset=1),
               "to the end": tensor("10", (3,), numel=6, view=("12", 3, 3))}
    data = builder.write("legacy", program, {"10": VALUES})
    assert_same(ours(data).tensors, pytorch_reads(data))
    assert ours(data).tensors["same part"].tolist() == [4.0]


def test_python_2_gave_ordered_dictionaries_a_list():
    items = [["a", tensor("0", (2, 3)).opcodes("legacy")], ["b", tensor("1", (2,)).opcodes("legacy")]]
    data = builder.write("legacy", call("collections", "OrderedDict", items), {"0": VALUES, "1": PAIR})
    expected = torch.load(io.BytesIO(data), weights_only=False)
    assert_same(ours(data).tensors, as_arrays(expected))


@pytest.mark.parametrize("state, text", {
    "complex": ({"w": torch.zeros(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
    "negative bit": ({"w": torch._neg_view(torch.ones(3))}, "negative bit"),
    "float8": ({"w": torch.ones(3).to(torch.float8_e4m3fn)}, "float8_e4m3fn"),
    "meta": ({"w": torch.ones(3, device="meta")}, "keeps shapes and no numbers"),
    "compiled": (torch.compile(torch.nn.Linear(2, 2)), "torch.compile wrapped it"),
}.values(), ids=["complex", "negative bit", "float8", "meta", "compiled"])
def test_what_no_vgg_has_is_not_supported(state, text):
    with pytest.raises(UnsupportedError, match=text):
        ours(save(state, "zip"))


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_whole_model_gives_its_state_dict(container, recwarn):
    model = vgg()
    found = ours(save(model, container))
    assert_same(found.tensors, as_arrays(model.state_dict()))
    assert found.stated == {"padding_mode": "zeros", "has_lrn": False, "eps": 1e-5, "head": "flatten 5",
                            "order": ["conv1_1", "bn1_1", "relu1_1"],
                            "places": {"features.0": "conv1_1", "features.1": "bn1_1", "classifier": "fc6"},
                            "without_bias": []}
    sentence = "it holds a whole torch.nn.modules.container.Sequential, whose modules were read"
    assert any(sentence in remark for remark in found.remarks)


def test_torchscript_is_not_supported(tmp_path):
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "net.pt")
    with pytest.raises(UnsupportedError, match="TorchScript"):
        formats.read(tmp_path / "net.pt")


def test_broadcast_tensor_is_refused():
    """PyTorch keeps `expand`: four bytes can claim to be any number of elements."""
    with pytest.raises(BadFileError, match=r"size \(1000, 1000\) and stride \(0, 0\)"):
        ours(save({"w": torch.ones(1).expand(1000, 1000)}, "zip"))


def test_sparse_tensor_is_refused():
    with pytest.raises(BadFileError, match="'w' is a torch._utils._rebuild_sparse_tensor, not a tensor"):
        ours(save({"b": torch.ones(2), "w": torch.ones(2, 2).to_sparse()}, "zip"))


@pytest.mark.parametrize("protocol", [0, 1])
def test_text_protocols_are_not_supported(protocol):
    with pytest.raises(UnsupportedError, match="protocol 0 or 1"):
        ours(save({"w": torch.ones(2)}, "legacy", pickle_protocol=protocol))


def test_mutants_that_both_accept_are_the_same():
    """Whatever we accept, PyTorch refuses for its own reasons (a class it does not know) or reads the same."""
    both = 0
    for data, _ in itertools.islice(mutants(random_numbers.Random(17)), 3000):
        try:
            found = ours(data)
        except NpvggError:
            continue
        try:
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception:
            continue
        state = loaded if found.nested_under is None else loaded[found.nested_under]
        assert_same(found.tensors, as_arrays({key: state[key] for key in found.tensors}))
        both += 1
    assert both > 50
