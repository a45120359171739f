"""What goes into the container comes out, bit for bit, and HDF5 itself agrees about what is in the file."""
import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from witnesses.small_arrays import ARRAYS, ATTRIBUTES, KIND, round_trip

from npvgg.errors import UsageError
from npvgg.storage import hdf5_writing


def test_arrays_and_attributes_come_back(tmp_path):
    contents = round_trip(tmp_path / "a.h5", ARRAYS, ATTRIBUTES)
    assert contents.attributes == {"": {"format": f"{KIND} 1"} | ATTRIBUTES[""], "group": ATTRIBUTES["group"]}
    for name, array in ARRAYS.items():
        contents.verify(name)
        got = contents.array(name)
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


@settings(max_examples=40, deadline=None)
@given(array=st_numpy.arrays(st.sampled_from([np.dtype(code) for code in ("<f4", ">f4", "<f8", ">f8")]),
                             st_numpy.array_shapes(max_dims=4, max_side=5)),
       order=st.randoms(use_true_random=False))
def test_any_layout_in_memory_is_stored_in_c_order_little_endian(tmp_path_factory, array, order):
    axes = list(range(array.ndim))
    order.shuffle(axes)
    array = array.transpose(axes)[::-1]
    got = round_trip(tmp_path_factory.getbasetemp() / "layout.h5", {"a": array}).array("a")
    assert got.shape == array.shape
    assert got.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert got.flags.c_contiguous


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path):
    hdf5_writing.write(tmp_path / "a.h5", KIND, ARRAYS, ATTRIBUTES)
    code = ("import sys; sys.path[:0] = ['.', 'tests']; from witnesses import small_arrays as s; "
            f"s.hdf5_writing.write({str(tmp_path / 'b.h5')!r}, s.KIND, s.ARRAYS, s.ATTRIBUTES)")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_h5py_reads_the_same_file(tmp_path):
    hdf5_writing.write(tmp_path / "a.h5", KIND, ARRAYS, ATTRIBUTES)
    with h5py.File(tmp_path / "a.h5") as file:
        for name, array in ARRAYS.items():
            assert file[name][()].tobytes() == array.tobytes()
            assert file[name].attrs["sha256"].decode() == hashlib.sha256(array.tobytes()).hexdigest()
            assert file[name].id.get_offset() % 64 == 0
        assert file["text"].asstr()[:].tolist() == ["a", "é", "longer"]
        assert file.attrs["notes"].decode() == ATTRIBUTES[""]["notes"]
        assert file.attrs["count"] == 2**62
        assert file["group"].attrs["ratio"] == 0.1
        assert file.attrs["complete"] == 1


def test_composing_takes_no_memory_for_the_arrays():
    wide = np.broadcast_to(np.float32(0), (1 << 20, 1 << 10))
    header, offsets = hdf5_writing.compose({"wide": wide}, {"": {}}, {"wide": "0" * 64})
    assert header.size >= offsets["wide"] + wide.nbytes > 1 << 32
    assert sum(len(piece) for _, piece in header.pieces) < 10_000


def test_a_header_image_reads_back_what_was_written_over_zeros():
    image = hdf5_writing.HeaderImage()
    for offset, piece in [(4, b"abcd"), (6, b"XY"), (12, b"end")]:
        image.seek(offset)
        image.write(piece)
    image.seek(2)
    assert image.read(13) == b"\0\0abXY\0\0\0\0end"[:13]
    assert image.seek(-3, 2) == 12
    assert image.seek(1, 1) == 13
    assert image.tell() == 13


@pytest.mark.parametrize("text", ["x" * 60_001, "zero\0inside"], ids=["too long", "zero"])
def test_text_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, text):
    with pytest.raises(UsageError, match="give text of at most 60,000 bytes"):
        hdf5_writing.write(tmp_path / "a.h5", KIND, ARRAYS, {"": {"notes": text}})
    assert not list(tmp_path.iterdir())


def test_the_longest_text_comes_back(tmp_path):
    attributes = {"": {f"text{number}": "x" * 60_000 for number in range(9)}}
    assert round_trip(tmp_path / "a.h5", ARRAYS, attributes).attributes[""]["text3"] == "x" * 60_000


def test_a_name_with_bytes_that_are_no_text_is_stored_escaped(tmp_path):
    contents = round_trip(tmp_path / "a.h5", ARRAYS, {"": {"name": "caf\udce9.pth"}})
    assert contents.attributes[""]["name"] == r"caf\udce9.pth"


@pytest.mark.parametrize("name", ["x.pth", "x.npz", "x.h5.onnx", "x.weights.h5", "X.WEIGHTS.H5", "x.keras", "vgg.2", "x."])
def test_a_name_that_another_format_has_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(UsageError, match="another program.*give a name such as vgg.h5"):
        hdf5_writing.write(tmp_path / name, "kind", {"a": np.zeros(3, np.float32)}, {"": {}}, force=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.h5", "x.HDF5", "x", "a.b/x", ".h5", "vgg-0.5.h5"])
def test_names_of_hdf5_and_names_without_an_ending_are_taken(tmp_path, name):
    (tmp_path / "a.b").mkdir()
    assert hdf5_writing.destination(tmp_path / name, False) == str(tmp_path / name)
