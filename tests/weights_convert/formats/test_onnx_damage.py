"""ONNX files that are damaged or hostile, and side files that are: one sentence each, and nothing written."""
import io
import os
import random
import re
import time

import numpy as np
import pytest
from witnesses.audit import watching
from witnesses.networks import lively

from npvgg.errors import BadFileError, NpvggError, StorageError
from weights_convert import convert, formats
from weights_convert.formats import onnx as reader
from weights_convert.formats.onnx import constants, side_file

onnx = pytest.importorskip("onnx")
graphs = pytest.importorskip("witnesses.onnx_graphs")

SMALL = {"width": 1 / 64, "hidden": (4,), "num_classes": 3, "input_size": 32, "pooled_size": 1}


def whole():
    return graphs.timm(lively("vgg11", **SMALL))


def refusal(model, error=NpvggError):
    """The sentence with which a ModelProto, or bytes, are refused."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(error) as caught:
        found = reader.read(io.BytesIO(data), len(data))
        convert.understood(found.tensors, stated=found.stated)
    message = str(caught.value)
    assert message.isprintable() and 10 < len(message) < 500, message
    return message


def first(model):
    return model.graph.initializer[0]


def both_kinds(model):
    first(model).float_data.append(1)


def another_list(model):
    first(model).ClearField("raw_data")
    first(model).double_data.extend([0.0] * 27)


def too_few(model):
    first(model).raw_data = first(model).raw_data[:-4]


def odd_bytes(model):
    first(model).raw_data += b"\0"


def no_numbers(model):
    first(model).ClearField("raw_data")


def negative_side(model):
    first(model).dims[:] = [-1, 3, 3, 3]


def overflowing(model):
    first(model).dims[:] = [1 << 62, 4, 3, 3]


def many_dimensions(model):
    first(model).dims[:] = [1] * 40


def two_initialisers(model):
    model.graph.initializer.append(first(model))


def initialiser_and_output(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, "f4"), model.graph.node[0].output[0]))


def two_makers(model):
    model.graph.node.append(onnx.helper.make_node("Relu", ["input"], [model.graph.node[3].output[0]]))


def circle(model):
    model.graph.node[0].input[0] = model.graph.node[4].output[0]


def circle_of_constants(model):
    name = first(model).name
    model.graph.initializer.remove(first(model))
    model.graph.node.append(onnx.helper.make_node("Identity", ["other"], [name]))
    model.graph.node.append(onnx.helper.make_node("Identity", [name], ["other"]))


def deep_constants(model):
    tensor = first(model)
    name, tensor.name = tensor.name, "0"
    for at in range(5000):
        model.graph.node.append(onnx.helper.make_node("Identity", [str(at)], [str(at + 1) if at < 4999 else name]))


def nothing_makes_it(model):
    model.graph.node[0].output[0] = "elsewhere"


def sizes_made_of_sizes(model):
    """Each joins the one before three times over: 3⁶⁰ calls for a reader that follows them all."""
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Reshape"
    del flatten.attribute[:]
    flatten.input.append("60")
    model.graph.node.append(onnx.helper.make_node("Shape", ["input"], ["0"]))
    for at in range(60):
        model.graph.node.append(onnx.helper.make_node("Concat", [str(at)] * 3, [str(at + 1)], axis=0))


def huge_fill(model):
    name = first(model).name
    model.graph.initializer.remove(first(model))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 << 40]), "shape"))
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["shape"], [name]))


def attribute_twice(model):
    model.graph.node[0].attribute.append(model.graph.node[0].attribute[0])


def attribute_of_another_kind(model):
    del model.graph.node[0].attribute[:]
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("pads", 1.5))


def permutation_of_nothing(model):
    name = first(model).name
    first(model).name = "first"
    model.graph.node.append(onnx.helper.make_node("Transpose", ["first"], [name], perm=[0, 0, 7]))


def constant_without_a_value(model):
    name = first(model).name
    model.graph.initializer.remove(first(model))
    model.graph.node.append(onnx.helper.make_node("Constant", [], [name]))


def no_outputs(model):
    del model.graph.output[:]


def no_graph(model):
    model.ClearField("graph")


def names_that_are_no_text(model):
    """onnx's own classes refuse to hold such a name, but not to read it."""
    data = model.SerializeToString()
    model.ParseFromString(data.replace(b"Gemm", b"\xffemm"))


def text_as_numbers(model):
    first(model).data_type = onnx.TensorProto.STRING


def control_characters(model):
    model.graph.node[3].op_type = "\x1b[2J\n" + "x" * 5000
    model.graph.node[3].name = "\r\n\x07" * 900


def list_that_does_not_fit(model):
    first(model).data_type = onnx.TensorProto.FLOAT16
    first(model).ClearField("raw_data")
    first(model).int32_data.extend([70_000] * 27)


HOSTILE = [both_kinds, another_list, too_few, odd_bytes, no_numbers, negative_side, overflowing, many_dimensions,
           two_initialisers, initialiser_and_output, two_makers, circle, circle_of_constants, deep_constants, nothing_makes_it,
           sizes_made_of_sizes, huge_fill, attribute_twice, attribute_of_another_kind, permutation_of_nothing,
           constant_without_a_value, no_outputs, no_graph, names_that_are_no_text, text_as_numbers, control_characters,
           list_that_does_not_fit]


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_hostile_graphs_are_refused_in_one_sentence(change):
    model = whole()
    change(model)
    refusal(model)


@pytest.mark.parametrize("data", [
    b"\x08\x07\x12\x07pytor", b"\x08\x07\x3a\xff\xff\xff\xff\x7f", b"\x08\x07\x3a" + b"\xff" * 12, b"\x08\x07\x12\x01x\x13",
    b"\x08\x07\x3a\x04\x0a\x02\x22\x7f", b"\x08\x07\x12\x02\xff\xfe", b"\x08\x07\x3a\x80\x80\x01" + b"\x0a\x05\x22\x03" * 4096,
], ids=["cut", "length", "endless", "group", "inner length", "no text", "rubbish"])
def test_rubbish_is_refused_in_one_sentence(data):
    assert reader.is_one(data)
    refusal(data)


def test_deep_messages_end():
    """A type may hold a type: sequence of sequence of …"""
    inner = b""
    for _ in range(3000):
        inner = b"\x22" + varint(len(inner) + 1 + len(varint(len(inner)))) + b"\x0a" + varint(len(inner)) + inner
    value = b"\x12" + varint(len(inner)) + inner
    graph = b"\x5a" + varint(len(value)) + value
    refusal(b"\x08\x07\x3a" + varint(len(graph)) + graph, BadFileError)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def test_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(reader, "MOST_NODES", 10)
    assert re.search(r"it has \d+ nodes", refusal(whole(), BadFileError))


def test_constants_out_of_nothing_are_refused(monkeypatch):
    """Many casts of one tensor, and many fills, would need more memory than any file is worth."""
    model = whole()
    tensor = first(model)
    name, tensor.name = tensor.name, "0"
    for at in range(20):
        model.graph.node.append(onnx.helper.make_node("Cast", [str(at)], [str(at + 1) if at < 19 else name], to=1))
    monkeypatch.setattr(constants, "ROOM", 0)
    monkeypatch.setattr(constants, "MOST_MADE", 0)
    assert "bytes of constants from" in refusal(model, BadFileError)


# ------------------------------------------------------------------------------------------------- side files


def beside(folder, **place):
    """Write a model whose first tensor is in the side file weights.bin, described by `place` → the model's path."""
    model = whole()
    tensor = first(model)
    (folder / "weights.bin").write_bytes(bytes(12) + tensor.raw_data)
    place = {"location": "weights.bin", "offset": "12", "length": str(len(tensor.raw_data))} | place
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in place.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def side_refusal(path, error=BadFileError):
    with pytest.raises(error) as caught:
        convert.convert(path, path.parent / "out.h5")
    message = str(caught.value)
    assert message.isprintable() and len(message) < 600 and not (path.parent / "out.h5").exists()
    return message


def test_a_side_file_is_read_and_its_digest_told(tmp_path):
    vgg = lively("vgg11", **SMALL)
    for place in ({}, {"length": None}, {"checksum": "0" * 40}):
        found = formats.read(beside(tmp_path, **place))
        assert np.array_equal(found.tensors["conv1_1.W"], vgg.parameters["conv1_1/weight"])
        assert any("'weights.bin' beside it has the SHA-256" in remark for remark in found.remarks)


ELSEWHERE = "from the folder of its model"


@pytest.mark.parametrize("place, text", [
    ({"location": "../weights.bin"}, ELSEWHERE),
    ({"location": "a/../weights.bin"}, ELSEWHERE), ({"location": "/etc/passwd"}, ELSEWHERE),
    ({"location": ".."}, ELSEWHERE), ({"location": ""}, ELSEWHERE), ({"location": None}, ELSEWHERE),
    ({"location": "..\\weights.bin"}, ELSEWHERE), ({"location": "C:weights.bin"}, ELSEWHERE),
    ({"location": "weights.bin\0"}, ELSEWHERE), ({"location": "x" * 5000}, ELSEWHERE),
    ({"offset": "13"}, r"weights.bin: .* ends at byte \d+ of \d+"), ({"offset": "-4"}, "offset and length say '-4'"),
    ({"length": "4"}, "needs .* bytes of its side file"), ({"length": "-1"}, "needs .* bytes"),
    ({"offset": "1e1"}, "offset and length"), ({"offset": "9" * 30}, "offset and length"),
    ({"offset": "²"}, "offset and length"),
    ({"__class__": "x"}, "describes its side file"), ({"location": "missing.bin"}, "missing.bin: it cannot be read"),
], ids=str)
def test_places_that_lead_elsewhere_are_refused(tmp_path, place, text):
    assert re.search(text, side_refusal(beside(tmp_path, **place), (BadFileError, StorageError)))


def moved(folder, place):
    """A model whose side file lies in `place`."""
    path = beside(folder, location=f"{place}/weights.bin")
    (folder / place).mkdir(parents=True)
    (folder / "weights.bin").rename(folder / place / "weights.bin")
    return path


def test_a_side_file_in_a_folder_inside_is_read(tmp_path):
    path = moved(tmp_path, "weights/of it")
    vgg = lively("vgg11", **SMALL)
    assert np.array_equal(formats.read(path).tensors["conv1_1.W"], vgg.parameters["conv1_1/weight"])


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_a_folder_inside_that_is_a_link_is_refused(tmp_path):
    path = moved(tmp_path, "weights")
    (tmp_path / "weights").rename(tmp_path / "elsewhere")
    (tmp_path / "weights").symlink_to(tmp_path / "elsewhere")
    assert "weights: it is a link" in side_refusal(path)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("kind, text", [("symlink", "it is a link"), ("hard link", "it is a link, or has another name"),
                                        ("folder", "it is a folder"), ("pipe", "it is a pipe"), ("broken", "it is a link")])
def test_side_files_that_are_no_files_are_refused(tmp_path, kind, text):
    path = beside(tmp_path)
    side, secret = tmp_path / "weights.bin", tmp_path / "secret"
    side.rename(secret)
    if kind == "symlink":
        side.symlink_to(secret)
    elif kind == "broken":
        side.symlink_to(tmp_path / "nowhere")
    elif kind == "hard link":
        os.link(secret, side)
    elif kind == "folder":
        side.mkdir()
    else:
        os.mkfifo(side)
    message = side_refusal(path)
    assert message.startswith(f"{path}: {side}: ") and text in message


def test_two_places_for_the_same_tensor_are_refused(tmp_path):
    path = beside(tmp_path)
    model = onnx.load(path, load_external_data=False)
    first(model).raw_data = b"1234"
    path.write_bytes(model.SerializeToString())
    assert "in several places" in side_refusal(path)
    model = onnx.load(path, load_external_data=False)
    first(model).ClearField("raw_data")
    first(model).external_data.add(key="location", value="weights.bin")
    path.write_bytes(model.SerializeToString())
    assert "describes its side file" in side_refusal(path)


def test_a_side_file_that_is_used_too_often_is_refused(tmp_path, monkeypatch):
    path = beside(tmp_path)
    monkeypatch.setattr(side_file, "ROOM", -2 * (tmp_path / "weights.bin").stat().st_size)
    assert "are used for" in side_refusal(path)


def test_nothing_but_the_side_file_is_opened(tmp_path):
    path = beside(tmp_path)
    formats.read(path)                                            # imports are done
    with watching(path, tmp_path / "weights.bin") as seen:
        formats.read(path)
    assert not seen, seen


def test_every_truncation_and_many_mutants_are_refused_or_read():
    """The format has no checksum, so numbers may differ; but nothing escapes."""
    model, rng = whole(), random.Random(4)
    for tensor in list(model.graph.initializer)[1:]:
        tensor.raw_data = tensor.raw_data if len(tensor.raw_data) < 100 else bytes(len(tensor.raw_data))
    seed = model.SerializeToString()
    places = interesting(seed)
    until, count = time.monotonic() + float(os.environ.get("NPVGG_FUZZ_SECONDS", 3)), 0
    while time.monotonic() < until:
        data = bytearray(seed)
        for _ in range(rng.choice([1, 1, 2, 9])):
            data[rng.choice(places)] = rng.choice([0, 1, 255, 128, 127, rng.randrange(256)])
        data = bytes(data[:rng.randrange(len(data))] if rng.random() < 0.1 else data)
        count += 1
        try:
            found = reader.read(io.BytesIO(data), len(data))
            convert.understood(found.tensors, stated=found.stated)
        except NpvggError as error:
            assert str(error).isprintable() and len(str(error)) < 1500
    assert count > 10


def interesting(data):
    """The places of all bytes but those in long runs of zeros: the graph, and few of the numbers."""
    return [at for at in range(len(data)) if any(data[max(0, at - 4):at + 4])]
