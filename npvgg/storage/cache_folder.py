"""Where npvgg keeps what it can make or fetch again: converted networks, compiled kernels, notes of files already verified."""
import os
from pathlib import Path

import platformdirs

from npvgg.errors import StorageError


def cache_folder() -> Path:
    """$NPVGG_CACHE, else the platform's cache folder / "npvgg", as an absolute Path that need not exist yet.

        Linux, BSD   $XDG_CACHE_HOME or ~/.cache       (XDG Base Directory Specification: a relative value is ignored)
        macOS        $XDG_CACHE_HOME or ~/Library/Caches
        Windows      %LOCALAPPDATA%, the known folder "local application data"

    The platform's folder is platformdirs.user_cache_path's.  StorageError where the home folder is unknown too.
    """
    chosen = os.environ.get("NPVGG_CACHE")
    if chosen:
        return Path(chosen).absolute()
    try:
        return platformdirs.user_cache_path("npvgg", appauthor=False, opinion=False)
    except RuntimeError:
        raise StorageError("no home folder is known to keep downloaded networks in; "
                           "set NPVGG_CACHE to a folder you may write to") from None
