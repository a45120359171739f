"""Plain arrays → an HDF5 file, written whole or not at all; `hdf5_format` says what the file holds.

HDF5 composes the header in memory and never writes to the disk: a full disk cannot leave the library half-way through a file.
"""
import io
import os
from collections.abc import Callable

import h5py
import numpy as np
from h5py import h5a, h5d, h5p, h5s, h5t

from npvgg import text
from npvgg.errors import UsageError
from npvgg.storage import atomic_file
from npvgg.storage.hdf5_format import ALIGNMENT, FLOATS, MAXIMUM_TEXT, NUMBERS, VERSION, header_digest, sha256

ENDINGS = (".h5", ".hdf5", "")


def destination(path: str | bytes | os.PathLike, force: bool) -> str:
    """The real path to write to; UsageError for a name that another format has, and what `atomic_file.destination` refuses."""
    target = atomic_file.destination(path, force)
    name = os.path.basename(os.fsdecode(path))
    if os.path.splitext(name)[1].lower() not in ENDINGS or name.lower().endswith(".weights.h5"):
        raise UsageError(f"{text.shown(path)} is called as files of another program are, where npvgg writes HDF5 of its own; "
                         "give a name such as vgg.h5 (`weights-convert vgg.h5 OUT` then writes weights in other formats)")
    return target


def write(path: str | bytes | os.PathLike, kind: str, arrays: dict, attributes: dict, *, force: bool = False,
          check: Callable[[str], None] | None = None) -> None:
    """{"conv1_1/weight": array} and {"": {"notes": "…"}, "self_test": {"seed": 0}} → the file `path`.

    `attributes` are those of the root ("") and of groups.  `kind` begins the `format` attribute.  Text may have 60 000
    bytes.  `check` and the errors are those of `atomic_file.writing` and `destination`; UsageError for text that does not fit.
    """
    destination(path, force)
    arrays = {name: plain(array) for name, array in arrays.items()}
    attributes = {group: {name: storable(name, value) for name, value in values.items()}
                  for group, values in attributes.items()}
    attributes[""] = {"format": f"{kind} {VERSION}"} | attributes[""]
    digests = {name: sha256(array) for name, array in arrays.items()}
    header, offsets = compose(arrays, attributes, digests)
    with atomic_file.writing(path, force=force, check=check) as file:
        for offset, piece in header.pieces:
            file.seek(offset)
            file.write(piece)
        for name, array in arrays.items():
            file.seek(offsets[name])
            file.write(array)
        file.truncate(header.size)


def plain(array: np.ndarray) -> np.ndarray:
    """The array as it is stored: C order, little-endian."""
    array = np.asarray(array)
    return np.require(array, array.dtype.newbyteorder("<"), "C")


def storable(name: str, value: str | int | float) -> str | int | float:
    """An attribute as it will be read again; UsageError for text that is too long or holds a zero.

    Bytes of a file name that are no text become escapes.
    """
    if not isinstance(value, str):
        return value
    encoded = value.encode("utf-8", "backslashreplace")
    if len(encoded) > MAXIMUM_TEXT or b"\0" in encoded:
        raise UsageError(f"{name} has {len(encoded):,} bytes or holds a zero character; "
                         f"give text of at most {MAXIMUM_TEXT:,} bytes without one")
    return encoded.decode()


def compose(arrays: dict, attributes: dict, digests: dict) -> tuple["HeaderImage", dict]:
    """Let HDF5 lay the file out → (its header, {name: offset of the array's bytes})."""
    header, offsets = HeaderImage(), {}
    with h5py.File(header, "w", libver=("v110", "v110"), alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
        for name, array in arrays.items():
            folder, _, leaf = name.rpartition("/")
            group = file.require_group(folder) if folder else file
            stored = stored_type(array.dtype), dataspace(array.shape), contiguous()
            dataset = h5d.create(group.id, leaf.encode(), *stored)
            set_attribute(dataset, "sha256", digests[name])
            offsets[name] = dataset.get_offset()
        for group, values in attributes.items():
            for name, value in values.items():
                set_attribute(file[group or "/"].id, name, value)
        set_attribute(file.id, "digest", header_digest(attributes, arrays, digests))
        set_attribute(file.id, "complete", 1)
    return header, offsets


def contiguous() -> h5p.PropDCID:
    """Space is set aside at once and never filled: its bytes are written past HDF5."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)       # the same arrays give the same bytes
    return creation


def dataspace(shape: tuple) -> h5s.SpaceID:
    """A shape as HDF5 has it."""
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


def stored_type(dtype: np.dtype) -> h5t.TypeID:
    """Floats or bytes of one length as HDF5 has them."""
    return FLOATS[dtype] if dtype in FLOATS else text_type(dtype.itemsize)


def text_type(size: int) -> h5t.TypeStringID:
    """UTF-8 of `size` bytes, padded with zeros."""
    text = h5t.C_S1.copy()
    text.set_size(max(1, size))               # HDF5 has no text of no bytes
    text.set_cset(h5t.CSET_UTF8)
    text.set_strpad(h5t.STR_NULLPAD)
    return text


def set_attribute(owner, name: str, value: str | int | float) -> None:
    """Give a group or dataset one more attribute."""
    if isinstance(value, str):
        kind = text_type(len(value.encode()))
        value = np.array(value.encode(), f"S{kind.get_size()}")
    else:
        kind, value = NUMBERS[type(value)], np.array(value)
    h5a.create(owner, name.encode(), kind, h5s.create(h5s.SCALAR)).write(value, kind)


class HeaderImage(io.RawIOBase):
    """A file in memory that keeps what HDF5 writes and nothing between those pieces: the arrays take no memory."""

    def __init__(self):
        self.pieces, self.size, self.position = [], 0, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as in any file."""
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def tell(self) -> int:
        """The place where the next byte is written or read."""
        return self.position

    def write(self, data: bytes) -> int:
        """Keep a piece."""
        self.pieces.append((self.position, bytes(data)))
        self.position += len(data)
        self.size = max(self.size, self.position)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with the pieces that lie there, and zeros between them."""
        start, end = self.position, self.position + len(buffer)
        buffer[:] = bytes(len(buffer))
        for offset, piece in self.pieces:                          # later pieces lie on top of earlier ones
            low, high = max(offset, start), min(offset + len(piece), end)
            if low < high:
                buffer[low - start:high - start] = piece[low - offset:high - offset]
        self.position = end
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        self.size = self.position if size is None else size
        return self.size
