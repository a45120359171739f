"""What benchmarks.layers says of a layer, as far as it is not a time."""
from argparse import Namespace

import numpy as np
import pytest
from witnesses.networks import lively

from benchmarks import layers, peak
from npvgg.architecture import describe

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
        ms, algorithm, operation = times[row.layer.name]
        judged = layers.judged(row, tier, ms, algorithm, operation, errors[row.layer.name][tier], Namespace(batch=1), 1e9, 1e18)
        assert ms > 0 and judged["of_peak"] > 0 and judged["verdict"] == "ok"
        assert judged["gflops"] == pytest.approx(2e-6 * row.macs / ms)


def test_a_layer_that_is_wrong_is_said_to_be(vgg):
    row = describe(vgg.architecture)[0]
    judged = layers.judged(row, "jit", 1.0, "im2col", None, 2e-4, Namespace(batch=1), 1, 1)
    assert judged["verdict"] == "DISAGREES" and layers.cells(judged)[-2:] == ("2.0e-04", "DISAGREES")


def test_the_peak_is_measured(monkeypatch):
    monkeypatch.setattr(peak, "REPEATS", 100)
    monkeypatch.setattr(peak, "MEMORY_BYTES", 1 << 20)
    assert peak.multiply_adds(1) > 0 and peak.reading(1) > 0
