"""A file counts as verified only while it is the same in everything that is noted of it."""
import time
from dataclasses import fields, replace

import pytest

from npvgg.storage import verified_files
from npvgg.storage.identity import FileIdentity

LONG_AGO = 1_000_000_000_000_000_000          # ns since 1970


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NPVGG_CACHE", str(tmp_path / "cache"))


def identity(tmp_path, **other):
    return replace(FileIdentity(str(tmp_path / "file"), 123, LONG_AGO, LONG_AGO + 1, 7, 8, "digest"), **other)


def test_what_was_remembered_is_known(tmp_path):
    file = identity(tmp_path)
    assert not verified_files.is_known(file)
    verified_files.remember(file)
    assert verified_files.is_known(file)


@pytest.mark.parametrize("field", [field.name for field in fields(FileIdentity)])
def test_a_file_that_differs_in_anything_is_new(tmp_path, field):
    file = identity(tmp_path)
    verified_files.remember(file)
    value = getattr(file, field)
    assert not verified_files.is_known(replace(file, **{field: value + ("1" if isinstance(value, str) else 1)}))


@pytest.mark.parametrize("young", ["modified", "changed"])
def test_a_file_that_was_just_written_or_renamed_is_not_remembered(tmp_path, young):
    """It may still change within the same tick of the clock."""
    file = identity(tmp_path, **{young: time.time_ns()})
    verified_files.remember(file)
    assert not verified_files.is_known(file)
    settled = identity(tmp_path, **{young: time.time_ns() - 2 * verified_files.SETTLED_NS})
    verified_files.remember(settled)
    assert verified_files.is_known(settled)
