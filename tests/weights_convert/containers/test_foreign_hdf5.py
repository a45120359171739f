"""What another program's HDF5 file may do, and what it may not."""
import os
import random
import time

import h5py
import numpy as np
import pytest

from npvgg.errors import BadFileError, NpvggError
from weights_convert.containers import foreign_hdf5

SECRET = b"a secret of sixteen bytes or more"


def read(path):
    with open(path, "rb") as file:
        return foreign_hdf5.read(file)


def made(path, build, **options):
    with h5py.File(path, "w", **options) as file:
        build(file)
    return path


def test_arrays_and_texts(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"a/b/c": rng.standard_normal((5, 3, 2)).astype("f4"), "half": rng.standard_normal(7).astype("f2"),
              "big": np.arange(4, dtype=">i4"), "scalar": np.array(3.0), "empty": np.zeros((0, 2)),
              "bytes": np.arange(3, dtype="u1")}

    def build(file):
        for path, array in arrays.items():
            file[path] = array
        file.create_dataset("packed", data=arrays["a/b/c"], chunks=(2, 3, 2), compression="gzip", shuffle=True, fletcher32=True)
        file["a"].attrs["name"] = "größe"
        file.attrs["model_config"] = np.bytes_(b'{"a": 1}')
        file.attrs["backend"] = "not asked for"

    found, attributes = read(made(tmp_path / "x.h5", build))
    assert found.keys() == arrays.keys() | {"packed"}
    for path, array in (arrays | {"packed": arrays["a/b/c"]}).items():
        assert np.array_equal(found[path], array) and found[path].dtype == array.dtype.newbyteorder("<"), path
    assert attributes == {"": {"model_config": '{"a": 1}'}, "a": {"name": "größe"}}


def external(file, folder):
    (folder / "secret").write_bytes(SECRET)
    file.create_dataset("w", (8,), "u1", external=[(str(folder / "secret"), 0, 8)])


def external_link(file, folder):
    made(folder / "other.h5", lambda other: other.create_dataset("w", data=np.arange(3.0)))
    file["w"] = h5py.ExternalLink(str(folder / "other.h5"), "w")


def loop(file, _):
    group = file.create_group("a")
    group["again"] = file["/a"]


def virtual(file, folder):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "nowhere.h5"), "w", (3,))
    file.create_virtual_dataset("w", layout)


def deep(file, _):
    file["/".join("abcdefghijk") + "/w"] = np.zeros(2)


def never_written(file, _):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    h5py.h5d.create(file.id, b"w", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5,)), creation)


HOSTILE = {
    "external storage": (external, "keeps 'w' in another file"),
    "external link": (external_link, "has a link at 'w'"),
    "soft link": (lambda file, _: file.__setitem__("w", h5py.SoftLink("/v")), "has a link at 'w'"),
    "loop": (loop, "has groups in each other without end"),
    "virtual": (virtual, "keeps 'w' in another file"),
    "never written": (never_written, "has 0 of the 20 bytes of 'w'"),
    "shape bomb": (lambda file, _: file.create_dataset("w", (1 << 50,), "f4", chunks=(1024,)), "lacks chunks of 'w'"),
    "gzip bomb": (lambda file, _: file.create_dataset("w", data=np.zeros(17 << 20, "f4"), compression=1,
                                                            chunks=(17 << 20,)), "lacks chunks of 'w', or has them too large"),
    "chunks missing": (lambda file, _: file.create_dataset("w", (100,), "f4", chunks=(10,)).__setitem__(slice(0, 5), 1),
                       "lacks chunks of 'w'"),
    "unknown filter": (lambda file, _: file.create_dataset("w", data=np.zeros(99), compression="lzf"), "with a filter"),
    "text": (lambda file, _: file.create_dataset("w", data="text"), "something other than numbers at 'w'"),
    "compound": (lambda file, _: file.create_dataset("w", data=np.zeros(2, [("a", "f4")])), "something other than numbers"),
    "lists": (lambda file, _: file.create_dataset("w", (2,), h5py.vlen_dtype("f4")), "something other than numbers"),
    "references": (lambda file, _: file.create_dataset("w", (2,), h5py.ref_dtype), "something other than numbers"),
    "bools": (lambda file, _: file.create_dataset("w", data=[True]), "something other than numbers"),
    "a named type": (lambda file, _: file.__setitem__("w", np.dtype("f4")), "neither a group nor an array"),
    "depth": (deep, "without end, at 'a/b/c"),
    "many groups": (lambda file, _: [file.create_group(str(n)) for n in range(2100)], "without end"),
    "a name of many": (lambda file, _: file.create_group("g").attrs.__setitem__("name", ["a", "b"]), "that is not one text"),
    "a name that is a number": (lambda file, _: file.create_group("g").attrs.__setitem__("name", 5), "that is not a text"),
}


@pytest.mark.parametrize("build, text", HOSTILE.values(), ids=HOSTILE)
def test_what_could_do_harm_is_refused(tmp_path, build, text):
    path = made(tmp_path / "x.h5", lambda file: build(file, tmp_path))
    with pytest.raises(BadFileError, match=text) as caught:
        read(path)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400 and "secret of" not in message


@pytest.mark.parametrize("name", ["unknown filter", "text", "compound", "bools"])
def test_what_is_not_keras_is_not_called_damaged(tmp_path, name):
    path = made(tmp_path / "x.h5", lambda file: HOSTILE[name][0](file, tmp_path))
    with pytest.raises(BadFileError, match="as no weights of Keras do; give a file that model.save") as caught:
        read(path)
    assert "hostile" not in str(caught.value)


def test_every_damage_is_contained(tmp_path):
    """The format has no checksum here, so numbers may differ; but nothing escapes, and nothing hangs."""
    path = made(tmp_path / "x.h5", lambda file: file.create_dataset("a/w", data=np.arange(20, dtype="f4")))
    seed, rng = path.read_bytes(), random.Random(2)
    end, count = time.monotonic() + float(os.environ.get("NPVGG_FUZZ_SECONDS", 4)), 0
    while time.monotonic() < end or count < 3:
        data = bytearray(seed)
        for _ in range(rng.choice([1, 2, 9, 50])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, 128, rng.randrange(256)])
        path.write_bytes(data[:rng.randrange(8, len(data))] if rng.random() < 0.2 else data)
        count += 1
        try:
            read(path)
        except NpvggError as error:
            assert str(error).isprintable()


def test_a_process_that_dies_is_one_sentence(tmp_path, monkeypatch):
    path = made(tmp_path / "x.h5", lambda file: file.create_dataset("w", data=np.arange(20)))
    for program, text in (("import os; os.kill(os.getpid(), 11)", "was ended by signal 11"), ("print(5)", "no sensible answer"),
                          ("import sys; sys.exit(3)", "gave up with status 3"),
                          ("""print('{"attributes": {}, "arrays": [["w", [4], "<f4"]]}')""", "gave up with status 0"),
                          ("""print('{"attributes": {}, "arrays": [["w", [4], "O"]]}')""", "no sensible answer"),
                          ("""print('{"attributes": {}, "arrays": [["w", [-4], "<f4"]]}')""", "no sensible answer"),
                          ("""print('{"attributes": {}, "arrays": [["w", [1e12], "<f4"]]}')""", "no sensible answer")):
        child = tmp_path / "child.py"
        child.write_text(program)
        monkeypatch.setattr(foreign_hdf5, "CHILD", child)
        with pytest.raises(BadFileError, match=text):
            read(path)
