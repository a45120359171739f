"""Result files: what was written comes back, and everything else is refused with a next step."""
import json

import pytest

from benchmarks import result_file
from npvgg.errors import BadFileError, StorageError, UsageError

ROWS = [{"network": "vgg16", "ms": 1.5, "left_out": "ä"}, {"network": "c"}]


def test_what_was_written_comes_back(tmp_path):
    path = tmp_path / "peers.json"
    result_file.write(path, "peers", ROWS, command="python -m benchmarks.peers", peak_gflops=100.0)
    document = result_file.read(path, "peers")
    assert document["rows"] == ROWS and document["command"] == "python -m benchmarks.peers"
    assert document["machine"]["peak_gflops"] == 100 and document["machine"]["cores"] >= 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["peers.json"]
    assert path.read_text(encoding="utf-8").splitlines()[1:] == [
        '{"network": "vgg16", "ms": 1.5, "left_out": "ä"},', '{"network": "c"}', "]}"]


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    path = tmp_path / "peers.json"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already; give another name, or overwrite it with --force"):
        result_file.write(path, "peers", ROWS, command="")
    assert path.read_text() == "mine"
    result_file.write(path, "peers", ROWS, command="", force=True)
    assert result_file.read(path, "peers")["rows"] == ROWS


@pytest.mark.parametrize("rows", [[{"gap": float("nan")}], [{"gap": object()}]], ids=["NaN", "not JSON"])
def test_rows_that_json_cannot_hold_leave_no_file(tmp_path, rows):
    with pytest.raises((ValueError, TypeError)):
        result_file.write(tmp_path / "peers.json", "peers", rows, command="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text, error, sentence", [
    (None, StorageError, "cannot be read .*; measure first, with the commands in benchmarks/results/README.md"),
    ('{"format":', BadFileError, "is not JSON .*; measure again"),
    ("[" * 100_000, BadFileError, "is not JSON .*; measure again"),
    ("[]", BadFileError, "is not a file of the format 'npvgg-benchmark 1'; measure again"),
    (json.dumps(dict.fromkeys(result_file.FIELDS)), BadFileError, "is not a file of the format"),
    (json.dumps(dict.fromkeys(result_file.FIELDS) | {"format": result_file.FORMAT, "kind": "layers"}), BadFileError,
     "holds results of the kind 'layers', expected 'peers'; give another file"),
], ids=["missing", "cut", "nested", "a list", "another format", "another kind"])
def test_other_files_are_refused(tmp_path, text, error, sentence):
    path = tmp_path / "peers.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=sentence):
        result_file.read(path, "peers")
