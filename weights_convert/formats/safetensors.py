"""safetensors: the length of a JSON header in 8 bytes, the header {name: dtype, shape, place}, and the numbers.

The package of that name does the reading and writing, and checks that the places cover the file without holes or
overlaps; the extra [safetensors] installs it.  In the header's __metadata__ npvgg keeps what the numbers do not say
(description.py).
"""
import numpy as np

from npvgg.errors import BadFileError, UnsupportedError
from npvgg.storage import atomic_file, strict_json
from weights_convert.elements import STORED, widened
from weights_convert.formats import description
from weights_convert.formats.contents import FileContents
from weights_convert.refusals import quoted, quoted_error

LONGEST_HEADER = 100_000_000
INSTALL = 'pip install "npvgg[safetensors]"'

# Element type in the header → as PyTorch calls it, and so widened.
ELEMENTS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
            "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool"}


def is_one(head, size):
    """Whether the first bytes of a file of `size` bytes are a length and the start of a JSON object."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= min(LONGEST_HEADER, size - 8)


def read(file, size):
    """A safetensors file → FileContents.  Raises BadFileError, and UnsupportedError where the package is missing."""
    package = imported()
    data = file.read()
    try:
        entries = package.deserialize(data)
    except (package.SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise BadFileError(f"it is not a sound safetensors file ({quoted_error(error)}); fetch it again") from None
    length = int.from_bytes(data[:8], "little")
    described = unambiguous(data[8:8 + length])
    tensors = {name: array(name, entry) for name, entry in entries}
    tensors = {name: tensors[name] for name in sorted(tensors, key=lambda name: described[name]["data_offsets"])}
    metadata, stated = description.read(described.get("__metadata__") or {})
    return FileContents(tensors=tensors, container="safetensors", metadata=metadata, remarks=(),
                      stated=stated)


def unambiguous(header):
    """The JSON of the header, refused where a name stands in it twice: readers differ in which one they take."""
    try:
        return strict_json.read(header)
    except ValueError as error:
        raise BadFileError(f"its header is not to be trusted: {error} (the file is damaged or hostile)") from None


def array(name, entry):
    """What the package gives for one tensor → an array of its own, little-endian."""
    if entry["dtype"] not in ELEMENTS:
        raise UnsupportedError(f"tensor {quoted([name])} holds {entry['dtype']}; npvgg reads floats, integers and bools only")
    element = ELEMENTS[entry["dtype"]]
    stored = STORED[element]
    numbers = np.frombuffer(entry["data"], np.uint8 if element == "bool" else stored).reshape(entry["shape"])
    if element == "bool":
        if numbers.size and numbers.max() > 1:
            raise BadFileError(f"tensor {quoted([name])} has bools that are neither 0 nor 1 (the file is damaged)")
        numbers = numbers.view(bool)
    return widened(np.array(numbers, order="C"), element)


def write(path, tensors, about, *, force=False):
    """{key: array}, and {"architecture": …, "preset": …, "labels": …, "source_output": …} → the file `path`.

    Errors: those of `atomic_file.writing`, and UnsupportedError where the package is missing.
    """
    imported()
    from safetensors.numpy import save

    atomic_file.write(path, save(tensors, {"format": "pt"} | description.entries(about)), force=force)


def imported():
    """The module safetensors; UnsupportedError that says how to install it where it is missing."""
    try:
        import safetensors
    except ImportError:
        raise UnsupportedError(f"a safetensors file needs the package of that name; `{INSTALL}` installs it") from None
    return safetensors
