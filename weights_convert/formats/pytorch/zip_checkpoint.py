"""The container of PyTorch since 1.6: a ZIP archive with one record for the pickle and one for each storage.

    NAME/data.pkl          the object; storages by persistent id
    NAME/data/KEY          the elements of storage KEY
    NAME/byteorder         "little" or "big"; absent before PyTorch 2.1
    NAME/version, NAME/.format_version, …                    not needed for reading

NAME is the stem of the file it was saved as, or "archive"; all records share it.
Source: torch.serialization, `_save` and `_load`; caffe2/serialize/inline_container.cc.
"""
import io
import zlib

from npvgg.errors import BadFileError, UnsupportedError
from weights_convert.containers import opcodes, zip_archive
from weights_convert.formats.pytorch.arrays import WRONG_CHECKSUM, Block, Layout
from weights_convert.formats.pytorch.objects import Objects
from weights_convert.refusals import damaged, hostile, quoted

PICKLE = "data.pkl"
STORAGES = "data/"
BYTE_ORDER = "byteorder"
MACOS = "__MACOSX/"
EXPORTED = {"archive_format", "serialized_exported_program.json"}         # of torch.export, now and before
CHECKPOINTS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".h5", ".caffemodel", ".onnx")
UNCHECKED = "the CRC-32 of the records was not checked, as asked"


def layout(file, size, checksum):
    """A ZIP file of `size` bytes → Layout.  Raises BadFileError or UnsupportedError."""
    records, directory_start = zip_archive.directory(file, size)
    prefix = check_names([record.name for record in records])
    spans = zip_archive.spans(file, records, directory_start)
    blocks = {name.removeprefix(prefix): Block(start, record.size, record.crc if checksum else None)
              for name, (start, record) in spans.items()}
    objects = Objects(fields=5)
    pickle = record_bytes(file, blocks[PICKLE], PICKLE, opcodes.PICKLE_BYTES)
    root, end = opcodes.load(io.BytesIO(pickle), 0, len(pickle), objects)
    if end != len(pickle):
        raise hostile(f"it has {len(pickle) - end} bytes after its pickle")
    order = record_bytes(file, blocks[BYTE_ORDER], BYTE_ORDER, 16) if BYTE_ORDER in blocks else b"little"
    if order not in (b"little", b"big"):
        raise damaged(f"it has the byte order {order!r} instead of b'little' or b'big'")
    if order == b"big" and any(storage.element == "untyped" for storage in objects.storages.values()):
        raise UnsupportedError("it has untyped storages from a big-endian machine (load and save it once with PyTorch)")
    return Layout(root, objects, storage_blocks(blocks, objects.storages), swap=order == b"big",
                  remarks=() if checksum else (UNCHECKED,))


def check_names(names):
    """The names of all records → the prefix they share, as 'archive/'.  Raises if this is no state dict of PyTorch."""
    prefix = names[0].partition("/")[0] + "/" if names else "/"
    short = {name.removeprefix(prefix) for name in names}
    if {"constants.pkl", "code"} & {name.partition("/")[0] for name in short}:
        raise UnsupportedError("it is TorchScript, a program with its weights (save model.state_dict() with PyTorch)")
    if EXPORTED & {name.rpartition("/")[2] for name in names}:
        raise UnsupportedError("it is a program that torch.export wrote (save model.state_dict() with PyTorch)")
    if any(name.startswith(MACOS) for name in names):
        raise BadFileError(f"it was packed again by macOS, which put {MACOS} beside its content (unpack it and give what is "
                           "in it, or fetch the file as it was written)")
    if PICKLE not in short:
        raise BadFileError(f"it is {kind(names)}, not a PyTorch checkpoint (give a file that torch.save wrote)")
    stranger = next((name for name in names if not name.startswith(prefix)), None)
    if stranger:
        raise hostile(f"it has the record {quoted([stranger])} outside {quoted([prefix])}")
    return prefix


def kind(names):
    """What a zip archive without data.pkl is."""
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy .npz archive"
    if "model.weights.h5" in names:
        return "a Keras model"
    inside = [name for name in names if name.endswith(CHECKPOINTS)]
    return f"a zip archive with {quoted(inside)} in it, to be unpacked first" if inside else "a zip archive without data.pkl"


def record_bytes(file, block, name, most):
    """A small record as a whole, its checksum compared."""
    if block.size > most:
        raise BadFileError(f"record {name} has {block.size:,} bytes and {most:,} is the most, as where NumPy's arrays were "
                           "saved in place of tensors (save model.state_dict() with PyTorch)")
    content = zip_archive.read_at(file, block.start, block.size)
    if block.crc not in (None, zlib.crc32(content)):
        raise BadFileError(f"record {name} {WRONG_CHECKSUM}")
    return content


def storage_blocks(blocks, storages):
    """{record: Block}, {key: Storage} → {key: Block}.  Raises BadFileError unless each has its record, of its size."""
    stored = {name.removeprefix(STORAGES): block for name, block in blocks.items() if name.startswith(STORAGES)}
    for key, storage in storages.items():
        if key not in stored:
            raise damaged(f"it lacks the record {STORAGES}{key}")
        if stored[key].size != storage.nbytes:
            raise hostile(f"record {STORAGES}{key} has {stored[key].size:,} bytes instead of {storage.nbytes:,}")
    extra = sorted(set(stored) - set(storages))
    if extra:
        raise hostile(f"it has the record {STORAGES}{extra[0]}, which no tensor uses")
    return stored
