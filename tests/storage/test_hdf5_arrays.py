"""The container: what goes in comes out, bit for bit, and HDF5 itself agrees about what is in the file."""
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

from npvgg.errors import BadFileError, ForeignFileError, HashMismatchError, UnsupportedError, UsageError
from npvgg.storage import hdf5_arrays

KIND = "npvgg sample"
ARRAYS = {
    "one": np.arange(35, dtype=np.float32).reshape(5, 7),
    "group/two": np.array([[-0.0, np.nan], [np.inf, 5e-324]]),
    "group/scalar": np.array(2.5, np.float32),
    "text": np.array([b"a", "é".encode(), b"longer"]),
}
ATTRIBUTES = {"": {"notes": "two\nlines, ä", "empty": "", "count": 2**62}, "group": {"ratio": 0.1}}


def expected(names):
    return lambda attributes: (list(names), ())


def round_trip(path, arrays, attributes=None):
    hdf5_arrays.write(path, KIND, arrays, {"": {}} | (attributes or {}), force=True)
    return hdf5_arrays.read(path, KIND, expected(arrays))


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
    hdf5_arrays.write(tmp_path / "a.h5", KIND, ARRAYS, ATTRIBUTES)
    code = ("import sys; sys.path.insert(0, 'tests'); import test_hdf5_arrays as t; "
            f"t.hdf5_arrays.write({str(tmp_path / 'b.h5')!r}, t.KIND, t.ARRAYS, t.ATTRIBUTES)")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_h5py_reads_the_same_file(tmp_path):
    hdf5_arrays.write(tmp_path / "a.h5", KIND, ARRAYS, ATTRIBUTES)
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
    header, offsets = hdf5_arrays.compose({"wide": wide}, {"": {}}, {"wide": "0" * 64})
    assert header.size >= offsets["wide"] + wide.nbytes > 1 << 32
    assert sum(len(piece) for _, piece in header.pieces) < 10_000


def test_a_header_image_reads_back_what_was_written_over_zeros():
    image = hdf5_arrays.HeaderImage()
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
        hdf5_arrays.write(tmp_path / "a.h5", KIND, ARRAYS, {"": {"notes": text}})
    assert not list(tmp_path.iterdir())


def test_the_longest_text_comes_back(tmp_path):
    attributes = {"": {f"text{number}": "x" * 60_000 for number in range(9)}}
    assert round_trip(tmp_path / "a.h5", ARRAYS, attributes).attributes[""]["text3"] == "x" * 60_000


def test_a_name_with_bytes_that_are_no_text_is_stored_escaped(tmp_path):
    contents = round_trip(tmp_path / "a.h5", ARRAYS, {"": {"name": "caf\udce9.pth"}})
    assert contents.attributes[""]["name"] == r"caf\udce9.pth"


def test_an_array_outlives_the_file_s_name(tmp_path):
    array = round_trip(tmp_path / "a.h5", ARRAYS).array("one")
    (tmp_path / "a.h5").unlink()
    assert array.tobytes() == ARRAYS["one"].tobytes()


def test_a_changed_array_is_noticed_when_it_is_verified(tmp_path):
    path = tmp_path / "a.h5"
    offset = round_trip(path, ARRAYS).entries["one"].offset
    with path.open("r+b") as file:
        file.seek(offset + 7)
        file.write(b"\1")
    contents = hdf5_arrays.read(path, KIND, expected(ARRAYS))
    contents.verify("group/two")
    with pytest.raises(HashMismatchError, match="the bytes of one differ from their recorded digest; convert"):
        contents.verify("one")


def change(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


@pytest.mark.parametrize("edit, error, sentence", [
    (lambda f: f.attrs.modify("count", np.int64(3)), HashMismatchError, "the header differs from its recorded digest"),
    (lambda f: f["one"].attrs.create("sha256", np.bytes_("0" * 64), dtype=h5py.string_dtype("utf-8", 64)),
     HashMismatchError, "the header differs from its recorded digest"),
    (lambda f: f.attrs.__delitem__("complete"), BadFileError, "is incomplete: its writer was interrupted"),
    (lambda f: f.attrs.modify("complete", np.int64(0)), BadFileError, "is incomplete"),
    (lambda f: f.attrs.__delitem__("digest"), HashMismatchError, "the header differs"),
    (lambda f: f.attrs.__delitem__("format"), ForeignFileError, "is an HDF5 file of another program"),
    (lambda f: f.attrs.create("format", "vlen text"), ForeignFileError, "is an HDF5 file of another program"),
    (lambda f: f.attrs.create("format", np.bytes_(f"{KIND} 2"), dtype=h5py.string_dtype("utf-8", 14)), UnsupportedError,
     "is in the format 'npvgg sample 2' and this npvgg reads \"npvgg sample 1\"; install a newer npvgg"),
    (lambda f: f.attrs.create("format", np.bytes_("npvgg other 1"), dtype=h5py.string_dtype("utf-8", 13)), BadFileError,
     "is in the format 'npvgg other 1', not \"npvgg sample 1\""),
    (lambda f: f.__delitem__("one"), BadFileError, "one is missing"),
    (lambda f: f.create_group("more"), BadFileError, "/ has 4 members instead of 3"),
    (lambda f: f["one"].attrs.__delitem__("sha256"), BadFileError, "one has no digest"),
    (lambda f: f.attrs.create("list", [1, 2]), BadFileError, "the attribute b'list' is not one text or number"),
    (lambda f: f.attrs.create("flag", np.int8(1)), BadFileError, "is neither text of fixed length nor a number"),
], ids=["attribute", "digest of an array", "complete missing", "not complete", "digest missing", "format missing",
        "foreign", "newer", "other kind", "array missing", "array too many", "no digest", "list", "int8"])
def test_every_change_of_the_header_is_one_sentence(tmp_path, edit, error, sentence):
    path = tmp_path / "a.h5"
    hdf5_arrays.write(path, KIND, ARRAYS, ATTRIBUTES)
    change(path, edit)
    with pytest.raises(error, match=sentence) as caught:
        hdf5_arrays.read(path, KIND, expected(ARRAYS))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["earliest", "latest"])
def test_another_program_s_hdf5_is_refused_without_following_it(tmp_path, form):
    with h5py.File(tmp_path / "keras.h5", "w", libver=form) as file:
        file.attrs["backend"] = "tensorflow"
        file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(BadFileError, match=r"keras.h5 is an HDF5 file of another program, not \"npvgg sample 1\";"):
        hdf5_arrays.read(tmp_path / "keras.h5", KIND, expected(ARRAYS))
