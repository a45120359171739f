"""Files made by the programs that own the formats are named for what they are."""
import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from npvgg.storage import file_kinds


def picture(form):
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, form)
    return file.getvalue()


def saved(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tar(file):
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("name"))


MADE = {
    "an HDF5 file": lambda: saved(lambda file: h5py.File(file, "w").close()),
    "an empty zip archive": lambda: saved(lambda file: zipfile.ZipFile(file, "w").close()),
    "a zip archive": lambda: saved(lambda file: np.savez(file, a=1)),
    "a Python pickle": lambda: pickle.dumps([1, 2]),
    "a gzip archive": lambda: gzip.compress(b"x"),
    "a bzip2 archive": lambda: bz2.compress(b"x"),
    "an xz archive": lambda: lzma.compress(b"x"),
    "a tar archive": lambda: saved(tar),
    "a PNG picture": lambda: picture("PNG"),
    "a JPEG picture": lambda: picture("JPEG"),
    "a GIF picture": lambda: picture("GIF"),
    "a NumPy array": lambda: saved(lambda file: np.save(file, np.zeros(3))),
    "JSON text": lambda: b'{"error": "not found"}',
    "a web page (HTML)": lambda: b"\xef\xbb\xbf\n <!DOCTYPE html>",
    "a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 55\n",
}


@pytest.mark.parametrize("name", MADE)
def test_a_file_is_named_for_what_it_is(name):
    assert file_kinds.kind(MADE[name]()[:file_kinds.ENOUGH]) == name


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_binary_protocol_are_pickles(protocol):
    assert file_kinds.kind(pickle.dumps({}, protocol)) == "a Python pickle"


@pytest.mark.parametrize("head", [b"", b"P", b"\x80", b"\x89HDF\n\x1a\n", bytes(512), b"Not Found", b"\x89PNG\n\x1a\n"],
                         ids=["nothing", "letter", "half a pickle", "HDF5, cut line ends", "zeros", "text", "PNG likewise"])
def test_what_is_nothing_known_has_no_name(head):
    assert file_kinds.kind(head) == ""


def test_no_mark_lies_behind_what_is_read():
    assert max(offset + len(mark) for offset, mark, _ in file_kinds.SIGNATURES) <= file_kinds.ENOUGH
