"""A PyTorch checkpoint → {source key: array}, without PyTorch and without running anything in the file.

    container      a `.pth` is one of two containers, told by its first bytes     containers.py
                   pickles and raw storages one after the other, to PyTorch 1.5   legacy.py
                   a ZIP archive of uncompressed records, from PyTorch 1.6        zip_checkpoint.py, zip_archive.py
    pickle         the state dict, written as a program for a stack machine       opcodes.py
                   the names it mentions, none of them ever looked up             references.py
                   the storages and tensors it describes                          storages.py, tensors.py, objects.py
    state dict     the dictionary of tensors, wherever it is nested               state_dict.py
                   or that of a network that was pickled as a whole               modules.py
    arrays         each storage read once, each tensor cut out of it              arrays.py

Every size, offset and count in the file is checked against the file before anything is allocated.
"""
import hashlib
from dataclasses import dataclass, field

from npvgg.errors import BadFileError
from weights_convert import source_file
from weights_convert.checkpoint import arrays, containers, legacy, state_dict, zip_checkpoint

LAYOUTS = {containers.LEGACY: legacy.layout, containers.ZIP: zip_checkpoint.layout}

# A VGG-19 with two moments of an optimiser is 1.7 GB.  A sparse file can claim any size and takes time to hash.
LARGEST_FILE = 16 << 30


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds, as plain values."""

    tensors: dict                         # source key → C-contiguous, aligned, little-endian array, in the file's order
    container: str                        # "PyTorch zip" or "PyTorch legacy stream"
    sha256: str                           # of the whole file
    nested_under: str | None              # the entry that holds the state dict; None if the top level does
    metadata: dict                        # texts beside the state dict: {"arch": "vgg16", "classes": ("cat", …)}
    remarks: tuple                        # sentences for people
    stated: dict = field(default_factory=dict)    # what the file says of its network: {"padding_mode": "reflect", …}


def read(path, *, key=None, checksum=True):
    """Path of a `.pth` or `.pt` file → Checkpoint.

    Arrays keep the stored element type; bfloat16, which NumPy lacks, becomes float32 exactly.  `key` names the entry
    that holds the state dict, "" the top level; by default the usual names are tried.  `checksum=False` reads a zip
    checkpoint whose CRC-32 was switched off when it was saved.

    Raises BadFileError (damaged, hostile, or no checkpoint), UnsupportedError (a checkpoint of a kind that is not
    read), UsageError (no or several state dicts for `key`) or StorageError (the file cannot be opened or read).
    """
    with source_file.opened(path) as (file, size):
        return read_stream(file, size, key=key, checksum=checksum)


def read_stream(file, size, *, key=None, checksum=True):
    """A seekable binary file of `size` bytes → Checkpoint; the messages of its errors do not name the file."""
    if size > LARGEST_FILE:
        raise BadFileError(f"it is {size:,} bytes long; a VGG checkpoint has at most {LARGEST_FILE:,} (check the file)")
    container = containers.recognise(file.read(containers.HEAD))
    layout = LAYOUTS[container](file, size, checksum)
    chosen = state_dict.choose(layout.root, key)
    tensors, shared = arrays.read(file, size, layout, chosen.tensors)
    file.seek(0)
    return Checkpoint(
        tensors=tensors,
        container=container,
        sha256=hashlib.file_digest(file, "sha256").hexdigest(),
        nested_under=chosen.nested_under,
        metadata=chosen.metadata,
        remarks=(*layout.remarks, *shared, *chosen.remarks, *layout.objects.remarks()),
        stated=chosen.stated,
    )
