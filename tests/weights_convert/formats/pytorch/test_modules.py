"""Networks that were pickled as a whole, written here opcode by opcode."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.checkpoint_builder import CONTAINERS, tensor
from witnesses.pickle_builder import build, new, opcodes
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, UnsupportedError

NUMBERS = {"0": np.arange(6, dtype="f4")}


def module(name, parameters=(), modules=(), **attributes):
    """The opcodes of a pickled torch.nn.Module."""
    package, _, cls = name.rpartition(".")
    state = {"_parameters": dict(parameters), "_buffers": {}, "_modules": dict(modules), "training": True} | attributes
    return build(new(package, cls), state)


def file(program, container="zip"):
    pickled = opcodes(builder.resolve(program, container))
    return builder.write(container, pickled, NUMBERS if b"FloatStorage" in pickled else {})


def weight(container="zip"):
    return tensor("0", (2, 3)).opcodes(container)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_names_of_attributes_become_keys(container):
    inner = module("torch.nn.modules.linear.Linear", {"weight": weight(container), "bias": None})
    found = read(file(module("my.Net", modules={"a": module("my.Block", modules={"fc": inner}), "none": None}), container))
    assert list(found.tensors) == ["a.fc.weight"] and found.stated == {"has_lrn": False}


def test_an_object_without_the_attributes_of_a_module_is_none():
    program = build(new("my", "Net"), {"weight": weight()})
    assert "a whole my.Net, not a state dict" in refusal(file(program), UnsupportedError)


def test_reflecting_and_plain_convolutions_together_are_not_supported():
    def conv(mode):
        return module("torch.nn.modules.conv.Conv2d", {"weight": weight()}, kernel_size=(3, 3), padding_mode=mode)

    program = module("my.Net", modules={"a": conv("zeros"), "b": conv("reflect")})
    assert "modules 'a' and 'b' have the padding_mode zeros and reflect" in refusal(file(program), UnsupportedError)


@pytest.mark.parametrize("name, words", [
    ("torch.nn.modules.activation.LeakyReLU", "a LeakyReLU"), ("torch.nn.modules.activation.ReLU6", "a ReLU6"),
    ("my.Flatten", "a my.Flatten"), ("torch.nn.modules.conv.ConvTranspose2d", "a ConvTranspose2d"),
    ("torch.ao.nn.quantized.Linear", "a torch.ao.nn.quantized.Linear"), ("my.ReLU", "a my.ReLU")])
def test_only_what_is_known_is_read(name, words):
    message = refusal(file(module("my.Net", modules={"a": module(name)})), UnsupportedError)
    assert f"its module 'a' is {words}, which npvgg has not" in message


def test_a_forward_that_was_replaced_is_refused():
    relu = module("torch.nn.modules.activation.ReLU", forward=b"cmy\nforward\n")
    assert "'a' has a forward of its own" in refusal(file(module("my.Net", modules={"a": relu})), UnsupportedError)


@pytest.mark.parametrize("name", ["_forward_hooks", "_forward_pre_hooks"])
def test_hooks_are_refused(name):
    hooks = b"}K\x00" + b"cmy\nhook\n" + b"s"
    relu = module("torch.nn.modules.activation.ReLU", **{name: hooks})
    assert "'a' has hooks of its own" in refusal(file(module("my.Net", modules={"a": relu})), UnsupportedError)
    plain = module("torch.nn.modules.activation.ReLU", **{name: {}, "_backward_hooks": hooks})
    assert read(file(module("my.Net", {"w": weight()}, {"a": plain}))).tensors


def test_modules_without_end_are_refused():
    """Module number 0 is put into the memo, and into its own _modules."""
    program = build(new("my", "Net") + b"q\x00", {"_parameters": {}, "_modules": {"again": b"h\x00"}})
    assert "in each other without end" in refusal(file(program), BadFileError)


def test_very_many_modules_are_refused():
    """Sixteen levels of nine names for the next level would be 9¹⁶ modules."""
    program = module("my.Leaf")
    for _ in range(12):
        program = module("my.Net", modules={"0": program + b"q\x00", **{str(n): b"h\x00" for n in range(1, 9)}})
    assert "in each other without end" in refusal(file(program), BadFileError)


@pytest.mark.parametrize("attributes", [{"stride": 2}, {"stride": "a"}, {"stride": [1, 1]}, {"groups": None},
                                        {"padding": (0, 1)}, {"padding": {"a": 1}}, {"kernel_size": (3, 5)}], ids=str)
def test_attributes_that_no_vgg_has_are_named(attributes):
    state = {"kernel_size": (3, 3), "padding": (1, 1), "padding_mode": "zeros"} | attributes
    conv = module("torch.nn.modules.conv.Conv2d", {"weight": weight()}, **state)
    (name,) = attributes
    assert f"'c' is a Conv2d with {name} " in refusal(file(module("my.Net", modules={"c": conv})), UnsupportedError)


def test_the_epsilon_of_batch_norm_is_read():
    def norm(kind, **attributes):
        return module(f"torch.nn.modules.batchnorm.BatchNorm{kind}", {"weight": weight()}, **attributes)

    found = read(file(module("my.Net", modules={"a": norm("2d", eps=1e-3), "b": norm("1d", eps=1e-3)})))
    assert found.stated == {"has_lrn": False, "eps": 1e-3}
    two = module("my.Net", modules={"a": norm("2d", eps=1e-3), "b": norm("1d")})
    assert "'a' and 'b' have the eps 0.001 and 1e-05" in refusal(file(two), UnsupportedError)
    for value in (2.0, -1e-5, "small", True):
        program = module("my.Net", modules={"a": norm("1d", eps=value)})
        assert "is a batch norm with eps " in refusal(file(program), UnsupportedError)
