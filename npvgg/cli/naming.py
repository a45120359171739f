"""Which pictures a command line names: files, directories, patterns, lists of names, and - for standard input."""
import os
import sys

from npvgg import images
from npvgg.errors import StorageError, UsageError
from npvgg.text import shown

STANDARD_INPUT = "-"


class StandardInput:
    """The picture that comes by standard input, a binary file.  StorageError where that is closed."""

    def __init__(self):
        self.name, self.file = STANDARD_INPUT, standard_input()

    def seekable(self) -> bool:
        """False: it comes once."""
        return False

    def read(self, size: int) -> bytes:
        """At most so many bytes of it."""
        return self.file.read(size)


def pictures(names, list_file=None, *, is_null=False, missing=False):
    """Names, and a file that lists more → paths, and StandardInput where "-" stands, in the order in which they were given.

    What stands in the list is taken as it is, as the name of a picture, once each time.  UsageError for what names nothing and
    where standard input would be read twice; StorageError for a list that cannot be read; `missing` and the other errors are
    those of `images.find`.
    """
    names = list(names)
    if (names.count(STANDARD_INPUT) + (list_file == STANDARD_INPUT)) > 1:
        raise UsageError("standard input (-) was named twice, but can be read once; give files, or one -")
    if not names and list_file is None:
        raise UsageError("no pictures were named; give files, directories, patterns, - for standard input, or --files-from "
                         "FILE")
    listed = [] if list_file is None else names_in(list_file, is_null)
    paths = [name for name in names if name != STANDARD_INPUT]
    paths = images.find(paths, missing=missing) if paths else []
    if STANDARD_INPUT in names:
        before = names[:names.index(STANDARD_INPUT)]
        paths.insert(len(images.find(before, missing=missing)) if before else 0, StandardInput())
    return paths + listed


def names_in(list_file, is_null):
    """A file of names, one a line, or each ended by a NUL character → the names as the operating system has them."""
    where = "standard input" if list_file == STANDARD_INPUT else shown(list_file)
    try:
        if list_file == STANDARD_INPUT:
            content = standard_input().read()
        else:
            with open(list_file, "rb") as file:
                content = file.read()
    except (OSError, ValueError) as error:
        raise StorageError(f"{where}: the list of pictures cannot be read ({getattr(error, 'strerror', None) or error}); "
                           "check the name") from None
    if not is_null and b"\0" in content:
        raise UsageError(f"{where} holds NUL characters, which end the names; add --null")
    parts = content.split(b"\0") if is_null else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    names = [os.fsdecode(part) for part in parts if part]
    if not names:
        raise UsageError(f"{where} names no picture; give a list of names, one a line")
    return names


def standard_input():
    """Standard input as a binary file; StorageError where it is closed."""
    if sys.stdin is None:
        raise StorageError("standard input is closed; let it come from a file or a pipe")
    return sys.stdin.buffer
