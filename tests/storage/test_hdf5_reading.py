"""A container is read in place; a change, another format and another program's file are one sentence each."""
import h5py
import numpy as np
import pytest
from witnesses.small_arrays import ARRAYS, ATTRIBUTES, KIND, expected, round_trip

from npvgg.errors import BadFileError, ForeignFileError, HashMismatchError, UnsupportedError
from npvgg.storage import hdf5_reading, hdf5_writing


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
    contents = hdf5_reading.read(path, KIND, expected(ARRAYS))
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
    hdf5_writing.write(path, KIND, ARRAYS, ATTRIBUTES)
    change(path, edit)
    with pytest.raises(error, match=sentence) as caught:
        hdf5_reading.read(path, KIND, expected(ARRAYS))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["earliest", "latest"])
def test_another_program_s_hdf5_is_refused_without_following_it(tmp_path, form):
    with h5py.File(tmp_path / "keras.h5", "w", libver=form) as file:
        file.attrs["backend"] = "tensorflow"
        file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(BadFileError, match=r"keras.h5 is an HDF5 file of another program, not \"npvgg sample 1\";"):
        hdf5_reading.read(tmp_path / "keras.h5", KIND, expected(ARRAYS))
