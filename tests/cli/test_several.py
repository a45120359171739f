"""One that fails does not end the others."""
import pytest
from witnesses.command import npvgg

from npvgg import hub
from npvgg.cli import several
from npvgg.errors import BadFileError, StorageError


def outcome(name):
    if name == "bad":
        raise BadFileError("bad: is bad; replace it")
    if name == "gone":
        raise StorageError("gone: is gone; look for it")
    return int(name)


@pytest.mark.parametrize("names, status, said", [
    (["0", "0"], 0, ""), (["0", "1"], 1, ""), (["bad", "0"], 8, "bad: is bad"), (["0", "gone", "1"], 8, "gone: is gone"),
    (["gone", "bad"], StorageError.exit_code, "bad: is bad"),
])
def test_the_status_tells_of_all(names, status, said, capsys):
    assert several.each(names, outcome) == status
    assert said in capsys.readouterr().err


def test_the_error_of_one_alone_is_raised():
    with pytest.raises(BadFileError):
        several.each(["bad"], outcome)


def test_a_model_that_cannot_be_fetched_does_not_end_the_others(monkeypatch):
    monkeypatch.setenv("NPVGG_OFFLINE", "1")
    monkeypatch.delenv("NPVGG_MIRROR", raising=False)
    monkeypatch.setattr(hub, "download", lambda name, **options: hub.locate(name))
    run = npvgg("download", "vgg16", hub.DEFAULT)
    assert (run.status, run.out) == (8, f"{hub.locate()}\n") and "vgg16 would have to be fetched" in run.err


def test_a_file_that_is_bad_does_not_end_a_check_of_several(tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"nothing of npvgg's")
    run = npvgg("verify", tmp_path / "bad.h5", hub.locate())
    assert run.status == 8 and "bad.h5" in run.err and "tensors match their digests" in run.out
    assert npvgg("verify", tmp_path / "bad.h5").status == 3
