"""What calls come to: ordered dictionaries in each of their forms, and the limits on how much a file may ask for."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import call, opcodes, set_items
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError
from weights_convert.formats.pytorch import objects, storages

ONE = {"0": np.ones(1, "f4")}
W = tensor("0", (1,))


def ordered(*args):
    return call("collections", "OrderedDict", *args)


@pytest.mark.parametrize("container", CONTAINERS)
def test_ordered_dictionary(container):
    weight = W.opcodes(container)
    for program in (ordered() + set_items({"w": weight}), ordered([["w", weight]]), ordered([("w", weight), (5, None)]),
                    ordered([["w", None], ["w", weight]])):
        assert list(read(builder.write(container, program, ONE)).tensors) == ["w"]


@pytest.mark.parametrize("args", [
    (5,), ("ab",), ((("w", 1),),), ({"w": 1},), ([5],), (["wx"],), ([["w"]],), ([["w", 1, 2]],), ([], []),
    ([["w", 1]], 5),
], ids=repr)
def test_ordered_dictionary_of_something_else_is_refused(args):
    message = refusal(builder.write("zip", {"x": ordered(*args)}, {}), BadFileError)
    assert "ordered dictionary that cannot be read" in message


@pytest.mark.parametrize("container", CONTAINERS)
def test_items_of_all_ordered_dictionaries_are_counted(container, monkeypatch):
    monkeypatch.setattr(objects, "MOST_PAIRS", 6)
    pairs = [["a", 1], ["b", 2], ["c", 3]]
    program = {"state_dict": {"w": W}, "x": [ordered(pairs), ordered(pairs)]}
    assert read(builder.write(container, program, ONE)).tensors
    program["x"].append(ordered([["d", 4]]))
    assert "more than 6 items" in refusal(builder.write(container, program, ONE))


def test_names_are_counted_once(monkeypatch):
    monkeypatch.setattr(objects, "MOST_NAMES", 5)             # the tensor's three: rebuild, storage class, OrderedDict
    program = {"w": W, "x": {str(n): [call("my", f"C{n % 2}")] for n in range(9)}}
    assert read(builder.write("zip", program, ONE)).tensors
    program["y"] = [call("my", "C2")]
    assert "mentions more than 5" in refusal(builder.write("zip", program, ONE))


@pytest.mark.parametrize("container", CONTAINERS)
def test_storages_are_counted_once(container, monkeypatch):
    monkeypatch.setattr(storages, "MOST_STORAGES", 3)
    program = {f"w{n}": tensor(str(n % 3), (1,)) for n in range(9)}
    data = {str(n): np.ones(1, "f4") for n in range(3)}
    assert len(read(builder.write(container, program, data)).tensors) == 9
    program["x"], data["3"] = tensor("3", (1,)), np.ones(1, "f4")
    assert "more than 3 storages" in refusal(builder.write(container, program, data))


def test_size_is_a_tuple_by_another_name():
    sized = builder.TensorCall(builder.StorageId("0", 1), call("torch", "Size", (1, 1)), call("torch", "Size", (1, 1)))
    assert read(builder.write("zip", {"w": sized}, ONE)).tensors["w"].shape == (1, 1)
    for args in (), ([1],), ((1,), 2), (1,):
        bad = call("torch", "Size", *args)
        program = {"w": builder.TensorCall(builder.StorageId("0", 1), bad, opcodes((1,)))}
        assert "no shape" in refusal(builder.write("zip", program, ONE))
