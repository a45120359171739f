"""benchmarks.exactness: what it measures, on narrow networks, and what it refuses."""
import json
import os

import numpy as np
import pytest
from witnesses.networks import lively

from benchmarks import exactness, result_file, rounding, subject
from npvgg import network
from npvgg.errors import BadFileError, StorageError, UnsupportedError
from npvgg.kernels.engine.machine import vectors_here
from npvgg.parity import difference

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")
pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    """An ONNX file of a narrow VGG-16."""
    return written("vgg16", tmp_path_factory.mktemp("filters") / "filters.onnx")


def written(name, path):
    pytest.importorskip("onnx")
    from weights_convert.formats.onnx import writing

    vgg = lively(name, width=1 / 16, hidden=(12,), num_classes=5, input_size=64, pooled_size=1)
    path.write_bytes(writing.model(vgg, writing.DEFAULT_OPSET).SerializeToString())
    return path


# ------------------------------------------------------------------------------------------------- what is measured


@pytest.mark.parametrize("name", ["vgg11_bn", "c"])
def test_gaps_are_those_to_the_run_in_float64(name):
    vgg = lively(name, width=1 / 16, hidden=(12,), num_classes=5, input_size=64, pooled_size=1, threads=1)
    x = np.random.default_rng(0).standard_normal((2, 3, 47, 40), np.float32)
    layers = [layer.name for layer in vgg.architecture.layers]
    found = rounding.gaps(vgg, x, layers)
    exact = vgg.using(tier="reference", dtype=np.float64).runner.trace(x.astype(np.float64))
    for run, options in (("auto", {}), ("direct", {"algorithm": "direct"}), ("jit", {"tier": "jit"})):
        trace = vgg.using(**options).runner.trace(x)
        for layer in layers:
            expected = np.abs(trace[layer] - exact[layer]).max() / np.abs(exact[layer]).max()
            assert found[run][layer] == pytest.approx(expected, rel=1e-6), (run, layer)
    assert all(0 <= gap < 1e-5 for gap in found["pytorch"].values()) and found["pytorch"][layers[-1]] > 0
    assert found["auto"] != found["direct"] != found["jit"]


def test_npvggs_float64_run_confirms_the_oracle():
    vgg = lively("a_lrn", width=1 / 8, hidden=(12,), num_classes=5, input_size=64, pooled_size=1)
    x = np.random.default_rng(0).standard_normal((1, 3, 61, 64))
    layers = [layer.name for layer in vgg.architecture.layers]
    oracle = rounding.pytorch(torch, vgg, x, layers)
    assert list(oracle) == layers and oracle[layers[-1]].dtype == np.float64
    for tier in ("reference", "jit"):
        ours = vgg.using(tier=tier, dtype=np.float64).runner.trace(x)
        assert all(difference.measure(ours[layer], oracle[layer]).within(1e-12) for layer in layers), tier


def test_the_worst_picture_counts(monkeypatch):
    vgg = lively("vgg11", width=1 / 16, head="", threads=1)
    numbers = iter([1e-7, 3e-7, 5e-7, 2e-7, 4e-7, 1e-7])
    monkeypatch.setattr(rounding, "gaps", lambda *_: {run: {"pool5": next(numbers)} for run in ("auto", "direct")})
    (row,) = rounding.rows_of("seeded", vgg, ["pool5"], subject.photographs(3), 32, None)
    assert (row["auto"], row["direct"], row["pictures"]) == (5e-7, 3e-7, 3)


def test_relus_behind_pool5_are_not_watched():
    names = rounding.rectified(network.create("c", width=1 / 16, head="relu avg1 flatten 4 relu"))
    assert names[0] == "relu1_1" and names[-2:] == ["relu5_3", "pool5"] and len(names) == 14


def test_filters_come_out_of_the_file_bit_by_bit(filters):
    vgg, expected = subject.published(filters), lively("vgg16", width=1 / 16, hidden=(12,), num_classes=5, input_size=64,
                                                       pooled_size=1)
    assert (vgg.architecture.name, vgg.architecture.width, vgg.architecture.layers[-1].name) == ("vgg16", 1 / 16, "pool5")
    assert len(vgg.parameters) == 26 and vgg.preset.name == "caffe"
    assert all(np.array_equal(array, expected.parameters[path]) for path, array in vgg.parameters.items())


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"\xff\xff\xff")
    for path in (written("vgg11", tmp_path / "vgg11.onnx"), tmp_path / "none.onnx"):
        with pytest.raises(BadFileError, match="does not hold the convolutions of a VGG-16 .*; give another file"):
            subject.published(path)
    with pytest.raises(StorageError, match="missing.onnx cannot be read"):
        subject.published(tmp_path / "missing.onnx")


# ------------------------------------------------------------------------------------------------- the command


def run_here(monkeypatch):
    """Measure in this process, whatever the settings."""
    monkeypatch.setattr(exactness, "process", lambda job, settings: rounding.rows(**job))


def test_a_run_prints_and_writes_what_it_measured(tmp_path, capsys, monkeypatch, filters):
    run_here(monkeypatch)
    monkeypatch.setattr(exactness, "vectors_here", lambda: "avx512")
    draw = subject.draw
    monkeypatch.setattr(subject, "draw", lambda name, width: draw(name, width=width, hidden=(12,), num_classes=5))
    arguments = ["A", "vgg11_bn", "--width", 1 / 16, "--size", 40, "--pictures", 2, "--threads", 1, "--filters", filters,
                 "--output", tmp_path / "out.json"]
    assert exactness.main(arguments) == 0
    document = result_file.read(tmp_path / "out.json", "exactness")
    assert document["command"].startswith("python -m benchmarks.exactness A vgg11_bn --width 0.0625")
    assert document["machine"]["torch"] == torch.__version__
    once = [("seeded", "vgg11", "fc7"), ("seeded", "vgg11_bn", "fc7")] + [
        ("published", "vgg16", name) for name in rounding.rectified(subject.published(filters))]
    rows = document["rows"]
    assert [(row["weights"], row["network"], row["layer"]) for row in rows] == 2 * once
    assert [row["settings"] for row in rows] == [{}] * len(once) + [exactness.SETTINGS["avx2"]] * len(once)
    for row in rows:
        assert (row["width"], row["size"], row["pictures"], row["processor"]) == (1 / 16, 40, 2, vectors_here())
        assert all(0 < row[name] < 1e-5 for name in rounding.RUNS)
    printed = capsys.readouterr().out
    assert "seeded weights, the worst of 2 photographs" in printed and "published weights" in printed
    assert f"{rows[0]['auto']:.1e}" in printed and f"{rows[0]['auto'] / rows[0]['pytorch']:.2f}\n" in printed


@pytest.mark.skipif(vectors_here() not in exactness.HAVE_AVX2, reason="this processor has no AVX2")
def test_a_process_is_told_what_it_may_use(monkeypatch, filters, session_cache):
    monkeypatch.setenv("NPVGG_CACHE", str(session_cache))
    job = {"names": [], "width": 1, "filters": str(filters), "pictures": 1, "size": 40, "threads": 1}
    rows = list(exactness.process(job, exactness.SETTINGS["avx2"]))
    assert [row["layer"] for row in rows][-1] == "pool5" and {row["processor"] for row in rows} == {"avx2"}
    assert all(row["auto"] > 0 and row["jit"] > 0 for row in rows)


def test_a_process_that_fails_is_reported(capfd):
    job = {"names": ["vgg17"], "width": 1, "filters": None, "pictures": 1, "size": 40, "threads": 1}
    with pytest.raises(UnsupportedError, match="the measuring process ended with status 1; the reason stands above"):
        list(exactness.process(job, {}))
    assert "there is no network called 'vgg17'" in capfd.readouterr().err


@pytest.mark.parametrize("here, asked, kinds", [
    ("avx512", ["here", "avx2"], ["here", "avx2"]), ("avx512", ["avx2"], ["avx2"]), ("avx2", ["here", "avx2"], ["here"]),
    ("avx2", ["avx2"], ["avx2"]), ("neon", ["here", "avx2"], ["here"]),
], ids=str)
def test_kinds_that_are_one_are_measured_once(monkeypatch, here, asked, kinds):
    monkeypatch.setattr(exactness, "vectors_here", lambda: here)
    assert exactness.check(exactness.parser().parse_args(["--processor", *asked])) == kinds


@pytest.mark.parametrize("arguments, status, sentence", [
    (["vgg17"], 2, "there is no network called 'vgg17'"),
    (["--pictures", 0], 2, "--pictures is 0; give a whole number from 1 to 8"),
    (["--size", 31], 2, "--size is 31; give a whole number from 32 to"),
    (["--width", 0], 2, "width is 0.0"),
    (["--threads", 0], 2, "threads is 0"),
    (["--filters", "missing.onnx"], 7, "missing.onnx cannot be read"),
    (["--output", __file__], 2, "exists"),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_what_is_refused_is_refused_before_the_work(monkeypatch, capsys, arguments, status, sentence):
    monkeypatch.setattr(exactness, "process", None)
    assert exactness.main(arguments) == status
    captured = capsys.readouterr()
    assert captured.err.startswith("benchmarks.exactness: ") and sentence in captured.err and not captured.out


def test_without_avx2_its_answers_cannot_be_had(monkeypatch, capsys):
    monkeypatch.setattr(exactness, "vectors_here", lambda: "neon")
    assert exactness.main(["--processor", "avx2"]) == 2
    assert "this processor has NEON and no AVX2; measure with --processor here" in capsys.readouterr().err


def test_the_result_in_the_repository_holds_both_kinds_of_processor():
    path = os.path.join(os.path.dirname(exactness.__file__), "results/exactness.json")
    if not os.path.exists(path):
        pytest.skip("nothing has been measured yet")
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    assert {(row["weights"], row["processor"]) for row in rows} == {
        (weights, kind) for weights in ("seeded", "published") for kind in ("avx512", "avx2")}
