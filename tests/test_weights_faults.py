"""Hostile files are refused before anything is read; damage, crashes and full disks never change what a file says."""
import errno
import json
import math
import operator
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from witnesses import small_weights, weights_writers
from witnesses.failing_disk import FailingDisk, FailingFile
from witnesses.small_weights import NET, PRESET, parameters, said

from npvgg import weights, weights_page
from npvgg.errors import BadFileError, HashMismatchError, NpvggError, StorageError, UsageError
from npvgg.parity import traces
from npvgg.storage import hdf5_reading, hdf5_writing

ROOT = Path(__file__).parents[1]
FUZZ_SECONDS = float(os.environ.get("NPVGG_FUZZ_SECONDS", 3))
SHAPE = NET.parameters["fc6/weight"]
SIZE = 4 * SHAPE[0] * SHAPE[1]
DIGEST = np.bytes_("0" * 64), h5py.string_dtype("utf-8", 64)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_weights.write(tmp_path_factory.mktemp("original") / "small.h5")


@pytest.fixture(scope="module")
def truth(original):
    return said(weights.read(original, verify=True))


@pytest.fixture
def path(original, tmp_path):
    return Path(shutil.copy(original, tmp_path / "small.h5"))


# ------------------------------------------------------------------------------------------------- hostile HDF5


@pytest.fixture
def secret(tmp_path):
    """A named pipe, and a list that grows when somebody opens it for reading."""
    pipe, opened, stop = tmp_path / "secret", [], threading.Event()
    os.mkfifo(pipe)

    def watch():
        while not stop.wait(0.005):
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                assert error.errno == errno.ENXIO         # nobody reads
            else:
                opened.append(True)
                os.close(writer)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield pipe, opened
    stop.set()
    watcher.join()


def test_the_watch_over_the_secret_sees_a_reader(secret):
    pipe, opened = secret
    with open(pipe, "rb") as file:
        file.read()
    assert opened


def replaced(make):
    """Put something else where /fc6/weight was."""
    def edit(file, secret):
        del file["fc6/weight"]
        made = make(file["fc6"], secret)
        if made is not None:
            made.attrs.create("sha256", DIGEST[0], dtype=DIGEST[1])
    return edit


def raw(group, kind=h5t.IEEE_F32LE, shape=SHAPE, layout=h5d.CONTIGUOUS, early=True):
    """A dataset made with HDF5's own calls, space set aside but nothing written."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(layout)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY if early else h5d.ALLOC_TIME_LATE)
    return h5py.Dataset(h5d.create(group.id, b"weight", kind, h5s.create_simple(shape), creation))


def virtual(group, secret):
    layout = h5py.VirtualLayout(SHAPE, "<f4")
    layout[...] = h5py.VirtualSource(str(secret), "fc6/weight", SHAPE)
    return group.create_virtual_dataset("weight", layout)


def link_loop(group, secret):
    group["weight"] = h5py.SoftLink("/fc6/other")
    group["other"] = h5py.SoftLink("/fc6/weight")


def same_twice(file, secret):
    del file["fc7/bias"], file["conv1_1/bias"]
    file["fc7/bias"] = file["fc6/bias"]


def group_twice(file, secret):
    del file["conv8_1" if "conv8_1" in file else "conv5_2"]
    file["conv5_2"] = file["conv5_1"]


def attribute(name, value, **options):
    def edit(file, secret):
        file.attrs.create(name, value, **options)
    return edit


def many_groups(file, secret):
    for number in range(10_000):
        file.create_group(f"g{number}")


def many_attributes(file, secret):
    for number in range(1000):
        file["fc6/weight"].attrs[f"a{number}"] = number


def cycle(file, secret):
    file["fc6/inner"] = file["/"]


def setter(name, value):
    def edit(group, secret):
        group[name] = value(secret)
    return edit


def dataset(**options):
    def make(group, secret):
        return group.create_dataset("weight", **options)
    return make


FLOATS = np.zeros(SHAPE, "<f4")
NOT_HERE = "fc6/weight is not stored contiguously, unfiltered and in this file"
LINK = "fc6/weight is a link to somewhere else"
TYPE = "fc6/weight holds something other than little-endian floats or UTF-8 text"
HOSTILE = {
    "external storage": (replaced(lambda g, secret: g.create_dataset(
        "weight", SHAPE, "<f4", external=[(str(secret), 0, SIZE)])), NOT_HERE),
    "external link": (replaced(setter("weight", lambda secret: h5py.ExternalLink(str(secret), "/"))), LINK),
    "external link for a group": (
        lambda f, secret: (f.__delitem__("fc6"), setter("fc6", lambda s: h5py.ExternalLink(str(s), "/fc6"))(f, secret)),
        "fc6 is a link to somewhere else"),
    "soft link": (replaced(setter("weight", lambda _: h5py.SoftLink("/fc7/weight"))), LINK),
    "dangling link": (replaced(setter("weight", lambda _: h5py.SoftLink("/nowhere"))), LINK),
    "link loop": (replaced(link_loop), LINK),
    "virtual": (replaced(virtual), NOT_HERE),
    "never written": (replaced(lambda g, _: raw(g, early=False)), f"has 0 bytes in the file instead of {SIZE}"),
    "shape bomb": (replaced(lambda g, _: raw(g, shape=(1 << 40, 1 << 10), early=False)), "has 0 bytes in the file"),
    "chunked": (replaced(dataset(data=FLOATS, chunks=SHAPE)), NOT_HERE),
    "chunk bomb": (replaced(dataset(shape=(1 << 25, 1 << 25), chunks=(1 << 12, 1 << 12), dtype="<f4")), NOT_HERE),
    "gzip": (replaced(dataset(data=FLOATS, chunks=SHAPE, compression="gzip")), NOT_HERE),
    "shuffle": (replaced(dataset(data=FLOATS, chunks=SHAPE, shuffle=True)), NOT_HERE),
    "checksum filter": (replaced(dataset(data=FLOATS, chunks=SHAPE, fletcher32=True)), NOT_HERE),
    "compact": (replaced(lambda g, _: raw(g, layout=h5d.COMPACT)), NOT_HERE),
    "compound": (replaced(dataset(data=np.zeros(SHAPE, "f4,f4"))), TYPE),
    "variable length": (replaced(dataset(shape=SHAPE, dtype=h5py.vlen_dtype(np.float32))), TYPE),
    "variable text": (replaced(dataset(shape=SHAPE, dtype=h5py.string_dtype())), TYPE),
    "references": (replaced(dataset(shape=SHAPE, dtype=h5py.ref_dtype)), TYPE),
    "enumeration": (replaced(dataset(shape=SHAPE, dtype=h5py.enum_dtype({"a": 1}))), TYPE),
    "big-endian": (replaced(dataset(data=FLOATS.astype(">f4"))), TYPE),
    "long double": (replaced(dataset(data=FLOATS.astype("g"))), TYPE),
    "other digits": (replaced(dataset(data=FLOATS.astype("f2"))), "has no digest|header differs"),
    "integers": (replaced(dataset(data=FLOATS.astype("i4"))), TYPE),
    "rank 9": (replaced(lambda g, _: raw(g, shape=(1,) * 9)), TYPE),
    "no digest": (lambda f, _: f["fc6/weight"].attrs.__delitem__("sha256"), "fc6/weight has no digest"),
    "text for a digest": (lambda f, _: f["fc6/weight"].attrs.create(
        "sha256", np.bytes_("x" * 64), dtype=DIGEST[1]), "fc6/weight has no digest"),
    "group for a dataset": (replaced(lambda g, _: g.create_group("weight")), "is damaged"),
    "dataset for a group": (lambda f, _: (f.__delitem__("fc6"), f.create_dataset("fc6", data=FLOATS)), "is damaged"),
    "10 000 groups": (many_groups, "has .* members instead of"),
    "hard-link cycle": (cycle, "/fc6 has 3 members instead of 2"),
    "one dataset under two names": (same_twice, "is missing|does not begin where it may"),
    "one group under two names": (group_twice, "does not begin where it may"),
    "1000 attributes": (many_attributes, "1001 attributes on one object"),
    "attribute list": (attribute("format", np.zeros(9)), "is an HDF5 file of another program"),
    "huge attribute": (attribute("notes", np.zeros(7000)), "the attribute b'notes' is not one text or number"),
    "variable text attribute": (attribute("notes", "text"), "is neither text of fixed length nor a number"),
    "reference attribute": (lambda f, _: f.attrs.create("notes", f["fc6"].ref, dtype=h5py.ref_dtype), "neither text"),
    "attribute too many": (attribute("more", np.int64(1)), "its attributes are not those of a weights file"),
    "attribute of a group": (lambda f, _: f["fc6"].attrs.create("a", np.int64(1)), "header differs|attributes on fc6"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_hdf5_is_refused_before_anything_is_read(path, secret, case, capfd):
    edit, sentence = HOSTILE[case]
    pipe, opened = secret
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        edit(file, pipe)
    opened.clear()
    for read in (weights.read, weights_page.inspect):
        with pytest.raises(BadFileError, match=sentence) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert opened == []
    assert capfd.readouterr() == ("", "")


def test_arrays_that_are_not_aligned_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        for module in (hdf5_writing, hdf5_reading):                 # what is written is read back
            patch.setattr(module, "ALIGNMENT", 1)
        path = small_weights.write(tmp_path / "small.h5")
    with pytest.raises(BadFileError, match="does not begin where it may"):
        weights.read(path)


def header(**changes):
    """The root attributes of a right file, a few of them wrong."""
    attributes = {"architecture": NET.to_json(), "preset": PRESET, "source_name": "", "source_sha256": "", "notes": "",
                  "converted_by": "", "created": ""} | changes
    return {name: value for name, value in attributes.items() if value is not None}


LABELS = np.array([b"a", b"b", b"c"])
ANSWER = {"self_test/output": np.zeros((1, 3))}
BOUND = {"self_test": {"seed": 1, "tolerance": 0.5}}
RUN = {"record/layers": np.zeros((len(NET.layers), 9)), "record/picture": np.ones((1, 9))}
NAMES = {"record": {"seed": 1, "class_names": "0" * 64}}


@pytest.mark.parametrize("attributes, arrays, groups, sentence", [
    (header(architecture="{}"), {}, {}, "small.h5: the architecture '{}' cannot be read"),
    (header(architecture="[" * 50_000), {}, {}, "cannot be read"),
    (header(architecture=json.dumps({"name": "resnet", "hidden": []})), {}, {}, "its fields are name, hidden"),
    (header(architecture=NET.to_json().replace("vgg11", "resnet")), {}, {}, "there is no network called 'resnet'"),
    (header(architecture=NET.to_json().replace("4 relu", "1 " * 15_000 + "4 relu")), {}, {}, "is missing|cannot be read"),
    (header(architecture=NET.to_json().replace("{", '{"name": "vgg13", ')), {}, {}, "a field appears twice"),
    (header(architecture=7), {}, {}, "its attributes are not those"),
    (header(notes=None), {}, {}, "its attributes are not those"),
    (header(), {"fc6/weight": parameters()["fc6/weight"].T}, {}, "does not fit vgg11: fc6/weight is float32"),
    (header(), {"fc6/bias": np.array([b"a"] * 4)}, {}, r"fc6/bias is bytes8 \(4,\) and should have shape \(4,\)"),
    (header(), {"labels": LABELS[:2]}, {}, "labels is"),
    (header(), {"labels": np.zeros(3)}, {}, "labels is float64"),
    (header(), {"labels": np.array([b"a", b"\xff", b"c"])}, {}, "its labels are not lines of UTF-8 text"),
    (header(), {"labels": np.array([b"a", b"\x1b[31m", b"c"])}, {}, "its labels are not lines of UTF-8 text"),
    (header(), ANSWER, {}, "there are attributes on no group"),
    (header(), ANSWER, {"self_test": {"seed": 1}}, "its self-test has no seed and tolerance"),
    (header(), ANSWER, {"self_test": {"seed": 0.5, "tolerance": 0.5}}, "no seed and tolerance"),
    (header(), ANSWER, {"self_test": {"seed": -1, "tolerance": 0.5}}, "no seed and tolerance"),
    (header(), ANSWER, {"self_test": {"seed": 1, "tolerance": 1e9}}, "to judge a run by"),
    (header(), ANSWER, {"self_test": {"seed": 1, "tolerance": math.nan}}, "to judge a run by"),
    (header(), {"self_test/output": np.full((1, 3), np.nan)}, {"self_test": {"seed": 1, "tolerance": 0.5}}, "is not finite"),
    (header(), {"self_test/output": np.zeros(3)}, {"self_test": {"seed": 1, "tolerance": 0.5}}, "self_test/output is"),
    (header(), {}, {"fc6": {"seed": 1}}, "there are attributes on fc6"),
    (header(), RUN, NAMES, "a record of a run and no self-test"),
    (header(), ANSWER | RUN, BOUND, "there are attributes on self_test"),
    (header(), ANSWER | RUN, BOUND | {"record": {"seed": 1}}, "no seed and no digest"),
    (header(), ANSWER | RUN, BOUND | {"record": {"seed": -1, "class_names": "0" * 64}}, "no seed and no digest"),
    (header(), ANSWER | RUN, BOUND | {"record": {"seed": 1, "class_names": "0"}}, "no seed and no digest"),
    (header(), ANSWER | RUN | {"record/picture": np.ones(9)}, BOUND | NAMES, "record/picture is float64"),
    (header(), ANSWER | RUN | {"record/layers": RUN["record/layers"][1:]}, BOUND | NAMES, "record/layers is float64"),
    (header(), ANSWER | RUN | {"record/picture": np.full((1, 9), np.nan)}, BOUND | NAMES, "record of a run is not finite"),
    (header(), ANSWER | {"record/layers": RUN["record/layers"]}, BOUND | NAMES, "record/picture is missing"),
], ids=["empty architecture", "deep JSON", "other fields", "no such network", "15 000 layers", "a field twice",
        "number for text", "attribute missing",
        "transposed", "text for numbers", "few labels", "numbers for labels", "labels not UTF-8", "escape in a label",
        "no seed", "no tolerance", "seed 0.5", "seed -1", "tolerance 1e9", "tolerance NaN", "answer NaN",
        "output's shape", "attribute of a layer", "record alone", "no names", "record's digest missing", "record's seed",
        "record's digest", "picture's shape", "a layer missing", "picture NaN", "picture missing"])
def test_a_forged_header_is_one_sentence_though_its_digests_are_right(tmp_path, attributes, arrays, groups, sentence):
    path = tmp_path / "small.h5"
    hdf5_writing.write(path, weights.KIND, parameters() | arrays, {"": attributes} | groups)
    with pytest.raises(BadFileError, match=sentence) as caught:
        weights.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content, sentence", [
    (b"", "small.h5 is empty; convert or download it again"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer, not an HDF5 file; fetch the file"),
    (b"PK\x03\x04 and so on", "is a zip archive, not an HDF5 file; if it is a PyTorch checkpoint, convert it with `python"),
    (b"\x80\x02\x8a\nl\xfc\x9c", "is a Python pickle, not an HDF5 file; if it is a PyTorch checkpoint, convert it"),
    (b"<!DOCTYPE html><html>", "is a web page .HTML., not an HDF5 file; the download failed; download it again"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file of another program"),
    (b"\x89HDF\r\n\x1a\n\x03", "is damaged"),
    (b"\x89HDF\r\n\x1a\n\x03" + bytes(5000), "is damaged"),
    (b"\x89HDF\n\x1a\n", "does not begin like an HDF5 file"),
    (bytes(1 << 20), "does not begin like an HDF5 file"),
], ids=["empty", "Git LFS", "zip", "pickle", "HTML", "signature", "superblock", "zeros behind", "line ends", "zeros"])
@pytest.mark.parametrize("read", [weights.read, weights_page.inspect, traces.read], ids=["weights", "inspect", "trace"])
def test_a_file_of_another_kind_is_named(tmp_path, content, sentence, read):
    path = tmp_path / "small.h5"
    path.write_bytes(content)
    with pytest.raises(BadFileError, match=sentence) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_user_block_is_refused(original, tmp_path):
    path = tmp_path / "block.h5"
    path.write_bytes(bytes(512) + original.read_bytes())
    with h5py.File(path) as file:
        assert file.userblock_size == 512
    with pytest.raises(BadFileError, match="does not begin like an HDF5 file"):
        weights.read(path)


@pytest.mark.parametrize("make, error, sentence", [
    (lambda f: f, BadFileError, "is a folder; give the name of a file"),
    (lambda f: f / "missing.h5", StorageError, "there is no file .*missing.h5; check the name"),
    (lambda f: f / "pipe", BadFileError, "is not a regular file"),
    (lambda f: "/dev/zero", BadFileError, "/dev/zero is not a regular file"),
    (lambda f: f / "file" / "inner", StorageError, r"cannot be opened \(Not a directory\)"),
    (lambda f: f / ("long" * 100), StorageError, "File name too long"),
    (lambda f: "zero\0", UsageError, "is not a path"),
    (lambda f: 2.5, UsageError, "2.5 is not a path"),
], ids=["folder", "missing", "pipe", "device", "file as folder", "long name", "zero", "number"])
@pytest.mark.parametrize("read", [weights.read, traces.read], ids=["weights", "trace"])
def test_what_is_no_file_is_one_sentence(tmp_path, make, error, sentence, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(error, match=sentence) as caught:
        read(make(tmp_path))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- damage


def read_or_refused(path, truth):
    """Whether the file was read, which it may be only if it says the same as ever."""
    try:
        found = said(weights.read(path, verify=True))
    except NpvggError as error:
        assert "\n" not in str(error)
        return False
    assert found == truth, "a damaged file was read and says something else"
    return True


def test_no_flipped_bit_goes_unnoticed(original, truth, tmp_path):
    """In random order until the time is over; what is still read says the same (the bit lay in unused space)."""
    path, data, rng = tmp_path / "flipped.h5", original.read_bytes(), random.Random(20)
    bits = rng.sample(range(8 * len(data)), 8 * len(data))
    end, tried, read = time.monotonic() + FUZZ_SECONDS, 0, 0
    while bits and (tried < 300 or time.monotonic() < end):
        bit = bits.pop()
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        tried, read = tried + 1, read + read_or_refused(path, truth)
    assert read < tried


@pytest.mark.parametrize("name", ["conv1_1/weight", "fc7/bias", "labels", "self_test/output"])
def test_every_bit_of_an_array_counts(original, tmp_path, name):
    path, data = tmp_path / "flipped.h5", bytearray(original.read_bytes())
    with h5py.File(original) as file:
        offset, size = file[name].id.get_offset(), file[name].id.get_storage_size()
    rng = random.Random(1)
    for bit in rng.sample(range(8 * size), min(40, 8 * size)):
        data[offset + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(HashMismatchError, match=f"the bytes of {name} differ from their recorded digest"):
            weights.read(path, verify=True)
        data[offset + bit // 8] ^= 1 << bit % 8


def test_a_file_cut_short_anywhere_is_refused(original, truth, tmp_path):
    path, data, rng = tmp_path / "cut.h5", original.read_bytes(), random.Random(3)
    lengths = {*range(64), len(data) // 2, len(data) - 1, *rng.sample(range(len(data)), 150)}
    for length in lengths:
        path.write_bytes(data[:length])
        assert not read_or_refused(path, truth), f"the first {length} bytes were accepted"
    path.write_bytes(data[:-1])
    sentence = rf"is damaged \(cut short: it has {len(data) - 1:,} of {len(data):,} bytes\); convert or download it"
    with pytest.raises(BadFileError, match=sentence):
        weights.read(path)


def test_bytes_behind_the_end_change_nothing(path, truth):
    with path.open("ab") as file:
        file.write(b"more")
    assert read_or_refused(path, truth)


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def child(function, *arguments):
    return [sys.executable, "-m", "witnesses.weights_writers", function, *map(str, arguments)]


def in_child(function, *arguments, timeout=120):
    return subprocess.run(child(function, *arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout)


def test_mutants_are_refused_or_identical_and_hdf5_stays_silent(path):
    """In a child, so that a crash inside HDF5 would be seen rather than suffered."""
    seed = random.randrange(1 << 30)
    run = in_child("fuzz_in_a_thread", path, FUZZ_SECONDS, seed, timeout=FUZZ_SECONDS + 60)
    assert (run.returncode, run.stderr) == (0, ""), f"seed {seed}"
    refused, identical, different, escaped, *escapes = run.stdout.split(maxsplit=4)
    assert (different, escaped) == ("0", "0"), f"seed {seed}: {escapes}"
    assert int(refused) > 20


# ------------------------------------------------------------------------------------------------- crashes, full disks


def residue(folder):
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".npvgg-")]


@pytest.mark.parametrize("exists", [False, True], ids=["absent before", "old before"])
def test_killed_at_any_operation_the_file_is_absent_old_or_complete(original, truth, tmp_path, exists):
    operations = [1, 2, 3, 20, *range(60, 140, 6)]
    new = parameters(1)["fc6/bias"].tobytes()
    for operation in operations:
        (tmp_path / f"{operation}").mkdir()
        if exists:
            shutil.copy(original, tmp_path / f"{operation}" / "out.h5")
    run = in_child("kill_at_operations", tmp_path, *operations)
    assert run.stderr == ""
    statuses = dict(map(int, line.split()) for line in run.stdout.splitlines())
    assert list(statuses) == operations
    assert set(statuses.values()) == {9, 0}               # the last ones came after the last operation
    for operation, status in statuses.items():
        path = tmp_path / f"{operation}" / "out.h5"
        if path.exists():
            found = weights.read(path, verify=True)
            is_new = found.parameters["fc6/bias"].tobytes() == new
            assert is_new or (exists and said(found) == truth)
        else:
            is_new = False
            assert not exists
        assert status == 9 or (is_new and not residue(path.parent))


def test_killed_at_random_moments_the_file_is_always_one_of_those_written(tmp_path):
    run = in_child("kill_at_moments", tmp_path, 10)
    assert (run.returncode, run.stderr) == (0, "")
    copies = list(tmp_path.glob("[0-9]*.h5"))
    assert copies
    for path in copies:
        found = weights.read(path, verify=True)
        expected = parameters(int(found.notes), weights_writers.WIDE)
        assert all(array.tobytes() == expected[name].tobytes() for name, array in found.parameters.items())


def test_readers_beside_two_writers_see_whole_files_only(tmp_path):
    path = tmp_path / "out.h5"
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = subprocess.Popen(child("write_in_two", path), env=ENVIRONMENT, **pipes)
    try:
        end = time.monotonic() + 60
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.01)
        inodes = set()
        for _ in range(30):
            weights.read(path, verify=True)
            inodes.add(path.stat().st_ino)
    finally:
        _, stderr = writers.communicate()
    assert stderr == b""
    assert len(inodes) > 1


@pytest.mark.parametrize("force", [False, True], ids=["new", "forced"])
def test_whichever_operation_fails_the_file_is_absent_old_or_complete(original, truth, tmp_path, force):
    """Fail the nth write, fsync, link or replacement, for all n."""
    path, failing, new = tmp_path / "small.h5", 0, parameters(1)["fc6/bias"].tobytes()
    while True:
        failing += 1
        if force:
            shutil.copy(original, path)
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk = FailingDisk(monkeypatch, failing)
            try:
                small_weights.write(path, seed=1, force=force)
            except StorageError as error:
                assert str(error).endswith("cannot be written (No space left on device); free some space or write to "
                                           "another disk")
                assert path.exists() == force
                assert not force or path.read_bytes() == original.read_bytes()
            else:
                assert weights.read(path, verify=True).parameters["fc6/bias"].tobytes() == new
                path.unlink()
        assert residue(tmp_path) == []
        if disk.count < failing:
            break
    assert failing > len(NET.parameters) + 5


def test_whatever_the_limit_on_file_sizes_the_old_file_stays(path, truth):
    """A real write that fails in the kernel, at many places; HDF5 must not notice, not even when Python ends."""
    run = in_child("write_within_limits", path)
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert len(lines) > 25
    assert set(lines) == {"be written (File too large); raise the limit on file sizes or write to another disk"}
    assert read_or_refused(path, truth)
    assert residue(path.parent) == []


def test_a_disk_that_returns_other_bytes_is_noticed_before_the_file_gets_its_name(tmp_path, monkeypatch):
    real = open

    def losing_a_bit(path, mode):
        file = real(path, mode)
        flip = bytes([4]) + bytes(SIZE - 1)

        def write(data):
            data = bytes(data)
            return file.write(bytes(map(operator.xor, data, flip)) if len(data) == SIZE else data)

        return FailingFile(file, write)

    monkeypatch.setattr(hdf5_writing.atomic_file, "open", losing_a_bit, raising=False)
    with pytest.raises(StorageError, match="was not written, because the disk gave back other bytes than were written"):
        small_weights.write(tmp_path / "small.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_file_without_permission_is_one_sentence(path):
    path.chmod(0)
    with pytest.raises(StorageError, match=r"cannot be opened \(Permission denied\); check its permissions"):
        weights.read(path)
