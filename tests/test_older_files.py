"""Weights files that npvgg 0.1.0 wrote load, and give the logits that it stored in them.

    tests/golden/0.1.0-vgg11_bn.h5      create("vgg11_bn", seed=5, how="he", width=1/32, hidden=(6, 5), num_classes=3,
                                        pooled_size=2, input_size=67, class_names=(…)).save(…)
    tests/golden/0.1.0-c-features.h5    create("c", seed=6, how="he", width=1/32, num_classes=None, padding_mode="reflect",
                                        input_size=71, pooled_size=3, preset="pytorchvggnet").save(…)
"""
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from npvgg import hub, network, weights, weights_page
from npvgg.architecture import architecture
from npvgg.gap import relative_gap
from npvgg.kernels import tiers

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    GOLDEN / "0.1.0-vgg11_bn.h5": architecture("vgg11_bn", width=1 / 32, hidden=(6, 5), num_classes=3, pooled_size=2,
                                               input_size=67),
    GOLDEN / "0.1.0-c-features.h5": architecture("c", width=1 / 32, num_classes=None, padding_mode="reflect", input_size=71,
                                                 pooled_size=3),
    hub.DATA / hub.BUNDLED[hub.DEFAULT]: None,
}
paths = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@paths
def test_the_file_is_one_of_0_1_0(path):
    with h5py.File(path) as file:
        assert file.attrs["converted_by"] == b"npvgg 0.1.0"
        assert json.loads(file.attrs["architecture"]).keys() == {"name", "width", "input_size", "pooled_size", "hidden",
                                                                 "num_classes", "padding_mode"}


@paths
def test_it_is_read_as_what_it_was_written_as(path):
    file = weights.read(path, verify=True)
    assert FILES[path] in (None, file.architecture)
    assert {name: array.shape for name, array in file.parameters.items()} == file.architecture.parameters
    assert "npvgg 0.1.0" in str(weights_page.inspect(path))


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("dtype, bound", [(np.float32, 1e-5), (np.float64, 1e-13)], ids=["float32", "float64"])
@pytest.mark.parametrize("path", [path for path in FILES if path.parent == GOLDEN], ids=lambda path: path.stem)
def test_the_answer_is_the_stored_one(path, tier, dtype, bound):
    vgg = network.load_file(path).using(tier=tier, dtype=dtype)
    x = weights.self_test_input(vgg.architecture, vgg.self_test.seed).astype(dtype)
    assert relative_gap(vgg.forward(x), vgg.self_test.output) <= bound


def test_preset_and_names_are_those_of_then():
    classifier, features = map(network.load_file, list(FILES)[:2])
    assert classifier.class_names == ("ant", "bée", "great grey owl") and classifier.preset.crop == 67
    assert features.class_names is None and features.preset.name == "pytorchvggnet"
    assert (classifier.source_output, features.source_output) == ("logits", "logits")


@paths
def test_written_again_it_says_the_same(path, tmp_path):
    old = network.load_file(path)
    new = network.load_file(old.save(tmp_path / "new.h5"))
    assert new.architecture == old.architecture and new.preset == old.preset and new.class_names == old.class_names
    assert all(np.array_equal(new.parameters[name], array) for name, array in old.parameters.items())
    assert old.self_test.record is None and new.run_layer_test() < 1e-13
