"""Where the state dict is, and what is reported of the rest."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import call, new, opcodes, python2
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert.formats.pytorch import state_dict

STORAGES = {"0": np.arange(6, dtype="f4")}
W, SCALAR = tensor("0", (2, 3)), tensor("0", (), numel=6)


def file(program, container="zip"):
    pickled = opcodes(builder.resolve(program, container))
    return builder.write(container, pickled, STORAGES if b"FloatStorage" in pickled else {})


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", state_dict.USUAL)
def test_usual_name(name, container):
    found = read(file({"epoch": 3, name: {"w": W}, "best_acc1": SCALAR, "optimizer": {"state": {}}}, container))
    assert found.nested_under == name and list(found.tensors) == ["w"]
    assert any(repr(name) in remark for remark in found.remarks)
    assert "not read: 'best_acc1', 'optimizer'" in found.remarks


def test_bare_state_dict():
    found = read(file({"a": W, "b": W}))
    assert found.nested_under is None and list(found.tensors) == ["a", "b"] and found.metadata == {}


def test_module_is_a_key_like_any_other():
    assert list(read(file({"module.features.0.weight": W})).tensors) == ["module.features.0.weight"]


@pytest.mark.parametrize("program, listed", {
    "two networks": ({"model": {"w": W}, "net": {"w": W}}, "'model', 'net'"),
    "two averages": ({"ema": {"w": W}, "model_ema": {"w": W}}, "'ema', 'model_ema'"),
    "two usual names and top level": ({"net": {"w": W}, "params": {"w": W}, "x": W}, "'', 'net', 'params'"),
    "an unusual name": ({"epoch": 1, "generator": {"w": W}}, "'generator'"),
}.values(), ids=["two networks", "two averages", "two usual names and top level", "an unusual name"])
def test_several_candidates_are_listed(program, listed):
    message = refusal(file(program), UsageError)
    assert listed in message and "--key" in message


@pytest.mark.parametrize("plain, averaged", [("model", "model_ema"), ("state_dict", "state_dict_ema"),
                                             ("state_dict", "ema_state_dict")])
def test_of_plain_and_averaged_weights_the_plain_ones_are_taken(plain, averaged):
    data = file({averaged: {"averaged": W}, plain: {"plain": W}})
    found = read(data)
    assert found.nested_under == plain and list(found.tensors) == ["plain"]
    assert f"the averaged weights under {averaged!r} were left alone (--key takes them)" in found.remarks
    assert list(read(data, key=averaged).tensors) == ["averaged"]


def test_key_chooses():
    data = file({"model": {"w": W}, "model_ema": {"v": W}, "generator": {"u": W}, "top": W})
    for key, name, under in (("model", "w", "model"), ("model_ema", "v", "model_ema"), ("generator", "u", "generator"),
                             ("", "top", None)):
        found = read(data, key=key)
        assert list(found.tensors) == [name] and found.nested_under == under
    for key in ("missing", "top", "model.w"):
        assert "'', 'model', 'model_ema', 'generator'" in refusal(data, UsageError, key=key)


def test_key_without_a_state_dict_at_the_top_level():
    assert "there is one under: 'model'" in refusal(file({"model": {"w": W}}), UsageError, key="")
    assert "no key at all" in refusal(file({"a": 1}), UsageError, key="model")


@pytest.mark.parametrize("program, text", {
    "a tensor": (W, "holds a tensor"), "a list": ([W], "holds a list"), "a number": (5, "holds a int"),
    "nothing": (None, "holds a nonetype"), "an empty dictionary": ({}, "no state dict"),
    "numbers": ({"epoch": 5, "loss": 0.5}, "'epoch': int, 'loss': float"),
    "other keys": (b"}K\x00" + W.opcodes("zip") + b"s", "no state dict"),
    "arrays of NumPy": ({"w": call("numpy.core.multiarray", "_reconstruct", 1)}, "arrays of NumPy ('w')"),
    "nested arrays": ({"model": {"w": call("numpy._core.multiarray", "_reconstruct", 1)}}, "np.savez"),
    "too deep": ({"checkpoint": {"model": {"w": W}}}, "'checkpoint': dict"),
    "the model as an object": ({"model": new("models.yolo", "Model")}, "'model': models.yolo.Model"),
}.values(), ids=lambda value: value if isinstance(value, str) else "")
def test_no_state_dict(program, text):
    assert text in refusal(file(program), BadFileError)


def test_whole_object_is_not_supported():
    assert "a whole my.Net" in refusal(file(new("my", "Net")), UnsupportedError)


@pytest.mark.parametrize("value, text", [(call("my", "Weight"), "my.Weight"), (W.storage.opcodes("zip"), "storage"),
                                         (b"cargparse\nNamespace\n", "argparse.Namespace")],
                         ids=["object", "storage", "name"])
def test_what_is_no_tensor_is_refused(value, text):
    message = refusal(file({"state_dict": {"a": W, "w": value}}), BadFileError)
    assert f"'w' is a {text}, not a tensor" in message


def test_plain_entries_are_left_out_with_a_word():
    remarks = read(file({"state_dict": {"a": W, "version": 2, "note": "x", "more": {"b": W}, "none": None}})).remarks
    assert "entries of the state dict that are no tensors were left out: 'version', 'note', 'more', …" in remarks


def test_keys_that_are_no_texts_are_refused_in_a_state_dict_only():
    numbered = b"}(K\x00N" + opcodes("w") + W.opcodes("zip") + b"u"
    assert "keys that are no texts" in refusal(file({"state_dict": numbered}), BadFileError)
    assert read(file({"state_dict": {"w": W}, "optimizer": b"}K\x00" + W.opcodes("zip") + b"s"})).tensors


@pytest.mark.parametrize("name", ["", "x" * 513, "a\nb", "a\x1b[31mb", "a\0", "a\u202eb"])
def test_keys_that_no_network_has_are_refused(name):
    assert "as no network has" in refusal(file({"a": W, name: W}))


def test_metadata():
    classes = ["ant", "bee", "größe"]
    found = read(file({"state_dict": {"w": W}, "arch": "vgg16", "classes": classes, "epoch": 5, "sizes": [1, 2],
                       "mixed": ["a", 1], python2("author"): python2("me"), "empty": [], "pair": ("a", "b")}))
    assert found.metadata == {"arch": "vgg16", "classes": tuple(classes), "author": "me", "pair": ("a", "b")}


@pytest.mark.parametrize("meta", [{"CLASSES": ("ant", "bee")}, {"dataset_meta": {"classes": ["ant", "bee"]}},
                                  {"dataset_meta": {"CLASSES": ["ant", "bee"], "palette": [1]}, "config": "model = 1"}])
def test_class_names_of_openmmlab(meta):
    assert read(file({"meta": meta, "state_dict": {"w": W}})).metadata == {"classes": ("ant", "bee")}


def test_metadata_beside_bare_tensors():
    found = read(file({"w": W, "arch": "vgg11", "meta": {"CLASSES": ["a"]}}))
    assert found.metadata == {"classes": ("a",), "arch": "vgg11"}
    assert found.remarks[-1] == "of 'meta' the class names were taken"


def test_metadata_stays_small():
    """One long list under a hundred thousand names is not copied a hundred thousand times."""
    many = b"".join(opcodes(f"k{n}") + b"h\x05" for n in range(50_000))
    program = b"}(" + opcodes("model") + opcodes({"w": W.opcodes("zip")}) + opcodes("long")
    program += opcodes(["x"] * 25_000) + b"q\x05" + many + b"u"
    assert len(read(file(program)).metadata) == state_dict.MOST_LISTS
    assert read(file({"w": W, "long": ["x"] * 25_001})).metadata == {}


def test_one_dictionary_under_many_names_is_looked_through_once():
    many = b"".join(opcodes(f"k{n}") + b"h\x05" for n in range(50_000))
    large = b"}(" + b"".join(opcodes(f"n{n}") + b"N" for n in range(50_000)) + b"uq\x05"
    program = b"}(" + opcodes("w") + W.opcodes("zip") + opcodes("large") + large + many + b"u"
    assert list(read(file(program)).tensors) == ["w"]
