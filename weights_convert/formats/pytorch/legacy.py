"""The legacy container of PyTorch 0.1.10 to 1.5: five pickles, then the storages, with nothing in between.

    pickle 1   the magic number 0x1950A86A20F9469CFC6C
    pickle 2   1001, the version of the format
    pickle 3   {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
    pickle 4   the object; storages by persistent id
    pickle 5   the keys of the storages: this list gives the order of what follows
    for each   int64 number of elements, then the elements, little-endian

No part of it has a checksum, and nothing marks its end; so every byte must be accounted for.
Source: torch.serialization, `_legacy_save` and `_legacy_load`.
"""
import struct

from npvgg.errors import UnsupportedError
from weights_convert import signatures
from weights_convert.containers import opcodes
from weights_convert.formats.pytorch.arrays import Block, Layout
from weights_convert.formats.pytorch.objects import Objects
from weights_convert.refusals import damaged, hostile

VERSION = 1001
REMARK = "a legacy stream carries no checksum: compare the SHA-256 of the file with the published one"


def layout(file, size, checksum):
    """A LEGACY file of `size` bytes → Layout.  `checksum` changes nothing: there is none.  Raises BadFileError."""
    return layout_at(file, 0, size)


def layout_at(file, start, size):
    """The stream between two bytes of a file → Layout, its blocks counted from the beginning of the file."""
    file.seek(start)
    after = signatures.magic_end(file.read(min(signatures.HEAD, size - start)))
    if after is None:
        raise damaged(f"it has no legacy stream at byte {start}")
    version, at = opcodes.load(file, start + after, size, opcodes=100)
    system, at = opcodes.load(file, at, size, opcodes=100)
    check_system(version, system)
    objects = Objects(fields=6)
    root, at = opcodes.load(file, at, size, objects)
    keys, at = opcodes.load(file, at, size)
    check_keys(keys, objects.storages)
    return Layout(root, objects, blocks(file, size, at, [objects.storages[key] for key in keys]), remarks=(REMARK,))


def check_system(version, system):
    """Refuse another version of the container, and numbers of a big-endian machine."""
    if type(version) is not int or version != VERSION or type(system) is not dict:
        raise damaged(f"it is a legacy stream of another version than {VERSION}")
    if system.get("little_endian") is False:
        raise UnsupportedError("it was written on a big-endian machine (load and save it once with PyTorch)")
    if system.get("little_endian") is not True:
        raise damaged("it does not say in which byte order it was written")


def check_keys(keys, storages):
    """The list after the object must name every storage in it once, and no other."""
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise damaged("it has no list of storages after its pickle")
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise hostile(f"it lists {len(keys)} storages, which are not the {len(storages)} that its tensors use")


def blocks(file, size, at, storages):
    """The storages in the order of the file, the first at byte `at` → {key: Block}; the last must end the file."""
    places = {}
    for storage in storages:
        file.seek(at)
        prefix = file.read(8)
        if len(prefix) < 8 or storage.nbytes > size - at - 8:
            end = at + 8 + storage.nbytes
            raise damaged(f"it has {size:,} bytes, and its storage {storage.key} would end at byte {end:,}")
        count, = struct.unpack("<q", prefix)
        if count != storage.numel:
            raise damaged(f"storage {storage.key} has {count} elements in one place and {storage.numel} in another")
        places[storage.key] = Block(at + 8, storage.nbytes)
        at += 8 + storage.nbytes
    if at != size:
        raise hostile(f"it has {size - at:,} bytes after its last storage")
    return places
