"""pickle.dump(model, file), without torch.save: one pickle, and in it each storage as a whole legacy stream.

    torch._utils._rebuild_tensor_v2(torch.storage._load_from_bytes(b"…"), 0, (64, 3, 3, 3), …)

So PyTorch's storages pickle themselves: the bytes are what torch.save makes of one storage alone (legacy.py).  They stay where
they are in the file, and each stream is read like a file of its own.  Source: torch.storage, TypedStorage.__reduce__.
"""
from npvgg.errors import BadFileError
from weights_convert.containers import opcodes
from weights_convert.containers.opcodes import Stretch
from weights_convert.containers.references import Reference
from weights_convert.formats.pytorch import legacy
from weights_convert.formats.pytorch.arrays import Layout
from weights_convert.formats.pytorch.objects import Objects
from weights_convert.formats.pytorch.storages import MOST_STORAGES, Storage
from weights_convert.refusals import hostile

LOAD = "torch.storage._load_from_bytes"
REMARK = "a plain pickle carries no checksum: compare the SHA-256 of the file with the published one"


def layout(file, size, checksum):
    """A PICKLE of `size` bytes → Layout.  `checksum` changes nothing: there is none.  Raises BadFileError."""
    objects = StreamObjects(file)
    root, end = opcodes.load(file, 0, size, objects)
    if end != size:
        raise BadFileError(f"it has {size - end:,} bytes after its first pickle, which no checkpoint has (give a file that "
                           "torch.save wrote)")
    if not objects.blocks:
        raise BadFileError("it is a Python pickle without a tensor of PyTorch in it; give a file that torch.save wrote, or "
                           "arrays of NumPy in an .npz")
    return Layout(root, objects, objects.blocks, remarks=(REMARK,))


class StreamObjects(Objects):
    """Answers for a plain pickle, whose storages are streams in the same file; `blocks` has where their numbers are."""

    def __init__(self, file):
        super().__init__(fields=6)
        self.file, self.blocks, self.streams = file, {}, {}

    def reference(self, module, name):
        """GLOBAL: the function that reads a stream may be named here, and is only ever a name."""
        return Reference(LOAD) if f"{module}.{name}" == LOAD else super().reference(module, name)

    def call(self, function, args):
        """REDUCE and NEWOBJ: a stream gives its storage."""
        if isinstance(function, Reference) and function.name == LOAD:
            return self.storage(*args) if type(args) is tuple and len(args) == 1 else self.storage(None)
        return super().call(function, args)

    def persistent(self, identity):
        """No persistent identity belongs in such a file."""
        raise hostile("its pickle points at storages outside of it")

    def storage(self, stream):
        """The one storage of a stream; the same for the same bytes."""
        if not isinstance(stream, Stretch):
            raise hostile("it has a storage that is no stream of PyTorch")
        if stream.start not in self.streams:
            key, at = str(len(self.blocks)), self.file.tell()
            inner = legacy.layout_at(self.file, stream.start, stream.start + stream.size)
            self.file.seek(at)                    # the pickle goes on where it was
            if not isinstance(inner.root, Storage) or len(inner.blocks) != 1:
                raise hostile("it has a stream that is not one storage")
            self.streams[stream.start] = Storage(key, inner.root.element, inner.root.numel, inner.root.start)
            self.blocks[key] = inner.blocks[inner.root.key]
            if len(self.blocks) > MOST_STORAGES:
                raise BadFileError(f"it has more than {MOST_STORAGES:,} storages (a VGG has at most some hundred)")
        return self.streams[stream.start]
