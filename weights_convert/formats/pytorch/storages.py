"""Storages: the flat stretches of numbers that tensors are cut out of.

The pickle of a checkpoint does not contain the numbers.  It points at them with a persistent id, a tuple:

    legacy   ("storage", class, key, location, numel, view)    view = None or (view key, offset, numel), in elements
    zip      ("storage", class, key, location, numel)

`location` says on which device the tensor was, and is ignored.  `numel` counts elements of the class, bytes if it is
untyped.  Source: torch.serialization, `_legacy_save` and `_save`.
"""
from dataclasses import dataclass

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers.references import Reference
from weights_convert.elements import STORED
from weights_convert.refusals import damaged, hostile

CLASSES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "untyped", "_UntypedStorage": "untyped",
}
MODULES = ("torch", "torch.cuda", "torch.storage")

MOST_STORAGES = 60_000                    # weights, and two moments of an optimiser
LONGEST_KEY = 20                          # digits: a count, or the decimal address of an object in the writer's memory


@dataclass(frozen=True, eq=False)
class Storage:
    """`numel` elements from element `start` of the block `key`."""

    key: str
    element: str                          # a name in STORED
    numel: int
    start: int = 0

    @property
    def itemsize(self):
        """Bytes of a number."""
        return STORED[self.element].itemsize

    @property
    def nbytes(self):
        """Bytes of all its numbers."""
        return self.numel * self.itemsize


def is_count(value, most=1 << 62):
    """Whether `value` is a plain int from 0 to `most`; True, 1.0 and "1" are not."""
    return type(value) is int and 0 <= value <= most


def persistent(identity, fields, storages):
    """A persistent id of `fields` items → its Storage.  `storages` collects {key: Storage} of the blocks themselves.

    In a legacy stream it may also be ("module", class, file, source text), the class of a whole pickled network: that
    gives the Reference to the class.  Raises BadFileError, or UnsupportedError for elements that no VGG has.
    """
    if type(identity) is not tuple or not identity or identity[0] not in ("storage", b"storage"):
        if type(identity) is tuple and len(identity) == 4 and identity[0] == "module" and fields == 6 \
                and isinstance(identity[1], Reference):
            return identity[1]
        raise damaged("its pickle points at something that is not a storage")
    if len(identity) != fields:
        raise damaged(f"it describes a storage by {len(identity)} items, not {fields}")
    _, cls, key, _, numel, *view = identity
    if not is_key(key):
        raise hostile("it names a storage by something other than a number")
    element = element_of(cls, key)
    if not is_count(numel):
        raise hostile(f"storage {key} has no sensible number of elements")
    known = storages.setdefault(key, Storage(key, element, numel))
    if len(storages) > MOST_STORAGES:
        raise BadFileError(f"it has more than {MOST_STORAGES:,} storages (a VGG has at most some hundred)")
    if (known.element, known.numel) != (element, numel):
        raise hostile(f"storage {key} is described twice: {known.numel} elements of {known.element}, "
                      f"{numel} of {element}")
    return known if view in ([], [None]) else part(known, view[0])


def is_key(key):
    """Whether a storage's key is what PyTorch writes: a few decimal digits."""
    return type(key) is str and key.isascii() and key.isdigit() and len(key) <= LONGEST_KEY


def part(storage, view):
    """(view key, offset, numel) → that part of a storage, as PyTorch wrote it before version 0.4."""
    if type(view) is not tuple or len(view) != 3 or not is_key(view[0]) or not all(map(is_count, view[1:])):
        raise damaged(f"storage {storage.key} has a view that cannot be read")
    _, offset, numel = view
    if offset + numel > storage.numel:
        raise hostile(f"storage {storage.key} has {storage.numel} elements, but a view of it ends at {offset + numel}")
    return Storage(storage.key, storage.element, numel, offset)


def element_of(cls, key):
    """The Reference to a storage class → its element type."""
    if not isinstance(cls, Reference):
        raise damaged(f"storage {key} has no class")
    module, _, name = cls.name.rpartition(".")
    if module in MODULES and name in CLASSES:
        return CLASSES[name]
    if module in MODULES and name.endswith("Storage"):
        raise UnsupportedError(f"storage {key} is a {cls.name}; npvgg reads float, integer and bool tensors only")
    raise hostile(f"storage {key} has the class {cls.name}, which is not a storage")
