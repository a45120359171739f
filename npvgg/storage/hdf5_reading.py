"""Plain arrays in an HDF5 file, mapped back: what npvgg's file formats have in common.

    FILE                       HDF5 of version 1.10, no user block
      attributes               format = "npvgg weights 1", …: text, an int64 or a float64 each
                               digest = SHA-256 of the header (see `header_digest`), complete = 1
      /NAME or /GROUP/NAME     one contiguous, unfiltered, little-endian array that begins at a multiple of 64 bytes:
                               float32, float64 or UTF-8 text of fixed length, padded with zeros
                               attribute sha256 of its bytes

HDF5 composes the header in memory and is asked, when reading, only where each array lies; it never writes to the disk
nor reads an array.  A full disk thus cannot leave the library half-way through a file, and external storage, filters
and virtual datasets, which make it open or unpack other things, are refused before anything is read.
"""
import hashlib
import json
import math
import mmap
import os
import re
import stat
from dataclasses import dataclass

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5s, h5t

from npvgg.errors import (
    BadFileError,
    ForeignFileError,
    HashMismatchError,
    NpvggError,
    StorageError,
    UnsupportedError,
    UsageError,
)

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK = b"\x03"                          # its version in HDF5 1.10, the first whose every header has a checksum
ALIGNMENT = 64                                # a cache line, and the widest vector register
VERSION = 1
MAXIMUM_TEXT = 60_000                         # bytes; HDF5 keeps an attribute in an object header of at most 64 KiB
MAXIMUM_ATTRIBUTES = 64
MAXIMUM_RANK = 8

NUMBERS = {int: h5t.STD_I64LE, float: h5t.IEEE_F64LE}
FLOATS = {np.dtype("<f4"): h5t.IEEE_F32LE, np.dtype("<f8"): h5t.IEEE_F64LE}

# What a wrong file begins with, and what to say about it.
LOOKALIKES = (
    (b"version https://git-lfs", "is a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", "is a zip file; if it is a PyTorch checkpoint, convert it with `python -m weights_convert`"),
    (b"\x80\x02", "looks like a PyTorch checkpoint; convert it with `python -m weights_convert`"),
    (b"<", "looks like a web page, so its download failed; download it again"),
)
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
    def nbytes(self):
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Contents:
    """A file whose structure and header have been checked; its arrays are mapped, not read."""

    path: str
    attributes: dict                          # {"": {…}, "self_test": {…}}, without digest and complete
    entries: dict                             # {name: Entry}
    digest: str                               # of the header
    status: os.stat_result
    memory: mmap.mmap

    def array(self, name):
        """The array, read-only, without copying: its pages are read from the disk when they are first touched."""
        entry = self.entries[name]
        return np.ndarray(entry.shape, entry.dtype, buffer=self.memory, offset=entry.offset)

    def verify(self, name):
        """HashMismatchError unless the array's bytes have the digest that was recorded when they were written."""
        if sha256(self.array(name)) != self.entries[name].sha256:
            raise HashMismatchError(f"{self.path}: the bytes of {name} differ from their recorded digest; "
                                    "convert or download the file again")


def read(path, kind, expected):
    """Check a file's structure and header → Contents.

    `expected(attributes of the root)` returns the names of the arrays that must be there, and of those that may be;
    nothing else may.  Raises BadFileError (another kind of file, damaged, hostile), HashMismatchError (the header is
    not what was written), UnsupportedError (a later format) and StorageError (cannot be opened).
    """
    with open_file(path) as file:
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
        except NpvggError:
            raise
        except Malformed as error:
            raise BadFileError(f"{path} is not as npvgg writes it: {error}; convert or download it again") from None
        except HDF5_ERRORS as error:
            raise BadFileError(f"{path} is damaged ({reason(error)}); convert or download it again") from None
        status = os.fstat(file.fileno())
        check_places(path, entries, status.st_size)
        digests = {name: entry.sha256 for name, entry in entries.items()}
        if digest != header_digest(attributes, entries, digests):
            raise HashMismatchError(f"{path}: the header differs from its recorded digest; "
                                    "convert or download the file again")
        try:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be mapped into memory ({error}); copy it to a local disk") from None
    return Contents(os.fsdecode(path), attributes, entries, digest, status, memory)


class Malformed(Exception):
    """Something in a file that npvgg's writer never makes."""


def open_file(path):
    """The file, opened for reading.  A named pipe does not block."""
    def without_waiting(name, flags):
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        return open(os.fsdecode(path), "rb", opener=without_waiting)
    except FileNotFoundError:
        raise StorageError(f"there is no file {path}; check the name") from None
    except IsADirectoryError:
        raise BadFileError(f"{path} is a folder; give the name of a file") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be opened ({error.strerror or error}); check its permissions") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path!r} is not a path ({error}); give the name of a file") from None


def check_signature(path, file, kind):
    """Refuse whatever does not begin as HDF5 and say what it looks like."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise BadFileError(f"{path} is not a regular file; give the name of a file that npvgg wrote")
    try:
        start = file.read(len(max((magic for magic, _ in LOOKALIKES), key=len)))
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror or error}); check the disk") from None
    if start.startswith(SIGNATURE + SUPERBLOCK):
        return
    if start.startswith(SIGNATURE):
        raise ForeignFileError(foreign(path, kind))
    if not start:
        raise BadFileError(f"{path} is empty; convert or download it again")
    for magic, meaning in LOOKALIKES:
        if start.startswith(magic):
            raise BadFileError(f"{path} {meaning}")
    raise BadFileError(f"{path} does not begin like an HDF5 file; give a file that npvgg or weights_convert wrote")


def check_format(path, root, kind):
    """Refuse another program's HDF5 after a look at one attribute."""
    try:
        found = get_attribute(h5a.open(root, b"format")) if h5a.exists(root, b"format") else None
    except Malformed:
        found = None
    if found == f"{kind} {VERSION}":
        return
    if isinstance(found, str) and re.fullmatch(rf"{kind} \d{{1,4}}", found):
        raise UnsupportedError(f"{path} is in the format {found!r} and this npvgg reads \"{kind} {VERSION}\"; "
                               "install a newer npvgg")
    if isinstance(found, str) and found.startswith("npvgg "):
        raise BadFileError(f"{path} is in the format {found[:40]!r}, not \"{kind} {VERSION}\"; "
                           "give a file of that format")
    raise ForeignFileError(foreign(path, kind))


def foreign(path, kind):
    return (f"{path} is an HDF5 file of another program, not \"{kind} {VERSION}\"; "
            "give a file that npvgg or weights_convert wrote")


def get_attributes(owner):
    """{name: text, int or float} of a group or dataset."""
    count = h5a.get_num_attrs(owner)
    if count > MAXIMUM_ATTRIBUTES:
        raise Malformed(f"{count} attributes on one object")
    found = (h5a.open(owner, index=index) for index in range(count))
    return {attribute.name.decode(): get_attribute(attribute) for attribute in found}


def get_attribute(attribute):
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


def is_fixed_text(kind):
    return (isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
            and kind.get_cset() == h5t.CSET_UTF8 and kind.get_strpad() == h5t.STR_NULLPAD)


def locate(root, required, optional, attributes):
    """Walk to the arrays that are expected, by hard links only → {name: Entry}; groups' attributes are added."""
    names = [*required, *(name for name in optional if has_link(root, name.partition("/")[0]))]
    groups, members, entries = {"": root}, {"": set()}, {}
    for name in names:
        group, _, leaf = name.rpartition("/")
        if group not in groups:
            groups[group] = open_member(root, group, h5g.open, group)
            members[group] = set()
            members[""].add(group)
            found = get_attributes(groups[group])
            if found:
                attributes[group] = found
        members[group].add(leaf)
        entries[name] = entry(open_member(groups[group], leaf, h5d.open, name), name)
    for group, leaves in members.items():
        count = groups[group].get_num_objs()
        if count != len(leaves):
            raise Malformed(f"/{group} has {count} members instead of {len(leaves)}")
    return entries


def has_link(group, name):
    return group.links.exists(name.encode())


def open_member(group, name, opening, path):
    """Open a member, unless it is a soft or external link, which may lead anywhere."""
    if not has_link(group, name):
        raise Malformed(f"{path} is missing")
    if group.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise Malformed(f"{path} is a link to somewhere else")
    return opening(group, name.encode())


def entry(dataset, name):
    """The Entry of a dataset, if it is laid out the way `compose` does it."""
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5d.CONTIGUOUS or creation.get_nfilters() or creation.get_external_count():
        raise Malformed(f"{name} is not stored contiguously, unfiltered and in this file")
    shape = dataset.get_space().get_simple_extent_dims()
    kind = dataset.get_type()
    dtype = next((dtype for dtype, stored in FLOATS.items() if kind.equal(stored)), None)
    if dtype is None and is_fixed_text(kind):
        dtype = np.dtype(f"S{kind.get_size()}")
    if dtype is None or len(shape) > MAXIMUM_RANK:
        raise Malformed(f"{name} holds something other than little-endian float32, float64 or UTF-8 text")
    found = get_attributes(dataset)
    if found.keys() != {"sha256"} or not is_sha256(found["sha256"]):
        raise Malformed(f"{name} has no digest")
    offset, stored, needed = dataset.get_offset(), dataset.get_storage_size(), math.prod(shape) * dtype.itemsize
    if offset is None or stored != needed or not needed:
        raise Malformed(f"{name} has {stored:,} bytes in the file instead of {needed:,}")
    return Entry(tuple(shape), dtype, offset, found["sha256"])


def check_places(path, entries, size):
    """Every array inside the file, aligned, and none on top of another."""
    end = 0
    for name, place in sorted(entries.items(), key=lambda item: item[1].offset):
        if place.offset % ALIGNMENT or place.offset < end:
            raise BadFileError(f"{path} is not as npvgg writes it: {name} does not begin where it may; "
                               "convert or download it again")
        end = place.offset + place.nbytes
        if end > size:
            raise BadFileError(f"{path} is cut short: {name} ends at byte {end:,} and the file at {size:,}; "
                               "convert or download it again")


# ------------------------------------------------------------------------------------------------- digests


def header_digest(attributes, arrays, digests):
    """SHA-256 of everything but the arrays' bytes: every attribute, and each array's name, dtype, shape and digest.

    `arrays`: {name: anything with dtype and shape}.
    """
    header = {"attributes": {group: values for group, values in attributes.items() if values},
              "arrays": {name: [array.dtype.str, list(array.shape), digests[name]] for name, array in arrays.items()}}
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def sha256(array):
    """The digest of an array's bytes in C order."""
    return hashlib.sha256(array).hexdigest()


def is_sha256(text):
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def reason(error):
    """What HDF5 says, without the layers that say it: "Unable to … (bad symbol table)" → "bad symbol table"."""
    text = " ".join(str(error).split()) or type(error).__name__
    cut = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text)
    if cut:
        return f"cut short: it has {int(cut[1]):,} of {int(cut[2]):,} bytes"
    inner = re.search(r"\((.+)\)", text)
    return (inner.group(1) if inner else text)[:120]
