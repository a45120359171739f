"""The page about a weights file lists all that is in it, and nothing that a terminal would obey."""
import hashlib

import pytest
from witnesses import small_weights
from witnesses.small_weights import LABELS, NET, damage, parameters

from npvgg import weights_page


@pytest.fixture
def path(tmp_path):
    return small_weights.write(tmp_path / "small.h5")


def test_inspect_lists_every_array_with_its_digest(path):
    inspection = weights_page.inspect(path)
    assert [tensor.path for tensor in inspection.tensors] == [*NET.parameters, "labels", "self_test/output", "record/layers",
                                                              "record/picture"]
    written = parameters()
    for tensor in inspection.tensors[:-4]:
        array = written[tensor.path]
        assert (tensor.shape, tensor.dtype, tensor.nbytes) == (array.shape, "float32", array.nbytes)
        assert tensor.sha256 == hashlib.sha256(array.tobytes()).hexdigest()
    assert inspection.header["source_name"] == "vgg11.pth"
    assert inspection.class_names == LABELS
    assert (inspection.self_test.seed, inspection.self_test.tolerance) == (7, 1e-4)
    assert inspection.size_bytes == path.stat().st_size


def test_inspect_reads_as_a_page(path):
    page = str(weights_page.inspect(path))
    for part in ("architecture", "made by a test", "conv1_1/weight", "(1, 3, 3, 3)", "UTF-8",
                 "3: ant, bée, great grey owl", "seed 7, tolerance 0.0001, layers, preparation", f"{path.stat().st_size:,}"):
        assert part in page


def test_inspect_shows_no_control_characters_but_line_ends(tmp_path):
    page = str(weights_page.inspect(small_weights.write(tmp_path / "a.h5", notes="two\nlines \x1b]0;title\x07")))
    assert "two\n" + 15 * " " + r"lines \x1b]0;title\x07" in page


def test_inspect_checks_no_digest_of_a_parameter(path):
    damage(path)
    assert len(weights_page.inspect(path).tensors) == len(NET.parameters) + 4
