"""Plain arrays in an HDF5 file, mapped back; `hdf5_format` says what the file holds.

HDF5 is asked only where each array lies; it reads none.  External storage, filters and virtual datasets, which make it open or
unpack other things, are refused before anything is read.
"""
import math
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5s, h5t

from npvgg import text
from npvgg.errors import (
    BadFileError,
    ForeignFileError,
    HashMismatchError,
    NpvggError,
    StorageError,
    UnsupportedError,
    UsageError,
)
from npvgg.storage import file_kinds, opening
from npvgg.storage.hdf5_format import (
    ALIGNMENT,
    FLOATS,
    MAXIMUM_ATTRIBUTES,
    MAXIMUM_RANK,
    MAXIMUM_TEXT,
    NUMBERS,
    SUPERBLOCK,
    VERSION,
    header_digest,
    is_sha256,
    sha256,
)
from npvgg.storage.identity import FileIdentity, MappedFile

# What to do with a file of another kind; with the others: give one that npvgg wrote.
CONVERT = "if it is a PyTorch checkpoint, convert it with `python -m weights_convert`"
ADVICE = {
    "a Git LFS pointer": "fetch the file itself with `git lfs pull`",
    "a zip archive": CONVERT,
    "a Python pickle": CONVERT,
    "a web page (HTML)": "the download failed; download it again",
}
OURS = "give a file that npvgg or weights_convert wrote"
# What h5py raises for a file that HDF5 cannot follow.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Entry:
    """Where one array lies in the file."""

    shape: tuple
    dtype: np.dtype
    offset: int
    sha256: str

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Contents:
    """A file whose structure and header have been checked; its arrays are mapped, not read."""

    path: str
    attributes: dict                          # {"": {…}, "self_test": {…}}, without digest and complete
    entries: dict                             # {name: Entry}
    memory: MappedFile

    def array(self, name: str) -> np.ndarray:
        """The array, read-only, without copying: its pages are read from the disk when they are first touched."""
        entry = self.entries[name]
        return np.ndarray(entry.shape, entry.dtype, buffer=self.memory, offset=entry.offset)

    def verify(self, name: str) -> None:
        """HashMismatchError unless the array's bytes have the digest that was recorded when they were written."""
        if sha256(self.array(name)) != self.entries[name].sha256:
            raise HashMismatchError(f"{self.path}: the bytes of {name} differ from their recorded digest; "
                                    "convert or download the file again")


def read(path: str | bytes | os.PathLike, kind: str, expected: Callable[[dict], tuple[Iterable, Iterable]]) -> Contents:
    """Check a file's structure and header → Contents.

    `expected(attributes of the root)` returns the names of the arrays that must be there, and of those that may be;
    nothing else may.  Raises BadFileError (another kind of file, damaged, hostile), HashMismatchError (the header is
    not what was written), UnsupportedError (a later format) and StorageError (cannot be opened).
    """
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        check_signature(path, file, kind)
        try:
            with h5py.File(file, "r") as hdf5:
                root = hdf5.id
                check_format(path, root, kind)
                attributes = {"": get_attributes(root)}
                digest = attributes[""].pop("digest", None)
                if attributes[""].pop("complete", None) != 1:
                    raise BadFileError(f"{path} is incomplete: its writer was interrupted; "
                                       "convert or download it again")
                entries = locate(root, *expected(attributes[""]), attributes)
            check_places(entries, status.st_size)
        except NpvggError:
            raise
        except Malformed as error:
            raise BadFileError(f"{path} is not as npvgg writes it: {error}; convert or download it again") from None
        except HDF5_ERRORS as error:
            raise BadFileError(f"{path} is damaged ({reason(error)}); convert or download it again") from None
        digests = {name: entry.sha256 for name, entry in entries.items()}
        if digest != header_digest(attributes, entries, digests):
            raise HashMismatchError(f"{path}: the header differs from its recorded digest; "
                                    "convert or download the file again")
        try:
            memory = MappedFile(file.fileno(), FileIdentity.of(path, status, digest))
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be mapped into memory ({error}); copy it to a local disk") from None
    return Contents(os.fsdecode(path), attributes, entries, memory)


class Malformed(Exception):
    """Something in a file that npvgg's writer never makes."""


def open_file(path: str | bytes | os.PathLike) -> BinaryIO:
    """The file, opened for reading; StorageError, BadFileError and UsageError say why it cannot be."""
    try:
        return open(os.fsdecode(path), "rb", opener=opening.without_waiting)
    except FileNotFoundError:
        raise StorageError(f"there is no file {path}; check the name") from None
    except IsADirectoryError:
        raise BadFileError(f"{path} is a folder; give the name of a file") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be opened ({error.strerror or error}); check its permissions") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path!r} is not a path ({error}); give the name of a file") from None


def check_signature(path, file: BinaryIO, kind: str) -> None:
    """Refuse whatever does not begin as HDF5 of version 1.10 and say what it is."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise BadFileError(f"{path} is not a regular file; give the name of a file that npvgg wrote")
    try:
        start = file.read(file_kinds.ENOUGH)
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror or error}); check the disk") from None
    if start.startswith(file_kinds.HDF5 + SUPERBLOCK):
        return
    if start.startswith(file_kinds.HDF5):
        raise ForeignFileError(foreign(path, kind))
    if not start:
        raise BadFileError(f"{path} is empty; convert or download it again")
    what = file_kinds.kind(start)
    if what:
        raise BadFileError(f"{path} is {what}, not an HDF5 file; {ADVICE.get(what, OURS)}")
    raise BadFileError(f"{path} does not begin like an HDF5 file; {OURS}")


def check_format(path, root: h5g.GroupID, kind: str) -> None:
    """Refuse another program's HDF5 after a look at one attribute."""
    try:
        stated = get_attribute(h5a.open(root, b"format")) if h5a.exists(root, b"format") else None
    except Malformed:
        stated = None
    if stated == f"{kind} {VERSION}":
        return
    if isinstance(stated, str) and re.fullmatch(rf"{kind} \d{{1,4}}", stated):
        raise UnsupportedError(f"{path} is in the format {stated!r} and this npvgg reads \"{kind} {VERSION}\"; "
                               "install a newer npvgg")
    if isinstance(stated, str) and stated.startswith("npvgg "):
        raise BadFileError(f"{path} is in the format {stated[:40]!r}, not \"{kind} {VERSION}\"; give a file of that format")
    raise ForeignFileError(foreign(path, kind))


def foreign(path, kind: str) -> str:
    """The sentence for a sound HDF5 file of another program."""
    return f"{path} is an HDF5 file of another program, not \"{kind} {VERSION}\"; {OURS}"


def get_attributes(owner) -> dict:
    """{name: text, int or float} of a group or dataset; Malformed for any other attribute and for too many."""
    count = h5a.get_num_attrs(owner)
    if count > MAXIMUM_ATTRIBUTES:
        raise Malformed(f"{count} attributes on one object")
    attributes = (h5a.open(owner, index=index) for index in range(count))
    return {attribute.name.decode(): get_attribute(attribute) for attribute in attributes}


def get_attribute(attribute: h5a.AttrID) -> str | int | float:
    """The value of an attribute; Malformed unless it is one text of fixed length, an int64 or a float64."""
    kind = attribute.get_type()
    if attribute.get_space().get_simple_extent_type() != h5s.SCALAR or kind.get_size() > MAXIMUM_TEXT:
        raise Malformed(f"the attribute {attribute.name[:40]!r} is not one text or number")
    for number, stored in NUMBERS.items():
        if kind.equal(stored):
            value = np.empty((), stored.dtype)
            attribute.read(value, kind)
            return number(value)
    if not is_fixed_text(kind):
        raise Malformed(f"the attribute {attribute.name[:40]!r} is neither text of fixed length nor a number")
    value = np.empty((), f"S{kind.get_size()}")
    attribute.read(value, kind)
    return value.item().decode()


def is_fixed_text(kind: h5t.TypeID) -> bool:
    """Whether it is the type that `hdf5_writing.text_type` makes."""
    return (isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
            and kind.get_cset() == h5t.CSET_UTF8 and kind.get_strpad() == h5t.STR_NULLPAD)


def locate(root: h5g.GroupID, required: Iterable[str], optional: Iterable[str], attributes: dict) -> dict:
    """Walk to the arrays that are expected, by hard links only → {name: Entry}.

    The attributes of the groups on the way are added to `attributes`.  Malformed for a member that is missing, a link or not
    expected.
    """
    names = [*required, *(name for name in optional if has_link(root, name.partition("/")[0]))]
    groups, members, entries = {"": root}, {"": set()}, {}
    for name in names:
        group, _, leaf = name.rpartition("/")
        if group not in groups:
            groups[group] = open_member(root, group, h5g.open, group)
            members[group] = set()
            members[""].add(group)
            attributes |= {group: values} if (values := get_attributes(groups[group])) else {}
        members[group].add(leaf)
        entries[name] = entry(open_member(groups[group], leaf, h5d.open, name), name)
    for group, leaves in members.items():
        count = groups[group].get_num_objs()
        if count != len(leaves):
            raise Malformed(f"/{group} has {count} members instead of {len(leaves)}")
    return entries


def has_link(group: h5g.GroupID, name: str) -> bool:
    """Whether the group has a member of that name."""
    return group.links.exists(name.encode())


def open_member(group: h5g.GroupID, name: str, open_object: Callable, path: str):
    """Open a member by h5g.open or h5d.open; Malformed for a soft or external link, which may lead anywhere."""
    if not has_link(group, name):
        raise Malformed(f"{path} is missing")
    if group.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise Malformed(f"{path} is a link to somewhere else")
    return open_object(group, name.encode())


def entry(dataset: h5d.DatasetID, name: str) -> Entry:
    """The Entry of a dataset; Malformed unless it is laid out the way `hdf5_writing.compose` does it."""
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5d.CONTIGUOUS or creation.get_nfilters() or creation.get_external_count():
        raise Malformed(f"{name} is not stored contiguously, unfiltered and in this file")
    shape = dataset.get_space().get_simple_extent_dims()
    kind = dataset.get_type()
    dtype = next((dtype for dtype, stored in FLOATS.items() if kind.equal(stored)), None)
    if dtype is None and is_fixed_text(kind):
        dtype = np.dtype(f"S{kind.get_size()}")
    if dtype is None or len(shape) > MAXIMUM_RANK:
        raise Malformed(f"{name} holds something other than little-endian floats or UTF-8 text")
    attributes = get_attributes(dataset)
    if attributes.keys() != {"sha256"} or not is_sha256(attributes["sha256"]):
        raise Malformed(f"{name} has no digest")
    offset, stored, needed = dataset.get_offset(), dataset.get_storage_size(), math.prod(shape) * dtype.itemsize
    if offset is None or stored != needed or not needed:
        raise Malformed(f"{name} has {stored:,} bytes in the file instead of {needed:,}")
    return Entry(tuple(shape), dtype, offset, attributes["sha256"])


def check_places(entries: dict, size: int) -> None:
    """Malformed unless every array lies inside the file of `size` bytes, aligned, and none on top of another."""
    end = 0
    for name, place in sorted(entries.items(), key=lambda item: item[1].offset):
        if place.offset % ALIGNMENT or place.offset < end:
            raise Malformed(f"{name} does not begin where it may")
        end = place.offset + place.nbytes
        if end > size:
            raise Malformed(f"{name} ends at byte {end:,} and the file at {size:,}")


def reason(error: Exception) -> str:
    """What HDF5 says, without the layers that say it: "Unable to … (bad symbol table)" → "bad symbol table"."""
    whole = text.said(error, 1000)
    cut = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", whole)
    if cut:
        return f"cut short: it has {int(cut[1]):,} of {int(cut[2]):,} bytes"
    inner = re.search(r"\((.+)\)", whole)
    return (inner.group(1) if inner else whole)[:120]
