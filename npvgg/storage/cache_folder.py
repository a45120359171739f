"""Where npvgg keeps what it can make or fetch again: converted networks and the notes of files already verified."""
import os
import sys
from pathlib import Path

from npvgg.errors import StorageError


def cache_folder():
    """$NPVGG_CACHE, else the platform's cache folder / "npvgg", as a Path that need not exist yet.

        Linux, BSD   $XDG_CACHE_HOME or ~/.cache       (XDG Base Directory Specification: a relative value is ignored)
        macOS        ~/Library/Caches
        Windows      %LOCALAPPDATA% or ~/AppData/Local

    StorageError where the home folder is unknown too.
    """
    chosen = os.environ.get("NPVGG_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return platform_folder() / "npvgg"


def platform_folder():
    if sys.platform == "darwin":
        return home() / "Library" / "Caches"
    variable, default = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else home() / default


def home():
    try:
        return Path.home()
    except RuntimeError:
        raise StorageError("no home folder is known to keep downloaded networks in; "
                           "set NPVGG_CACHE to a folder you may write to") from None
