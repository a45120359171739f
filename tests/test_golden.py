"""npvgg against what PyTorch answered once (tests/golden): parity where PyTorch is not installed."""
import json
import shutil

import numpy as np
import pytest
from witnesses import golden

from npvgg import network, parity
from npvgg.kernels import tiers
from npvgg.parity import difference, traces, verdicts
from weights_convert import formats
from weights_convert.convert import convert

TIERS = tiers.LADDER

# Relative to the largest value of a layer.  Measured: 2e-6 and 3e-15; a wrong axis, tap or constant lies above 1e-3.
BOUND = {np.float32: 1e-5, np.float64: 1e-13}


@pytest.fixture(params=golden.CASES)
def recorded(request):
    return golden.load(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tier", TIERS)
def test_every_layer_is_pytorchs(recorded, tier, dtype):
    trace = recorded.vgg.using(tier=tier, dtype=dtype).trace(recorded.x)
    for name, samples, moments in zip(recorded.layers, recorded.float64, recorded.moments):
        largest = abs(moments[2:]).max()
        gap = max(difference.measure(golden.sampled(trace[name]), samples).largest_gap,
                  difference.measure(golden.moments(trace[name].astype(np.float64)), moments).largest_gap)
        assert gap <= BOUND[dtype] * largest, name
    assert difference.measure(trace["fc8"], recorded.logits64).within(BOUND[dtype])
    assert difference.argmax_flips(trace["fc8"], recorded.logits64) == 0


def test_pytorch_in_float32_is_within_the_same_bound(recorded):
    """The bound is fair: the framework we compare with keeps it, too."""
    for name, single, double in zip(recorded.layers, recorded.float32, recorded.float64):
        assert difference.measure(single, double).within(BOUND[np.float32]), name
    assert difference.measure(recorded.logits32, recorded.logits64).within(BOUND[np.float32])


@pytest.mark.parametrize("name", ["tiny-legacy.pth", "tiny-zip.pth"])
def test_a_checkpoint_of_pytorch_is_read_bit_for_bit(name):
    tensors = formats.read(golden.FOLDER / name).tensors
    expected = json.loads((golden.FOLDER / "tiny-digests.json").read_text())
    assert {key: golden.digest(array) for key, array in tensors.items()} == expected


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ["tiny-legacy.pth", "tiny-zip.pth"])
def test_a_converted_checkpoint_follows_pytorchs_trace(name, tier, tmp_path):
    """The whole way without PyTorch: its file, our reader, our format, our pictures, our layers."""
    path = convert(golden.FOLDER / name, tmp_path / "tiny.h5").path
    trace = network.load_file(path, tier=tier).trace(golden.FOLDER / "tiny.png")
    comparison = parity.compare(trace, traces.read(golden.FOLDER / "tiny-trace.h5"), tolerance=1e-5)
    assert not comparison.diverges, comparison.text()
    assert comparison.rows[0].verdict == verdicts.EQUAL
    assert not comparison.only_in_a and not comparison.only_in_b


def test_class_names_beside_the_state_dict_are_found(tmp_path):
    path = convert(golden.FOLDER / "tiny-zip.pth", tmp_path / "tiny.h5").path
    assert network.load_file(path).class_names == ("ant", "bee", "cat", "dog")


def test_a_recording_that_is_missing_names_the_command(tmp_path):
    with pytest.raises(AssertionError, match="there is no vgg16.npz; run `python tests/golden/record.py`"):
        golden.load("vgg16", tmp_path)


def test_a_recording_of_another_network_names_the_command(tmp_path):
    shutil.copy(golden.FOLDER / "c.npz", tmp_path / "vgg16.npz")
    with pytest.raises(AssertionError, match="other layers or parameters .* run `python tests/golden/record.py`"):
        golden.load("vgg16", tmp_path)


def test_recordings_are_small():
    assert sum(path.stat().st_size for path in golden.FOLDER.iterdir() if path.is_file()) < 1e6
