from pathlib import Path

import pytest

from npvgg.errors import StorageError
from npvgg.storage import cache_folder


@pytest.mark.parametrize("platform, variables, expected", [
    ("linux", {"NPVGG_CACHE": "/chosen"}, "/chosen"),
    ("linux", {}, "/home/ada/.cache/npvgg"),
    ("linux", {"NPVGG_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/npvgg"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/npvgg"),
    ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/ada/Library/Caches/npvgg"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/npvgg"),
    ("win32", {}, "/home/ada/AppData/Local/npvgg"),
], ids=["chosen", "linux", "xdg", "relative xdg", "macos", "windows", "bare windows"])
def test_the_folder_is_the_platform_s_unless_one_is_chosen(monkeypatch, platform, variables, expected):
    for name in ("NPVGG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache_folder.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert cache_folder.cache_folder() == Path(expected)


def test_a_relative_choice_does_not_move_with_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NPVGG_CACHE", "here")
    monkeypatch.chdir(tmp_path)
    assert cache_folder.cache_folder() == tmp_path / "here"


def test_without_a_home_the_sentence_names_the_variable_to_set(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NPVGG_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(StorageError, match="set NPVGG_CACHE to a folder you may write to"):
        cache_folder.cache_folder()
