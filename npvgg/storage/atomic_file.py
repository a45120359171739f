"""Files that are written whole or not at all.

    with atomic_file.writing("vgg16.h5") as file:       # a binary file under a temporary name in the same folder
        file.write(…)
                                                        # flush, fsync, check, rename, fsync of the folder

    with atomic_file.growing("answers.csv") as write:    # records that took long to make: those of a run that fails are kept
        write(b"…")

Whenever the process stops (an error, a full disk, kill −9), the path holds nothing, its old bytes, or all the new ones.
After an error the temporary file is removed, or kept as PATH.partial; only a killed process leaves one, called .npvgg-….tmp.
"""
import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from npvgg import text
from npvgg.checks import check_choice
from npvgg.errors import BadFileError, StorageError, UsageError

CURES = {
    errno.ENOSPC: "free some space or write to another disk",
    errno.EDQUOT: "free some space or write to another disk",
    errno.EFBIG: "raise the limit on file sizes or write to another disk",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "choose a path that runs through folders only",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def writing(path: str | bytes | os.PathLike, *, force: bool = False,
            check: Callable[[str], None] | None = None,
            salvage: Callable[[str, BaseException], None] | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file; when the block ends without an error, its bytes become the file `path`.

    An existing file is kept unless `force`; a symbolic link is followed.  `check(temporary_path)` runs on the closed
    file before it takes its name, and may raise BadFileError.  After an error `salvage(temporary_path, error)` may give what
    was written another name.  Raises UsageError (exists already, is a folder) and StorageError.
    """
    target = destination(path, force)
    temporary = os.path.join(os.path.dirname(target), f".npvgg-{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            run(check, temporary, path)
        give_name(temporary, target, force)
    except BaseException as error:
        # An OSError about some other file is the caller's own.
        is_ours = isinstance(error, OSError) and not isinstance(error, StorageError) and error.filename in (None, temporary)
        failure = StorageError(sentence(path, error)) if is_ours else error
        with suppress(OSError):
            if salvage is not None:
                salvage(temporary, failure)
        with suppress(OSError):
            os.unlink(temporary)
        if is_ours:
            raise failure from None
        raise


@contextmanager
def growing(path: str | bytes | os.PathLike, *, force: bool = False,
            header: bytes = b"") -> Iterator[Callable[[bytes], None]]:
    """Yield write(record); when the block ends without an error, the header and the records become the file `path`.

    Where it ends otherwise (an error, Ctrl-C, a full disk), the whole records until then, if there are any, are the file
    `path`.partial, and a note of the error says so.  Nothing waits in a buffer, so a killed process leaves them too.  Errors:
    those of `writing`.
    """
    complete = 0

    def salvage(temporary, error):
        if complete > len(header):
            os.truncate(temporary, complete)               # a full disk takes a part of a record
            name = partial_name(os.fsdecode(path))
            os.replace(temporary, name)
            error.add_note(f"what was finished before is kept in {text.shown(name)}")

    with writing(path, force=force, salvage=salvage) as file:
        def write(record):
            nonlocal complete
            rest = memoryview(record)
            while rest:
                rest = rest[file.raw.write(rest):]
            complete += len(record)

        write(header)
        yield write


def partial_name(name: str) -> str:
    """`name`.partial, or with a number behind it where that is taken by what an earlier run has left."""
    partial, number = f"{name}.partial", 1
    while os.path.lexists(partial):
        number += 1
        partial = f"{name}.partial{number}"
    return partial


def write(path: str | bytes | os.PathLike, data: bytes | str, *, force: bool = False) -> None:
    """Write `data` (bytes, or str as UTF-8) as the whole file `path`, or nothing of it.  Errors: those of `writing`."""
    with writing(path, force=force) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def destination(path: str | bytes | os.PathLike, force: bool) -> str:
    """The real path to write to; UsageError for everything that can be refused before the work begins."""
    check_choice("force", force, (True, False))
    try:
        name = os.fsdecode(path)
        target = os.path.realpath(name)
        is_folder = os.path.isdir(target) or name.endswith(os.sep)
        # By its name too: /dev/stdout and >(command) lead through /proc to pipes, which have no path of their own.
        exists, is_file = os.path.lexists(target) or os.path.exists(name), os.path.isfile(target)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path!r} is not a path ({error}); give the name of a file to write") from None
    if is_folder:
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    if exists and not is_file:
        raise UsageError(f"{path} is not a regular file; give another name to write to")
    if exists and not force:
        raise UsageError(already_there(path))
    return target


def refuse_inputs(output: str | bytes | os.PathLike, inputs: Iterable) -> None:
    """UsageError where `output` is one of the `inputs`, whatever names lead there; inputs that are no paths are passed over."""
    if any(is_same(output, path) for path in inputs if isinstance(path, (str, bytes, os.PathLike))):
        raise UsageError(f"{os.fsdecode(output)} is a file that is read; give another name for the result")


def is_same(one: str | bytes | os.PathLike, other: str | bytes | os.PathLike) -> bool:
    """Whether both names lead to one file; False where one leads nowhere."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def give_name(temporary: str, target: str, force: bool) -> None:
    """Let the finished file take its name in one step; UsageError where the name is taken and not `force`."""
    if force:
        os.replace(temporary, target)
    else:
        try:
            # Of two writers one must lose: a link, unlike a rename, fails where the name is taken.
            os.link(temporary, target)
        except FileExistsError:
            raise UsageError(already_there(target)) from None
        except OSError:
            os.replace(temporary, target)       # a file system without hard links
        else:
            with suppress(OSError):
                os.unlink(temporary)
    # The file is whole under its name by now, and some file systems refuse to open or sync a folder.
    with suppress(OSError):
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def run(check: Callable[[str], None], temporary: str, path) -> None:
    """Check the finished file before it takes its name; StorageError where it is not as it was written."""
    try:
        check(temporary)
    except BadFileError:
        raise StorageError(f"{path} was not written, because the disk gave back other bytes than were written; "
                           "check the disk and try again") from None


def already_there(path) -> str:
    """The sentence for a name that is taken."""
    return f"{path} exists already; give another name, or overwrite it with --force (in Python force=True)"


def sentence(path, error: OSError) -> str:
    """What failed, and what may cure it."""
    cure = CURES.get(error.errno, "choose another folder or disk")
    return f"{path} cannot be written ({error.strerror or error}); {cure}"
