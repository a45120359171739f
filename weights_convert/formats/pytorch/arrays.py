"""Where the numbers are → arrays.  Each storage is read once, in the file's order, straight into the array we keep.

A tensor that is alone on its storage and fills it *is* the storage, so a checkpoint takes about its own size in memory.
Tensors that share a storage get a copy each.
"""
import zlib
from dataclasses import dataclass

import numpy as np

from npvgg.errors import BadFileError
from weights_convert.elements import STORED, widened
from weights_convert.formats.pytorch.objects import Objects
from weights_convert.refusals import damaged, hostile, quoted

CHUNK = 4 << 20                           # bytes read, and summed while they are in the cache
ROOM = 64 << 20                           # bytes of copies that even a tiny file may ask for

WRONG_CHECKSUM = ("does not have the CRC-32 that the archive gives for it (the file is damaged: fetch it again; or it "
                  "was saved without checksums: read it with checksum=False or --no-checksum)")


@dataclass(frozen=True)
class Block:
    """`size` bytes of the file from byte `start`, and their CRC-32 if the container has one that should hold."""

    start: int
    size: int
    crc: int | None = None


@dataclass(frozen=True)
class Layout:
    """What a container holds: the unpickled object, and where the numbers of its storages are."""

    root: object
    objects: Objects
    blocks: dict                          # storage key → Block
    swap: bool = False                    # the elements are big-endian
    remarks: tuple = ()


def read(file, size, layout, tensors):
    """{name: Tensor} → ({name: array}, remarks).

    The arrays are C-contiguous, aligned, little-endian and do not overlap.  Raises BadFileError for a wrong checksum,
    for a bool that is neither 0 nor 1, and for tensors that together are much larger than the file of `size` bytes.
    """
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > 2 * size + ROOM:
        raise hostile(f"its tensors take {total:,} bytes, and the file has {size:,}: they share storages too often")
    sharing = {}                          # storage key → names of the tensors on it
    for name, tensor in tensors.items():
        sharing.setdefault(tensor.storage.key, []).append(name)
    arrays = {}
    for key in sorted(sharing, key=lambda key: layout.blocks[key].start):
        data = read_block(file, layout.blocks[key], f"storage {key}")
        for name in sharing[key]:
            arrays[name] = cut(data, tensors[name], layout.swap, keep=len(sharing[key]) == 1)
    shared = [name for names in sharing.values() if len(names) > 1 for name in names]
    remarks = (f"{len(shared)} tensors share a storage with another ({quoted(shared)}); each has an array of its own",)
    return {name: arrays[name] for name in tensors}, remarks if shared else ()


def read_block(file, block, what):
    """A Block → uint8 array, its checksum compared."""
    data, crc = np.empty(block.size, np.uint8), 0
    file.seek(block.start)
    for at in range(0, block.size, CHUNK):
        part = memoryview(data)[at:at + CHUNK]
        if file.readinto(part) != len(part):
            raise BadFileError("it became shorter while it was read (is a download still running?)")
        if block.crc is not None:
            crc = zlib.crc32(part, crc)
    if block.crc not in (None, crc):
        raise BadFileError(f"{what} {WRONG_CHECKSUM}")
    return data


def cut(data, tensor, swap, keep):
    """The bytes of a storage → the array of one tensor on it; `keep` allows the result to be those bytes themselves."""
    stored = STORED[tensor.element]
    if tensor.count == 0:
        return widened(np.empty(tensor.size, stored), tensor.element)
    # A side of 1 is never stepped along, so its stride may be anything; 0 keeps it within 64 bits.
    strides = [step * stored.itemsize if n > 1 else 0 for n, step in zip(tensor.size, tensor.stride)]
    start = (tensor.storage.start + tensor.offset) * stored.itemsize
    is_bool = tensor.element == "bool"
    x = np.ndarray(tensor.size, np.uint8 if is_bool else stored, data, start, strides)
    if is_bool:
        if x.max() > 1:
            raise damaged(f"storage {tensor.storage.key} has bools that are neither 0 nor 1")
        x = x.view(bool)
    if swap:
        return widened(np.array(x.byteswap(), order="C"), tensor.element)
    whole = keep and tensor.nbytes == data.nbytes and x.flags.c_contiguous
    return widened(x if whole else np.array(x, order="C"), tensor.element)
