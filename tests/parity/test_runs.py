"""A run comes from files of three kinds, dictionaries and lists, and what is none is refused in a sentence."""
import subprocess
import sys

import h5py
import numpy as np
import pytest

from npvgg import parity
from npvgg.errors import BadFileError, NpvggError, ShapeError, StorageError, UsageError
from npvgg.parity import runs, traces

ARRAYS = {"conv1_1": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), "fc8": np.ones((2, 4), np.float32)}


def file_of(kind, folder):
    """ARRAYS as a file of this kind."""
    path = folder / f"{kind}.h5"
    if kind == "trace":
        return traces.write(path, ARRAYS, architecture_json="", model_name="tiny", made_by="a test")
    if kind == "npz":
        np.savez(path.with_suffix(".npz"), **ARRAYS)
        return path.with_suffix(".npz")
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array
    return path


@pytest.mark.parametrize("kind", ["trace", "npz", "hdf5"])
@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: str(path).encode()], ids=["str", "Path", "bytes"])
def test_a_file_holds_what_was_written(tmp_path, kind, form):
    run = runs.opened(form(file_of(kind, tmp_path)), "A")
    assert list(run.arrays) == list(ARRAYS) and run.has_names and run.has_order == (kind != "hdf5")
    assert all(np.array_equal(run.arrays[name], array) for name, array in ARRAYS.items())
    assert kind in run.about


def test_every_form_compares_with_every_other(tmp_path):
    forms = [ARRAYS, *(file_of(kind, tmp_path) for kind in ("trace", "npz", "hdf5"))]
    for a in forms:
        for b in forms:
            assert parity.compare(a, b).as_dict()["verdict"] == "agree"
    assert parity.compare(traces.read(forms[1]), ARRAYS).a.endswith("tiny; a test")


def test_a_list_is_named_by_its_places():
    run = runs.opened(iter(ARRAYS.values()), "A")
    assert list(run.arrays) == ["1", "2"] and not run.has_names


def test_tensors_are_taken_as_arrays():
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in ARRAYS.items()}
    assert not parity.compare(tensors, ARRAYS).diverges
    with pytest.raises(ShapeError, match=r"^B's fc8 is a Tensor that NumPy cannot read .*tensor.float"):
        parity.compare(ARRAYS, {"fc8": torch.ones(2, 4, dtype=torch.bfloat16)})


@pytest.mark.parametrize("given, error, words", [
    (None, UsageError, "A is of type NoneType; give a file, a dictionary"),
    (5, UsageError, "A is of type int"),
    (np.zeros((2, 3)), UsageError, "A is of type ndarray"),
    ({}, UsageError, "A holds no array"),
    ([], UsageError, "A holds no array"),
    ({1: np.zeros((1, 2))}, UsageError, "A has an array called 1; give the names"),
    ([np.zeros((1, 2)), None], ShapeError, "A's 2 is object of shape"),
    ({"x": "text"}, ShapeError, "A's x is <U4 of shape"),
    ({"x": np.float32(1)}, ShapeError, "A's x is float32 of shape \\(\\)"),
    ({"x": np.zeros((0, 2))}, ShapeError, "A's x is float64 of shape \\(0, 2\\)"),
    ({"x": np.zeros((1, 2), complex)}, ShapeError, "A's x is complex128"),
    ({"x": [[1], [2, 3]]}, ShapeError, "A's x is a list that NumPy cannot read"),
    ("nowhere.npz", StorageError, "there is no file nowhere.npz"),
    ("", NpvggError, "^there is no file"),
    ("a\0b", UsageError, "is not a path"),
], ids=repr)
def test_what_is_no_run_is_one_sentence(given, error, words):
    with pytest.raises(error, match=words) as caught:
        parity.compare(given, ARRAYS)
    assert "\n" not in str(caught.value)


def test_a_trace_of_an_architecture_that_cannot_be_read_names_the_file(tmp_path):
    path = traces.write(tmp_path / "a.h5", ARRAYS, architecture_json="{}", model_name="", made_by="")
    with pytest.raises(BadFileError, match="^.*a.h5: the architecture '{}' cannot be read"):
        parity.compare(path, ARRAYS)


def test_hdf5_with_text_in_it_is_refused_for_what_it_is(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["conv1_1"], file["note"] = ARRAYS["conv1_1"], "text"
    with pytest.raises(BadFileError, match="a.h5: .* other than numbers at 'note'.*leave them out$"):
        parity.compare(tmp_path / "a.h5", ARRAYS)


def test_files_of_other_kinds_are_refused(tmp_path):
    for content in (b"PK\x03\x04 none", b"", b"{}", b"\x89HDF\r\n\x1a\n none"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(BadFileError) as caught:
            parity.compare(tmp_path / "a", ARRAYS)
        assert "\n" not in str(caught.value) and str(tmp_path / "a") in str(caught.value)


@pytest.mark.parametrize("network", ["vgg16", 5, {}], ids=repr)
def test_a_network_is_a_vgg(network):
    with pytest.raises(UsageError, match="network is of type .*; give a VGG"):
        parity.compare(ARRAYS, ARRAYS, network)


@pytest.mark.parametrize("tolerance", ["1e-4", True, [1]], ids=repr)
def test_a_tolerance_is_a_number(tolerance):
    with pytest.raises(UsageError, match="tolerance is"):
        parity.compare(ARRAYS, ARRAYS, tolerance=tolerance)


def test_torch_is_not_imported():
    code = "import sys, npvgg.parity; print('torch' in sys.modules, 'onnxruntime' in sys.modules, 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == ["False"] * 3
