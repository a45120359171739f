"""What benchmarks.layers says of a layer, as far as it is not a time."""
import numpy as np
import pytest
from witnesses.networks import lively

from benchmarks import layers, peak, result_file
from npvgg.counting import describe

SIZES = {"width": 1 / 16, "hidden": (12,), "num_classes": 5, "input_size": 64}


@pytest.fixture(scope="module", params=["vgg11_bn", "c", "a_lrn"])
def vgg(request):
    return lively(request.param, threads=1, **SIZES)


@pytest.mark.parametrize("tier", ["engine", "jit"])
def test_every_layer_with_weights_is_timed_and_judged(vgg, tier):
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    times = (layers.engine_times if tier == "engine" else layers.tier_times)(vgg, x, tier, 2)
    errors = dict(layers.layer_errors(vgg, x, [tier]))
    weighted = [row for row in describe(vgg.architecture) if row.macs]
    assert list(times) == [row.layer.name for row in weighted]
    for row in weighted:
        ms, algorithm, packed = times[row.layer.name]
        judged = layers.judged(row, tier, ms, algorithm, packed, errors[row.layer.name][tier], 1, 1e9, 1e18)
        assert ms > 0 and judged["of_peak"] > 0 and judged["verdict"] == "ok"
        assert judged["gflops"] == pytest.approx(2e-6 * row.macs / ms)


def test_results_are_written_with_the_machine_they_are_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peak, "REPEATS", 100)
    monkeypatch.setattr(peak, "MEMORY_BYTES", 1 << 20)
    small = lively("vgg11", threads=1, **SIZES)
    monkeypatch.setattr(layers.network, "create", lambda name, **options: small)
    assert layers.main(["vgg11", "--runs", 1, "--tier", "engine", "--output", tmp_path / "a.json"]) == 0
    found = result_file.read(tmp_path / "a.json", "layers")
    assert [row["layer"] for row in found["rows"]] == [row.layer.name for row in describe(small.architecture) if row.macs]
    assert found["machine"]["peak_gflops"] > 0 and found["machine"]["read_gb_per_s"] > 0
    assert "conv1_1  engine  first" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, sentence", [
    (["vgg17"], "there is no network called 'vgg17'"),
    (["--batch", 0], "--batch is 0; give a whole number of at least 1"),
    (["--runs", 0], "--runs is 0; give a whole number of at least 1"),
    (["--threads", 0], "threads is 0"),
    (["--output", __file__], "exists"),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_what_cannot_be_measured_is_said_in_a_line(arguments, sentence, capsys):
    assert layers.main(arguments) == 2
    message = capsys.readouterr().err
    assert sentence in message and message.count("\n") == 1


def test_a_layer_that_is_wrong_is_said_to_be(vgg):
    row = describe(vgg.architecture)[0]
    judged = layers.judged(row, "jit", 1.0, "im2col", None, 2e-4, 1, 1, 1)
    assert judged["verdict"] == "DISAGREES" and layers.cells(judged)[-2:] == ("2.0e-04", "DISAGREES")


def test_the_peak_is_measured(monkeypatch):
    monkeypatch.setattr(peak, "REPEATS", 100)
    monkeypatch.setattr(peak, "MEMORY_BYTES", 1 << 20)
    assert peak.multiply_adds(1) > 0 and peak.reading(1) > 0
