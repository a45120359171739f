"""Parameters are checked once, in a sentence that names the first wrong one, and nobody can write them afterwards."""
import ctypes
import warnings

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import weights
from npvgg.errors import ShapeError, UsageError
from npvgg.parameters import checked, is_sealed, sealed

SIZES = {"width": 1 / 16, "hidden": (24, 20), "num_classes": 5, "pooled_size": 2, "input_size": 64}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", **SIZES)


def unaligned(array):
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    result = buffer[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


WRONG = {
    "float16": ("fc7/weight", lambda w: w.astype(np.float16), r"fc7/weight is float16; convert it with .astype\(np.float32\)$"),
    "whole numbers": ("conv1_1/bias", lambda w: w.astype(np.int64), "conv1_1/bias is int64; convert it"),
    "another dtype": ("fc7/weight", lambda w: w.astype(np.float64),
                      "fc7/weight is float64 and conv1_1/weight float32; convert them to one dtype"),
    "byte order": ("fc7/bias", lambda w: w.astype(w.dtype.newbyteorder()),
                   r"fc7/bias is in the byte order of another machine \([<>]f4\); convert it"),
    "too short": ("fc6/bias", lambda w: w[:3], r"fc6/bias has shape \(3,\) instead of \(24,\); give one of that shape"),
    "one variance": ("bn3_1/var", lambda w: w[:1], r"bn3_1/var has shape \(1,\) instead of \(16,\)"),
    "transposed": ("fc6/weight", lambda w: w.T, r"fc6/weight has shape \(128, 24\) instead of \(24, 128\)"),
    "5×5 filters": ("conv2_1/weight", lambda w: np.zeros((*w.shape[:2], 5, 5), w.dtype), r"conv2_1/weight has shape \(8, 4, 5"),
    "Fortran order": ("fc6/weight", np.asfortranarray,
                      "fc6/weight is not contiguous in C order; copy it with np.ascontiguousarray$"),
    "every second": ("fc6/bias", lambda w: np.repeat(w, 2)[::2], "fc6/bias is not contiguous"),
    "unaligned": ("fc6/bias", unaligned, "fc6/bias begins at an address that is no multiple of 4; copy it with .copy"),
    "a list": ("fc8/bias", lambda w: w.tolist(), "fc8/bias is a list and no NumPy array; convert it"),
    "masked": ("fc8/bias", np.ma.array, "fc8/bias is a MaskedArray and no NumPy array"),
}


@pytest.mark.parametrize("path, change, sentence", WRONG.values(), ids=WRONG)
def test_one_wrong_parameter_is_named(vgg, path, change, sentence):
    with pytest.raises(ShapeError, match=f"^the parameters are not those of vgg11_bn: {sentence}"):
        checked(vgg.architecture, vgg.parameters | {path: change(vgg.parameters[path])})


def test_of_several_the_first_is_named_and_the_others_counted(vgg):
    wrong = vgg.parameters | {"fc7/bias": np.zeros(2, np.float32), "conv9_9/bias": np.zeros(2, np.float32)}
    del wrong["conv4_1/weight"]
    with pytest.raises(ShapeError, match=r"conv4_1/weight is missing \(and 2 more\); give an array of shape \(32, 16, 3, 3\)"):
        checked(vgg.architecture, wrong)
    with pytest.raises(ShapeError, match=r"vgg11_bn: 3 is none of them; leave it out$"):
        checked(vgg.architecture, vgg.parameters | {3: None})


@pytest.mark.parametrize("parameters", [None, [], "fc8"], ids=repr)
def test_something_else_than_a_mapping(vgg, parameters):
    with pytest.raises(UsageError, match="^the parameters are a .*; give {path: array}"):
        checked(vgg.architecture, parameters)


def test_they_come_in_the_order_of_the_layers_and_nothing_can_be_put_among_them(vgg):
    result = checked(vgg.architecture, {path: vgg.parameters[path] for path in reversed(vgg.parameters)})
    assert list(result) == list(vgg.architecture.parameters)
    with pytest.raises(TypeError):
        result["fc8/bias"] = np.zeros(5, np.float32)


def owner_locked(array):
    array = array.copy()
    array.flags.writeable = False
    return array, array


def view_locked(array):
    array = array.copy()
    view = array.view()
    view.flags.writeable = False
    return view, array


def in_a_bytearray(array):
    buffer = bytearray(array.tobytes())
    locked = np.frombuffer(buffer, array.dtype).reshape(array.shape)
    locked.flags.writeable = False
    return locked, np.frombuffer(buffer, array.dtype).reshape(array.shape)


def of_another_library(array):
    memory = (ctypes.c_float * array.size)(*array.ravel())

    class Foreign:
        __array_interface__ = {"shape": array.shape, "typestr": array.dtype.str, "version": 3,
                               "data": (ctypes.addressof(memory), True)}
        kept = memory

    return np.asarray(Foreign()), np.frombuffer(memory, array.dtype).reshape(array.shape)


def owner_and_view_locked(array):
    array = array.copy()
    view = array.view()
    array.flags.writeable = view.flags.writeable = False
    return view, array


def behind_a_locked_view(array):
    buffer = bytearray(array.tobytes())
    locked = np.frombuffer(memoryview(buffer).toreadonly(), array.dtype).reshape(array.shape)
    return locked, np.frombuffer(buffer, array.dtype).reshape(array.shape)


MAKERS = {"writeable": lambda array: (array.copy(),) * 2, "owner": owner_locked, "view": view_locked,
          "owner and view": owner_and_view_locked, "bytearray": in_a_bytearray, "view of a bytearray": behind_a_locked_view,
          "another library": of_another_library}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_somebody_can_still_write_is_copied(vgg, make):
    given, handle = make(vgg.parameters["fc8/weight"])
    other = vgg.with_parameters({"fc8/weight": given})
    assert not np.shares_memory(other.parameters["fc8/weight"], handle)
    handle.flags.writeable = True
    handle[...] = 7
    assert np.array_equal(other.parameters["fc8/weight"], vgg.parameters["fc8/weight"])


def test_a_file_that_is_no_weights_file_is_copied(vgg, tmp_path):
    np.save(tmp_path / "bias.npy", np.zeros(5, np.float32))
    other = vgg.with_parameters({"fc8/bias": np.load(tmp_path / "bias.npy", mmap_mode="r")})
    np.load(tmp_path / "bias.npy", mmap_mode="r+")[...] = 7
    assert not other.parameters["fc8/bias"].any()


def test_what_nobody_can_write_is_not_copied(vgg, tiny_file):
    fresh = {path: sealed(np.array(array)) for path, array in vgg.parameters.items()}
    for net, given in ((vgg.architecture, vgg.parameters), (vgg.architecture, fresh),
                       (weights.read(tiny_file).architecture, weights.read(tiny_file).parameters)):
        taken = checked(net, given)
        assert all(taken[path].ctypes.data == given[path].ctypes.data and is_sealed(given[path]) for path in given)
    constant = np.frombuffer(vgg.parameters["fc8/bias"].tobytes(), np.float32)
    assert vgg.with_parameters({"fc8/bias": constant}).parameters["fc8/bias"].ctypes.data == constant.ctypes.data


def test_nobody_can_write_a_parameter(vgg, tiny, tiny_file):
    from npvgg import network

    for subject in (vgg, tiny, network.load_file(tiny_file), tiny.using(dtype=np.float64)):
        for array in subject.parameters.values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            with pytest.raises(ValueError, match="read-only"):
                array += 1
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                array.flags.writeable = True
            if isinstance(array.base, np.ndarray):
                with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                    array.base.flags.writeable = True


def test_sealing_locks_what_an_array_is_a_view_of():
    base = np.zeros((3, 4))
    view = sealed(base[1:])
    assert not base.flags.writeable and is_sealed(view) and np.shares_memory(base, view)


def test_a_view_that_is_changed_changes_no_other(tiny):
    name = "conv1_1/weight"
    before, shape = tiny.parameters[name].copy(), tiny.parameters[name].shape
    view = tiny.parameters[name]
    assert not view.flags.writeable and is_sealed(view)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)      # NumPy's, of setting them
        view.shape, view.dtype = (-1,), np.int32
    assert tiny.parameters[name].shape == shape and np.array_equal(tiny.parameters[name], before)
    with pytest.raises(TypeError):
        tiny.parameters[name] = before
