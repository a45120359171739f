"""A trace comes back in the order of the run, bit for bit, and costs little until an array is asked for."""
import hashlib
import itertools
import json
import mmap

import h5py
import numpy as np
import pytest

from npvgg import parity
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, HashMismatchError, ShapeError, UnsupportedError, UsageError
from npvgg.parity import traces

ARCHITECTURE = architecture("vgg11", width=1 / 64).to_json()
RUN = {"architecture_json": ARCHITECTURE, "model_name": "vgg11", "made_by": "npvgg 0.1.0, jit tier, float32"}


def activations(images=3, dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = {"input": (3, 5, 7), "conv1_1": (4, 5, 7), "relu1_1": (4, 5, 7), "pool1": (4, 2, 3), "flatten": (24,),
              "fc6": (6,)}
    return {name: rng.standard_normal((images, *shape)).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path):
    return traces.write(tmp_path / "trace.h5", activations(), **RUN)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("images", [1, 3])
def test_arrays_come_back_bit_for_bit_in_the_order_of_the_run(tmp_path, images, dtype):
    arrays = activations(images, dtype)
    trace = traces.read(traces.write(tmp_path / "a.h5", arrays, **RUN))
    assert list(trace) == list(arrays)
    assert len(trace) == len(arrays)
    for name, array in trace.items():
        assert (array.dtype, array.shape, array.tobytes()) == (dtype, arrays[name].shape, arrays[name].tobytes())


@pytest.mark.parametrize("order", list(itertools.permutations("cab")), ids="".join)
def test_any_order_is_kept(tmp_path, order):
    arrays = {name: np.ones((1, 2), np.float32) for name in order}
    assert tuple(traces.read(traces.write(tmp_path / "a.h5", arrays, **RUN))) == order


def test_what_is_said_of_the_run_comes_back(path):
    trace = traces.read(path)
    assert (trace.architecture_json, trace.model_name, trace.made_by) == (ARCHITECTURE, "vgg11", RUN["made_by"])
    assert trace.dtype == "float32"
    assert trace.input_sha256 == hashlib.sha256(activations()["input"].tobytes()).hexdigest()
    assert trace.path == path
    assert trace.shapes["conv1_1"] == (3, 4, 5, 7)
    assert "vgg11" in repr(trace) and "\n" not in repr(trace)


def test_what_is_given_is_stored_instead_of_what_is_found(tmp_path):
    trace = traces.read(traces.write(tmp_path / "a.h5", activations(), **RUN, dtype="int8", input_sha256="0" * 64))
    assert (trace.dtype, trace.input_sha256) == ("int8", "0" * 64)


def test_without_an_input_no_digest_of_it_is_made_up(tmp_path):
    assert traces.read(traces.write(tmp_path / "a.h5", {"fc6": np.ones((1, 2))}, **RUN)).input_sha256 == ""


def test_nan_and_infinity_are_part_of_a_trace(tmp_path):
    array = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    assert traces.read(traces.write(tmp_path / "a.h5", {"fc6": array}, **RUN))["fc6"].tobytes() == array.tobytes()


def test_an_array_is_read_and_verified_only_when_it_is_asked_for(path, monkeypatch):
    verified = []
    verify = traces.hdf5_reading.Contents.verify
    monkeypatch.setattr(traces.hdf5_reading.Contents, "verify",
                        lambda contents, name: verified.append(name) or verify(contents, name))
    trace = traces.read(path)
    assert "conv1_1" in trace and "conv9_9" not in trace
    assert verified == []
    array = trace["conv1_1"]
    assert trace["conv1_1"].ctypes.data == array.ctypes.data
    assert verified == ["conv1_1"]
    assert isinstance(array.base, mmap.mmap) and not array.flags.writeable


def test_a_missing_layer_is_a_key_error_as_in_any_mapping(path):
    trace = traces.read(path)
    with pytest.raises(KeyError):
        trace["conv9_9"]
    assert trace.get("conv9_9") is None


def test_damage_is_found_in_the_array_where_it_is(path):
    with h5py.File(path) as file:
        offset = file["relu1_1"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(offset + 3)
        file.write(b"\x55")
    trace = traces.read(path)
    trace["conv1_1"]
    with pytest.raises(HashMismatchError, match="trace.h5: the bytes of relu1_1 differ from their recorded digest"):
        trace["relu1_1"]


@pytest.mark.parametrize("arrays, error, sentence", [
    ({}, ShapeError, "each of the same number of images, but there is no array"),
    ({"a": np.ones((1, 2)), "b": np.ones((2, 2))}, ShapeError, "but a holds 1, b holds 2"),
    ({"a": np.ones((1, 2), int)}, ShapeError, r"a is int64 of shape \(1, 2\); a trace holds float32 or float64"),
    ({"a": np.float32(1)}, ShapeError, r"a is float32 of shape \(\)"),
    ({"a": np.ones((1, 0))}, ShapeError, r"of shape \(1, 0\)"),
    ({"a/b": np.ones((1, 2))}, UsageError, "'a/b' cannot name an array of a trace"),
    ({".": np.ones((1, 2))}, UsageError, "'.' cannot name an array"),
    ({3: np.ones((1, 2))}, UsageError, "3 cannot name an array"),
], ids=["nothing", "counts", "integers", "scalar", "empty", "slash", "dot", "number"])
def test_what_is_no_trace_is_one_sentence(tmp_path, arrays, error, sentence):
    with pytest.raises(error, match=sentence):
        traces.write(tmp_path / "a.h5", arrays, **RUN)
    assert not list(tmp_path.iterdir())


def test_digests_are_those_of_files(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert traces.digests([tmp_path / "a", str(tmp_path / "a")]) == (digest, digest)
    assert traces.digests([tmp_path / "a", tmp_path / "b"]) == traces.digests([np.zeros(3)]) == traces.digests(["-"]) == ()
    written = traces.write(tmp_path / "t.h5", activations(1), **RUN, pictures_sha256=(digest,))
    assert traces.read(written).pictures_sha256 == (digest,)
    written = traces.write(tmp_path / "u.h5", activations(1), **RUN, pictures_sha256=(digest,) * (traces.MOST_PICTURES + 1))
    assert traces.read(written).pictures_sha256 == ()


@pytest.mark.parametrize("text", ["{}", "[1]", '["ab"]', "[", "null"])
def test_digests_that_are_none_are_refused(tmp_path, text):
    attributes = dict.fromkeys(traces.ATTRIBUTES[1:], "") | {"layers": '["a"]', "pictures_sha256": text}
    traces.hdf5_writing.write(tmp_path / "a.h5", traces.KIND, ONE, {"": attributes})
    with pytest.raises(BadFileError, match="pictures_sha256 does not list digests"):
        traces.read(tmp_path / "a.h5")


def test_an_existing_trace_is_kept_unless_forced(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="trace.h5 exists already"):
        traces.write(path, activations(1), **RUN)
    assert path.read_bytes() == before
    traces.write(path, activations(1), **RUN, force=True)
    assert traces.read(path).shapes["fc6"] == (1, 6)


def forged(path, layers, arrays):
    """A trace that the writer would not make: digests are right, the content is not."""
    attributes = dict.fromkeys(traces.ATTRIBUTES[1:], "") | {"layers": layers}
    traces.hdf5_writing.write(path, traces.KIND, arrays, {"": attributes})
    return path


ONE = {"a": np.ones((1, 2))}


@pytest.mark.parametrize("layers, arrays, sentence", [
    ("not JSON", ONE, "its attribute layers does not list names"),
    ("[" * 20_000, ONE, "its attribute layers does not list names"),
    ('{"a": 1}', ONE, "does not list names"),
    ("[]", {}, "does not list names"),
    ('["a", "a"]', ONE, "does not list names"),
    ('["a", 1]', ONE, "does not list names"),
    ('["a/../b"]', ONE, "does not list names"),
    ('["a", "b"]', ONE, "b is missing"),
    ('["a"]', ONE | {"b": np.ones((1, 2))}, "/ has 2 members instead of 1"),
    ('["a", "b"]', ONE | {"b": np.ones((2, 2))}, "its arrays do not hold numbers for one count of images"),
    ('["a"]', {"a": np.float64(1)}, "its arrays do not hold numbers for one count of images"),
    ('["a"]', {"a": np.array([b"text"])}, "its arrays do not hold numbers for one count of images"),
], ids=["no JSON", "deep JSON", "object", "no layer", "twice", "number", "path", "missing", "too many", "counts",
        "scalar", "text"])
def test_a_forged_trace_is_one_sentence(tmp_path, layers, arrays, sentence):
    with pytest.raises(BadFileError, match=sentence) as caught:
        traces.read(forged(tmp_path / "a.h5", layers, arrays))
    assert "\n" not in str(caught.value)


def test_other_attributes_are_refused(tmp_path):
    traces.hdf5_writing.write(tmp_path / "a.h5", traces.KIND, ONE, {"": {"layers": json.dumps(["a"])}})
    with pytest.raises(BadFileError, match="its attributes are not those of a trace"):
        traces.read(tmp_path / "a.h5")


def test_a_weights_file_is_no_trace_and_a_later_trace_wants_a_newer_npvgg(tmp_path, tiny_file, monkeypatch):
    with pytest.raises(BadFileError, match="is in the format 'npvgg weights 1', not \"npvgg trace 1\""):
        traces.read(tiny_file)
    with monkeypatch.context() as patch:
        patch.setattr(traces.hdf5_writing, "VERSION", 2)
        path = forged(tmp_path / "a.h5", '["a"]', ONE)
    with pytest.raises(UnsupportedError, match="install a newer npvgg"):
        traces.read(path)


def test_the_algorithm_and_gradients_have_a_place(tmp_path):
    arrays = {"fc8": np.ones((2, 3), np.float32), "d/fc8": np.zeros((2, 3), np.float32)}
    path = traces.write(tmp_path / "a.h5", arrays, architecture_json="", model_name="", made_by="me", algorithm="winograd")
    trace = traces.read(path)
    assert list(trace) == ["fc8", "d/fc8"] and trace.algorithm == "winograd"
    other = arrays | {"d/fc8": np.ones((2, 3), np.float32)}
    assert parity.compare(path, other).first.name == "d/fc8"
    assert not parity.compare(path, arrays).diverges
    with pytest.raises(UsageError, match="cannot name an array"):
        traces.write(tmp_path / "b.h5", {"e/fc8": arrays["fc8"]}, architecture_json="", model_name="", made_by="me")
