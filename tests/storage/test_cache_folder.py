import importlib
from pathlib import Path

import platformdirs
import pytest

from npvgg.errors import StorageError
from npvgg.storage import cache_folder

VARIABLES = ("NPVGG_CACHE", "XDG_CACHE_HOME", "HOME")


@pytest.mark.parametrize("platform, variables, expected", [
    ("unix.Unix", {"NPVGG_CACHE": "/chosen"}, "/chosen"),
    ("unix.Unix", {}, "/home/ada/.cache/npvgg"),
    ("unix.Unix", {"NPVGG_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/npvgg"),
    ("unix.Unix", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/npvgg"),
    ("macos.MacOS", {}, "/home/ada/Library/Caches/npvgg"),
    ("macos.MacOS", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/npvgg"),
], ids=["chosen", "linux", "xdg", "relative xdg", "macos", "macos xdg"])
def test_the_folder_is_the_platform_s_unless_one_is_chosen(monkeypatch, platform, variables, expected):
    module, name = platform.split(".")
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in ({"HOME": "/home/ada"} | variables).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(platformdirs, "PlatformDirs", getattr(importlib.import_module(f"platformdirs.{module}"), name))
    assert cache_folder.cache_folder() == Path(expected)


def test_on_windows_it_is_the_local_application_data(monkeypatch):
    windows = importlib.import_module("platformdirs.windows")
    monkeypatch.delenv("NPVGG_CACHE")
    monkeypatch.setattr(platformdirs, "PlatformDirs", windows.Windows)
    monkeypatch.setattr(windows, "get_win_folder", lambda name: {"CSIDL_LOCAL_APPDATA": "/local"}[name])
    assert cache_folder.cache_folder() == Path("/local/npvgg")


def test_a_relative_choice_does_not_move_with_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NPVGG_CACHE", "here")
    monkeypatch.chdir(tmp_path)
    assert cache_folder.cache_folder() == tmp_path / "here"


def test_without_a_home_the_sentence_names_the_variable_to_set(monkeypatch):
    pwd = pytest.importorskip("pwd")

    def unknown(_):
        raise KeyError("no such user")

    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(StorageError, match="set NPVGG_CACHE to a folder you may write to"):
        cache_folder.cache_folder()
