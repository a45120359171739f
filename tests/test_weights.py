"""What is written is read again, bit for bit; what does not fit is one sentence."""
import gc
import hashlib
import json
import mmap
import os
import pickle
import time
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from witnesses import small_weights
from witnesses.small_weights import LABELS, NET, PRESET, RECORD, SELF_TEST, damage, parameters, said

from npvgg import __version__, weights
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, HashMismatchError, ShapeError, StorageError, UsageError
from npvgg.storage import verified_files


@pytest.fixture
def path(tmp_path):
    return small_weights.write(tmp_path / "small.h5")


def age(path, seconds=10):
    """As if the file had been written a while ago: only then is it worth remembering."""
    past = time.time() - seconds
    os.utime(path, (past, past))


# ------------------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("net", [
    NET, architecture("vgg11_bn", width=1 / 64, num_classes=3, hidden=(), pooled_size=1, input_size=32),
    architecture("c", width=1 / 64, num_classes=3, hidden=(5, 2), pooled_size=3),
    architecture("a_lrn", width=1 / 64, num_classes=None),
], ids=["vgg11", "batch norm, no hidden layer", "c", "features only"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_parameters_come_back_bit_for_bit(tmp_path, net, dtype):
    written = parameters(3, net, dtype)
    read = weights.read(weights.write(tmp_path / "a.h5", written, architecture=net, preset=PRESET), verify=True)
    assert list(read.parameters) == list(net.parameters)
    assert read.architecture == net
    for name, array in written.items():
        assert read.parameters[name].dtype == dtype
        assert read.parameters[name].shape == net.parameters[name]
        assert read.parameters[name].tobytes() == array.tobytes()


def test_everything_else_comes_back(path):
    read = weights.read(path)
    assert (read.preset_json, read.class_names, read.source_name, read.source_sha256, read.notes) == (
        PRESET, LABELS, "vgg11.pth", "5" * 64, "made by a test")
    assert read.converted_by == f"npvgg {__version__}"
    assert (read.self_test.seed, read.self_test.tolerance) == (SELF_TEST.seed, SELF_TEST.tolerance)
    assert read.self_test.output.tobytes() == SELF_TEST.output.tobytes()
    record = read.self_test.record
    assert (record.seed, record.class_names) == (RECORD.seed, RECORD.class_names)
    assert np.array_equal(record.layers, RECORD.layers) and np.array_equal(record.picture, RECORD.picture)
    assert read.path == path


def test_labels_and_self_test_may_be_left_out(tmp_path):
    read = weights.read(small_weights.write(tmp_path / "a.h5", class_names=None, self_test=None))
    assert read.class_names is None
    assert read.self_test is None
    read = weights.read(small_weights.write(tmp_path / "b.h5", self_test=replace(SELF_TEST, record=None)))
    assert read.self_test.record is None


def test_a_preset_is_asked_for_its_json(tmp_path):
    preset = SimpleNamespace(to_json=lambda: '{"name": "asked"}')
    assert weights.read(small_weights.write(tmp_path / "a.h5", preset=preset)).preset_json == '{"name": "asked"}'


def test_float64_and_float32_may_stand_side_by_side(tmp_path):
    written = parameters() | {"conv1_1/bias": parameters(dtype=np.float64)["conv1_1/bias"]}
    read = weights.read(weights.write(tmp_path / "a.h5", written, architecture=NET, preset=PRESET))
    assert read.parameters["conv1_1/bias"].dtype == np.float64
    assert read.parameters["conv1_1/weight"].dtype == np.float32


def test_minus_zero_and_denormals_keep_their_bits(tmp_path):
    written = parameters()
    written["conv1_1/bias"] = np.array([-0.0], np.float32)
    written["conv2_1/bias"] = np.array([1e-45, -1e-45], np.float32)
    read = weights.read(weights.write(tmp_path / "a.h5", written, architecture=NET, preset=PRESET))
    assert np.signbit(read.parameters["conv1_1/bias"][0])
    assert read.parameters["conv2_1/bias"].tobytes() == written["conv2_1/bias"].tobytes()


# ------------------------------------------------------------------------------------------------- mapped, not read


def root(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base


def test_parameters_are_mapped_from_the_file_aligned_and_read_only(path):
    read = weights.read(path)
    maps = {id(root(array)) for array in read.parameters.values()}
    assert len(maps) == 1
    for array in read.parameters.values():
        assert isinstance(root(array), mmap.mmap)
        assert type(array) is np.ndarray
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous and array.flags.aligned and not array.flags.writeable
        with pytest.raises(ValueError):
            array[...] = 0
        with pytest.raises(ValueError):
            array.setflags(write=True)


def test_a_mapped_array_shows_what_is_in_the_file(path):
    """The proof that nothing was copied: a byte changed in the file changes in the array."""
    array = weights.read(path).parameters["conv1_1/weight"]
    before = array.tobytes()
    damage(path)
    assert array.tobytes() != before


def test_no_file_stays_open_but_the_mapping(path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    kept = [weights.read(path) for _ in range(5)]
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after - before <= 2 * len(kept)    # what asks for the file when its path is gone, and the duplicate of Python's mmap


def test_a_file_may_be_replaced_while_it_is_mapped(path):
    old = weights.read(path)
    before = said(old)
    small_weights.write(path, seed=1, force=True)
    assert said(old) == before
    assert said(weights.read(path)) != before


def test_arrays_can_be_sent_to_another_process(path):
    array = weights.read(path).parameters["fc6/weight"]
    assert np.array_equal(pickle.loads(pickle.dumps(array)), array)


def test_the_spine_of_the_file_is_plain_hdf5(path):
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"npvgg weights 1"
        assert json.loads(file.attrs["architecture"])["name"] == "vgg11"
        assert file["conv1_1/weight"].chunks is None and file["conv1_1/weight"].compression is None
        assert file["conv1_1/weight"].dtype == "<f4"
        assert file["labels"].asstr()[:].tolist() == list(LABELS)
        assert file["self_test"].attrs["seed"] == 7
        digest = hashlib.sha256(file["fc6/bias"][()].tobytes()).hexdigest()
        assert file["fc6/bias"].attrs["sha256"].decode() == digest
        assert file.attrs["complete"] == 1


# ------------------------------------------------------------------------------------------------- reproducible


def test_with_source_date_epoch_a_conversion_is_reproducible_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = small_weights.write(tmp_path / "a.h5"), small_weights.write(tmp_path / "b.h5")
    assert first.read_bytes() == second.read_bytes()
    assert weights.read(first).created == "2023-11-14T22:13:20Z"


def test_the_time_is_recorded_otherwise(path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert weights.read(path).created[:2] == "20"


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 30], ids=["text", "beyond the calendar"])
def test_a_wrong_source_date_epoch_is_one_sentence(tmp_path, monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is .*; give seconds since 1970 or unset it"):
        small_weights.write(tmp_path / "a.h5")


# ------------------------------------------------------------------------------------------------- refused on writing


def without(name):
    return lambda arrays: arrays.pop(name)


def with_array(name, array):
    return lambda arrays: arrays.update({name: array})


SHAPES = NET.parameters


@pytest.mark.parametrize("change, sentence", [
    (without("fc6/bias"), "the parameters do not fit vgg11: fc6/bias is missing; give the arrays of architecture"),
    (with_array("fc9/bias", np.zeros(3, np.float32)), "fc9/bias is not one of its parameters"),
    (with_array("fc6/bias", np.zeros(5, np.float32)), r"fc6/bias has shape \(5,\) instead of \(4,\)"),
    (with_array("fc6/weight", np.zeros(SHAPES["fc6/weight"][::-1], np.float32)), "fc6/weight has shape"),
    (with_array("fc6/bias", np.zeros(4, np.float16)), "fc6/bias is float16 instead of float32 or float64"),
    (with_array("fc6/bias", np.zeros(4, int)), "fc6/bias is int64 instead of float32 or float64"),
    (lambda arrays: arrays.clear(), "conv1_1/weight is missing, conv1_1/bias is missing, conv2_1/weight is missing "
                                    "and 17 more; give"),
], ids=["missing", "too many", "shape", "transposed", "float16", "integers", "the first three"])
def test_parameters_that_do_not_fit_are_named(tmp_path, change, sentence):
    arrays = parameters()
    change(arrays)
    with pytest.raises(ShapeError, match=sentence):
        weights.write(tmp_path / "a.h5", arrays, architecture=NET, preset=PRESET)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_parameters_that_are_not_finite_are_named(tmp_path, value):
    arrays = parameters()
    arrays["conv4_1/weight"][1, 0, 2, 1] = value
    with pytest.raises(BadFileError, match="NaN or infinity stands in conv4_1/weight; give finite parameters"):
        weights.write(tmp_path / "a.h5", arrays, architecture=NET, preset=PRESET)
    assert not list(tmp_path.iterdir())


def recording(**changes):
    """The self-test with a Record of which something is different."""
    return replace(SELF_TEST, record=replace(RECORD, **changes))


@pytest.mark.parametrize("changes, error, sentence", [
    ({"source_name": b"vgg.pth"}, UsageError, "source_name is b'vgg.pth'; give text"),
    ({"source_sha256": None}, UsageError, "source_sha256 is None; give text"),
    ({"notes": ["a"]}, UsageError, "notes is .'a'.; give text"),
    ({"class_names": ["a", "b"]}, UsageError, "2 class names were given for 3 classes; give one for each"),
    ({"class_names": "abc"}, UsageError, "names were given for 3 classes"),
    ({"class_names": ["a", "", "c"]}, UsageError, "the label '' is empty, holds a control character or has more than"),
    ({"class_names": ["a", "b\nc", "c"]}, UsageError, "holds a control character"),
    ({"class_names": ["a", "\x1b[2J", "c"]}, UsageError, "holds a control character"),
    ({"class_names": ["a", "\x9b2J", "c"]}, UsageError, "holds a control character"),
    ({"class_names": ["a", "b" * 4097, "c"]}, UsageError, "has more than 4096 bytes"),
    ({"preset": "torchvision"}, UsageError, "the preset 'torchvision' is not a JSON object"),
    ({"preset": "[1]"}, UsageError, "is not a JSON object; give images.preset"),
    ({"notes": "x" * 70_000}, UsageError, "notes has 70,000 bytes"),
    ({"self_test": weights.SelfTest(0, np.zeros((1, 4)), 1e-4)}, ShapeError, r"shape \(1, 4\); give .* shape \(1, 3\)"),
    ({"self_test": weights.SelfTest(0, np.full((1, 3), np.nan), 1e-4)}, ShapeError, "give finite numbers of shape"),
    ({"self_test": weights.SelfTest(-1, np.zeros((1, 3)), 1e-4)}, UsageError, "seed -1"),
    ({"self_test": weights.SelfTest(0, np.zeros((1, 3)), 2.0)}, UsageError, "tolerance 2.0; give"),
    ({"self_test": weights.SelfTest(0, np.zeros((1, 3)), np.nan)}, UsageError, "tolerance nan; give"),
    ({"self_test": weights.SelfTest(0.5, np.zeros((1, 3)), 1e-4)}, UsageError, "seed 0.5"),
    ({"self_test": weights.SelfTest(0, np.zeros((1, 3)), "a")}, UsageError, "tolerance a; give"),
    ({"self_test": 3}, UsageError, "self_test is 3; give a weights.SelfTest or None"),
    ({"self_test": replace(SELF_TEST, record=3)}, UsageError, "record is 3; give a projections.Record or None"),
    ({"self_test": recording(layers=RECORD.layers[1:])}, ShapeError, "record/layers has shape"),
    ({"self_test": recording(picture=RECORD.picture * np.inf)}, ShapeError, "give finite numbers"),
    ({"self_test": recording(seed=-2)}, UsageError, "the record has seed -2"),
    ({"self_test": recording(class_names="a")}, UsageError, "digest 'a' .* give a seed"),
], ids=["bytes", "no digest", "a list", "few labels", "text for labels", "empty label", "line break", "escape", "C1 escape",
        "long label",
        "preset", "preset list", "long notes", "self-test shape", "self-test NaN", "seed", "tolerance", "tolerance NaN",
        "half a seed", "tolerance text", "self-test 3", "record 3", "record shape", "record infinite", "record seed",
        "record digest"])
def test_what_cannot_be_stored_is_one_sentence(tmp_path, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        small_weights.write(tmp_path / "a.h5", **changes)
    assert not list(tmp_path.iterdir())


def test_features_have_no_labels(tmp_path):
    net = architecture("vgg11", width=1 / 64, num_classes=None)
    with pytest.raises(UsageError, match="3 class names were given for no classes"):
        weights.write(tmp_path / "a.h5", parameters(0, net), architecture=net, preset=PRESET, class_names=LABELS)


def test_an_existing_file_is_kept_unless_forced(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="small.h5 exists already; give another name, or overwrite it with --force"):
        small_weights.write(path, seed=1)
    assert path.read_bytes() == before
    small_weights.write(path, seed=1, force=True)
    assert path.read_bytes() != before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


# ------------------------------------------------------------------------------------------------- digests, seen before


def test_a_damaged_tensor_is_named(path):
    damage(path)
    sentence = ("small.h5: the bytes of conv1_1/weight differ from their recorded digest; "
                "convert or download the file again")
    with pytest.raises(HashMismatchError, match=sentence):
        weights.read(path)


@pytest.mark.parametrize("name", ["labels", "self_test/output", "record/layers", "record/picture"])
def test_labels_and_self_test_are_always_verified(path, name):
    damage(path, name)
    with pytest.raises(HashMismatchError, match=f"the bytes of {name} differ"):
        weights.read(path, verify=False)


@pytest.fixture
def hashed(monkeypatch):
    """The names of the arrays whose digests were checked."""
    names = []
    verify = weights.hdf5_reading.Contents.verify
    monkeypatch.setattr(weights.hdf5_reading.Contents, "verify",
                        lambda contents, name: names.append(name) or verify(contents, name))
    return names


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once."""
    monkeypatch.setattr(verified_files, "SETTLED_NS", 0)


def checks(path, hashed, verify):
    hashed.clear()
    weights.read(path, verify=verify)
    return set(hashed) >= set(NET.parameters)


def test_a_file_is_verified_when_it_is_new_always_or_never(path, hashed, settled):
    assert checks(path, hashed, False) is False
    assert checks(path, hashed, "new") is True
    assert checks(path, hashed, "new") is False
    assert checks(path, hashed, True) is True
    for verify in (0, 1, None, "always"):
        with pytest.raises(UsageError, match="give True, False or 'new'"):
            weights.read(path, verify=verify)


@pytest.mark.parametrize("event", ["touched", "replaced", "changed in place", "copied over with its old time"])
def test_a_file_that_may_have_changed_is_new(path, tmp_path, hashed, settled, event):
    weights.read(path)
    assert checks(path, hashed, "new") is False
    if event == "touched":
        age(path, 100)
    elif event == "replaced":
        small_weights.write(path, seed=1, force=True)
    else:
        status = path.stat()
        time.sleep(0.02)                      # a tick of the file system's clock
        with path.open("r+b") as file:
            file.write(path.read_bytes())
        if event == "copied over with its old time":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert checks(path, hashed, "new") is True


def test_damage_behind_an_old_time_is_found(path, settled):
    """What a restored backup looks like: the same name, size, inode and modification time, other bytes."""
    weights.read(path)
    status = path.stat()
    time.sleep(0.02)
    damage(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(HashMismatchError):
        weights.read(path)


def test_a_file_just_written_is_not_remembered(path, hashed):
    weights.read(path)
    assert checks(path, hashed, "new") is True


def test_a_damaged_file_is_never_remembered(path, settled):
    damage(path)
    for _ in range(2):
        with pytest.raises(HashMismatchError):
            weights.read(path)


@pytest.mark.parametrize("folder", ["a file", "unknown", "folder of that name", "garbage"])
def test_a_cache_folder_that_cannot_be_used_breaks_nothing(path, tmp_path, monkeypatch, hashed, settled, folder):
    cache = tmp_path / "cache"
    monkeypatch.setenv("NPVGG_CACHE", str(cache))
    if folder == "a file":
        cache.write_bytes(b"")
    elif folder == "unknown":
        def unknown():
            raise StorageError("no home folder is known")

        monkeypatch.setattr(verified_files, "cache_folder", unknown)
    else:
        weights.read(path)
        note, = (cache / "verified").iterdir()
        note.unlink()
        note.mkdir() if folder == "folder of that name" else note.write_bytes(b"\xff\xfe garbage")
    assert checks(path, hashed, "new") is True
    weights.read(path)


def test_names_that_are_no_text_are_remembered_too(tmp_path, hashed, settled):
    path = os.fsencode(tmp_path) + b"/\xff.h5"
    small_weights.write(path)
    assert checks(os.fsdecode(path), hashed, "new") is True
    assert checks(os.fsdecode(path), hashed, "new") is False


@pytest.mark.parametrize("verify", ["always", None, 2], ids=str)
def test_an_unknown_way_to_verify_is_one_sentence(path, verify):
    with pytest.raises(UsageError, match="give True, False or 'new'"):
        weights.read(path, verify=verify)


# ------------------------------------------------------------------------------------------------- self-test


def test_the_self_test_s_input_is_the_same_for_ever():
    """The first numbers as NumPy 2.4 draws them: another NumPy that draws others would fail every stored self-test."""
    x = weights.self_test_input(NET, 0)
    assert x.shape == (1, 3, 37, 37)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0, 0, 0, :3], [1.117622, -1.387125, -0.4265716], rtol=1e-6)
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1
    assert np.array_equal(x, weights.self_test_input(NET, 0))
    assert not np.array_equal(x, weights.self_test_input(NET, 1))


def test_paths_in_bytes_are_paths(tmp_path):
    written = small_weights.write(os.fsencode(tmp_path / "a.h5"))
    assert written == weights.read(os.fsencode(written)).path == tmp_path / "a.h5"
