"""A network in another process: by path where it is that of a file, by value where it is not, before and after its use."""
import copy
import multiprocessing
import operator
import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import network, weights
from npvgg.errors import BadFileError, StorageError
from npvgg.parameters import is_sealed

ROOT = Path(__file__).parents[1]
SIZES = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 4, "pooled_size": 1, "input_size": 32}
LATER = 0.02                                  # seconds; the clock of a file system has ticks of up to 10 ms


def picture(n=2, dtype=np.float32):
    return np.random.default_rng(0).standard_normal((n, 3, 32, 45)).astype(dtype)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two weights files of the same shapes, not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    return [lively("vgg11_bn", seed=seed, class_names=("ant", "bee", "cat", "dog"), **SIZES).save(folder / f"{seed}.h5")
            for seed in (0, 1)]


@pytest.fixture
def path(saved, tmp_path):
    path = Path(shutil.copy(saved[0], tmp_path / "net.h5"))
    time.sleep(LATER)
    return path


@pytest.fixture
def vgg(path):
    return network.load_file(path)


CHANGED = [("of a file", lambda vgg: vgg, True), ("with options", lambda vgg: vgg.using(tier="jit", threads=1), True),
           ("in float64", lambda vgg: vgg.using(dtype=np.float64, tier="reference"), True),
           ("with parameters", lambda vgg: vgg.with_parameters({"fc8/bias": np.arange(4, dtype=np.float32)}), False),
           ("replaced", lambda vgg: replace(vgg, class_names=("a", "b", "c", "d")), False),
           ("made here", lambda vgg: lively("vgg13", **SIZES), False)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("change, by_path", [case[1:] for case in CHANGED], ids=[case[0] for case in CHANGED])
def test_it_is_the_same_when_it_arrives(vgg, change, by_path, protocol):
    vgg = change(vgg)
    x = picture(dtype=vgg.dtype)
    fresh = pickle.dumps(vgg, protocol)
    answer = vgg(x)
    used = pickle.dumps(vgg, protocol)
    assert (len(fresh) < 10_000) == by_path and (len(used) < 10_000) == by_path
    for packed in (fresh, used):
        other = pickle.loads(packed)
        assert np.array_equal(other(x), answer) and other.dtype == vgg.dtype
        for part in ("architecture", "preset", "class_names", "options", "source", "source_output"):
            assert getattr(other, part) == getattr(vgg, part)
        assert all(is_sealed(array) for array in other.parameters.values())
        assert (other.self_test is None) == (vgg.self_test is None)
        assert (len(pickle.dumps(other)) < 10_000) == by_path


def test_numbers_that_were_rounded_on_the_way_travel_by_value(tmp_path):
    vgg = lively("vgg11", **SIZES).using(dtype=np.float64)
    exact = vgg.with_parameters({"fc8/bias": np.array([1 / 3, 1 / 5, 1 / 7, 1 / 9])}).save(tmp_path / "exact.h5")
    single = network.load_file(exact).using(dtype=np.float32)
    double = single.using(dtype=np.float64)
    assert pickle.loads(pickle.dumps(single)).parameters["fc8/bias"][0] == np.float32(1 / 3)
    assert pickle.loads(pickle.dumps(double)).parameters["fc8/bias"][0] == np.float32(1 / 3)
    assert pickle.loads(pickle.dumps(network.load_file(exact))).parameters["fc8/bias"][0] == 1 / 3


def test_a_copy_is_the_network_itself(vgg):
    vgg(picture())
    assert copy.copy(vgg) is vgg and copy.deepcopy(vgg) is vgg and copy.deepcopy([vgg])[0] is vgg


def test_arrays_out_of_band_are_not_copied():
    """As Ray and joblib send them: the buffers beside the pickle, read-only where they arrive."""
    vgg, buffers = lively("vgg11", **SIZES), []
    packed = pickle.dumps(vgg, 5, buffer_callback=buffers.append)
    received = [bytes(buffer) for buffer in buffers]
    other = pickle.loads(packed, buffers=received)
    starts = {np.frombuffer(buffer, np.uint8).ctypes.data for buffer in received}
    assert {array.ctypes.data for array in other.parameters.values()} <= starts


# ------------------------------------------------------------------------------------------------- other processes


@pytest.mark.parametrize("by_path", [True, False], ids=["by path", "by value"])
def test_a_pool_of_spawned_processes(vgg, by_path):
    vgg = vgg if by_path else lively("vgg11", **SIZES)
    x = picture(4)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        before = [pool.submit(vgg.using(threads=1).forward, x[n:n + 1]) for n in range(2)]       # not used here yet
        here = vgg.forward(x)
        after = [pool.submit(operator.methodcaller("features", x[n:n + 1], "fc8"), vgg.using(threads=1)) for n in (2, 3)]
        assert all(np.array_equal(answer.result()[0], here[n]) for n, answer in enumerate(before))
        assert all(np.array_equal(answer.result()["fc8"][0], here[n + 2]) for n, answer in enumerate(after))


def test_joblib(vgg):
    joblib = pytest.importorskip("joblib")
    x = picture(4)
    here = vgg.forward(x)
    for subject in (vgg, replace(vgg)):
        there = joblib.Parallel(n_jobs=2)(joblib.delayed(subject.using(threads=1).forward)(x[n:n + 1]) for n in range(4))
        assert np.array_equal(np.concatenate(there), here)


def test_cloudpickle_as_ray_packs_it(vgg):
    cloudpickle = pytest.importorskip("cloudpickle")
    vgg(picture())
    assert len(cloudpickle.dumps(vgg)) < 10_000
    task = cloudpickle.dumps(lambda x: vgg.forward(x))
    assert np.array_equal(pickle.loads(task)(picture()), vgg(picture()))


# ------------------------------------------------------------------------------------------------- another file


def test_a_copy_of_the_file_under_its_path_will_do(vgg, path):
    packed = pickle.dumps(vgg)
    shutil.copy(path, path.with_name("copy"))
    os.replace(path.with_name("copy"), path)
    assert np.array_equal(pickle.loads(packed)(picture()), network.load_file(path)(picture()))


def test_another_file_under_its_path_is_refused(vgg, path, saved):
    packed = pickle.dumps(vgg)
    shutil.copy(saved[1], path)
    with pytest.raises(BadFileError, match=f"^{path} is another file than the one of the network that was packed; load it "
                                           "again, or copy that file here$"):
        pickle.loads(packed)


def test_a_damaged_copy_is_refused(vgg, path):
    packed, offset = pickle.dumps(vgg), path.read_bytes().index(vgg.parameters["fc8/weight"].tobytes())
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\x01")
    with pytest.raises(BadFileError, match="the bytes of fc8/weight differ from their recorded digest"):
        pickle.loads(packed)


def test_a_file_that_is_missing_there_is_refused(vgg, path):
    packed = pickle.dumps(vgg)
    path.unlink()
    with pytest.raises(StorageError, match=f"^there is no file {path}"):
        pickle.loads(packed)


# ------------------------------------------------------------------------------------------------- a file that changes


def cut(path, saved):
    os.truncate(path, 5000)


def written_to(path, saved):
    with open(path, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"abcd")


def replaced(path, saved):
    shutil.copy(saved[1], path.with_name("other"))
    os.replace(path.with_name("other"), path)


USES = {
    "call": lambda vgg: vgg(picture(dtype=vgg.dtype)), "forward": lambda vgg: vgg.forward(picture(dtype=vgg.dtype)),
    "features": lambda vgg: vgg.features(picture(dtype=vgg.dtype), "pool1"), "trace": lambda vgg: vgg.trace(picture()),
    "predict": lambda vgg: vgg.predict(np.zeros((40, 40, 3), np.uint8)), "self-test": network.VGG.run_self_test,
    "save": lambda vgg: vgg.save(Path(vgg.source).with_name("again.h5")), "pickle": pickle.dumps,
    "dtype": lambda vgg: vgg.using(dtype="float32" if vgg.dtype == np.float64 else "float64"),
}


@pytest.mark.parametrize("change", [cut, written_to, replaced])
@pytest.mark.parametrize("how", [{}, {"tier": "jit"}, {"tier": "reference"}, {"dtype": np.float64}], ids=str)
def test_every_use_notices_that_the_file_was_changed(path, saved, how, change):
    vgg = network.load_file(path).using(**how)
    used = network.load_file(path).using(**how)
    used(picture(dtype=used.dtype))
    change(path, saved)
    for subject in (vgg, used):
        for use in USES.values():
            with pytest.raises(BadFileError, match=f"^{path} was changed since it was opened; load it again$"):
                use(subject)
    assert not path.with_name("again.h5").exists()


def test_other_parameters_beside_those_of_the_file_do_not_hide_it(vgg, path, saved):
    other = vgg.with_parameters({"fc8/bias": np.zeros(4, np.float32)})
    direct = network.VGG(vgg.architecture, weights.read(path).parameters, vgg.preset)
    other(picture()), direct(picture())
    cut(path, saved)
    for subject in (other, direct):
        with pytest.raises(BadFileError, match="was changed since it was opened"):
            subject(picture())
        with pytest.raises(BadFileError, match="was changed since it was opened"):
            pickle.dumps(subject)


def test_a_network_whose_parameters_are_all_others_needs_no_file(vgg, path, saved):
    other = vgg.with_parameters({name: array.copy() for name, array in vgg.parameters.items()})
    before = vgg(picture())
    cut(path, saved)
    assert np.array_equal(other(picture()), before)


def test_a_cut_file_does_not_end_the_process(path):
    code = f"""
import os
import numpy as np
from npvgg import network
from npvgg.errors import BadFileError
from npvgg.kernels import tiers
for vgg in [network.load_file({str(path)!r}, tier=tier) for tier in tiers.LADDER]:
    os.truncate({str(path)!r}, 4096)
    try:
        vgg.forward(np.zeros((1, 3, 32, 32), np.float32))
    except BadFileError as error:
        print(error)
"""
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert child.stdout == 3 * f"{path} was changed since it was opened; load it again\n", (child.returncode, child.stderr)


def test_a_network_whose_file_is_gone_travels_by_value(tiny_file, tmp_path):
    vgg = network.load_file(shutil.copy(tiny_file, tmp_path / "gone.h5"))
    (tmp_path / "gone.h5").unlink()
    again = pickle.loads(pickle.dumps(vgg))
    assert again.file is None and all(np.array_equal(again.parameters[path], vgg.parameters[path]) for path in vgg.parameters)
