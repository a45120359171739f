"""PyTorch checkpoints without PyTorch: genuine ones, and ones that differ from them in one chosen place.

    program = {"features.0.weight": tensor("0", [2, 3])}
    write("legacy", program, {"0": np.arange(6, dtype="f4")}) → bytes
"""
import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np
from witnesses.pickle_builder import build, call, new, opcodes, pickle, reference

CONTAINERS = ("legacy", "zip")
MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
EMPTY = call("collections", "OrderedDict")
STORAGE = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char",
           "u1": "Byte", "b1": "Bool"}


@dataclass(frozen=True)
class StorageId:
    """A persistent id that is finished when the container is known: a legacy stream has one item more."""

    key: object
    numel: object
    cls: object = "FloatStorage"
    view: object = None
    module: str = "torch"

    def opcodes(self, container):
        cls = reference(self.module, self.cls) if isinstance(self.cls, str) else self.cls
        identity = ("storage", cls, self.key, "cpu", self.numel)
        return opcodes(identity + (self.view,) if container == "legacy" else identity) + b"Q"


def row_major(size):
    return tuple(int(np.prod(size[axis + 1:])) for axis in range(len(size)))


@dataclass(frozen=True)
class TensorCall:
    """A call of one of PyTorch's rebuild functions."""

    storage: StorageId
    size: object
    stride: object
    offset: object = 0
    function: str = "_rebuild_tensor_v2"
    rest: tuple = (False, EMPTY)

    def opcodes(self, container):
        args = (self.storage.opcodes(container), self.offset, self.size, self.stride, *self.rest)
        return call("torch._utils", self.function, *args)


def tensor(key, size, *, numel=None, stride=None, offset=0, cls="FloatStorage", view=None):
    """A tensor of `size` as PyTorch writes it today, row-major on the whole of storage `key`."""
    size = tuple(size)
    numel = int(np.prod(size)) if numel is None else numel
    return TensorCall(StorageId(key, numel, cls, view), size, row_major(size) if stride is None else stride, offset)


def old_tensor(key, size, cls="FloatTensor"):
    """The oldest form: an empty tensor, and its state."""
    plain = tensor(key, size, cls=cls.replace("Tensor", "Storage"))
    return Late(lambda at: build(call("torch", cls), (plain.storage.opcodes(at), 0, plain.size, plain.stride)))


def old_parameter(key, size):
    """A parameter of 2017."""
    return Late(lambda at: build(new("torch.nn.parameter", "Parameter"),
                                 (old_tensor(key, size).opcodes(at), None, EMPTY, True, False)))


@dataclass(frozen=True)
class Late:
    """Opcodes that depend on the container."""

    opcodes: object


def resolve(value, container):
    """Replace what depends on the container by its opcodes."""
    if isinstance(value, (StorageId, TensorCall, Late)):
        return value.opcodes(container)
    if isinstance(value, dict):
        return {resolve(key, container): resolve(item, container) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(item, container) for item in value)
    return value


def state_dict(arrays):
    """{key: array} → (program, storages) of a bare state dict."""
    program = {name: tensor(str(number), x.shape, cls=STORAGE[x.dtype.str[1:]] + "Storage")
               for number, (name, x) in enumerate(arrays.items())}
    return program, {str(number): x.ravel() for number, x in enumerate(arrays.values())}


def write(container, program, storages, protocol=2):
    """Program and {key: flat array} → the bytes of a checkpoint."""
    pickled = pickle(resolve(program, container), protocol)
    if container == "legacy":
        return legacy(pickled, storages, protocol=protocol)
    return archive(records(pickled, storages))


def legacy(pickled, storages, *, keys=None, counts=None, system=SYSTEM, version=1001, tail=b"", protocol=2):
    """A legacy stream; `keys` and `counts` replace the honest list of storages and the honest lengths."""
    head = b"".join(pickle(value, protocol) for value in (MAGIC, version, system))
    keys = sorted(storages) if keys is None else keys
    blocks = b"".join(struct.pack("<q", (counts or {}).get(key, len(storages[key]))) + storages[key].tobytes()
                      for key in sorted(storages))
    return head + pickled + pickle(keys, protocol) + blocks + tail


@dataclass(frozen=True)
class Entry:
    """One record of an archive, and what its headers say about it."""

    name: str
    data: bytes
    flags: int = 0x808
    method: int = 0
    crc: int | None = None
    local: dict = field(default_factory=dict)         # in the header: other name, flags, method, crc, size, compressed
    central: dict = field(default_factory=dict)       # the same in the directory; also header, extra
    padding: int | None = None                        # bytes of extra field; None aligns the data to 64
    descriptor: bytes | None = None
    gap: bytes = b""                                  # after the record

    def says(self, changes):
        """What a header says: {name, flags, method, crc, size, compressed}."""
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        honest = {"name": self.name.encode(), "flags": self.flags, "method": self.method, "crc": crc,
                  "size": len(self.data), "compressed": len(self.data)}
        return honest | changes


def records(pickled, storages, prefix="archive"):
    """The records that PyTorch writes, in its order."""
    first = [("data.pkl", pickled), (".format_version", b"1"), (".storage_alignment", b"64"),
             ("byteorder", b"little")]
    data = [(f"data/{key}", x.tobytes()) for key, x in storages.items()]
    last = [("version", b"3\n"), (".data/serialization_id", b"0" * 40)]
    return [Entry(f"{prefix}/{name}", content) for name, content in [*first, *data, *last]]


def changed(entries, name, **changes):
    """The same records, the one called …/`name` changed."""
    return [replace(entry, **changes) if entry.name.endswith("/" + name) else entry for entry in entries]


def archive(entries, *, zip64=True, comment=b"", end=None, front=b"", directory_tail=b""):
    """Records → the bytes of a ZIP archive; `end` replaces numbers of the end record: count, length, start."""
    body, directory = bytearray(front), bytearray()
    for entry in entries:
        at, says = len(body), entry.says(entry.local)
        padding = -(at + 30 + len(says["name"]) + 4) % 64 if entry.padding is None else entry.padding - 4
        extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding if padding >= 0 else b""
        later = says["flags"] & 8 and not {"crc", "size", "compressed"} & set(entry.local)
        numbers = (0, 0, 0) if later else (says["crc"], says["compressed"], says["size"])
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 0, says["flags"], says["method"], 0, 0, *numbers, len(says["name"]),
                            len(extra)) + says["name"] + extra + entry.data
        says = entry.says(entry.central)
        if entry.descriptor is not None:
            body += entry.descriptor
        elif says["flags"] & 8:
            body += struct.pack("<4s3I", b"PK\7\x08", says["crc"], len(entry.data), len(entry.data))
        body += entry.gap
        extra = says.get("extra", b"")
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, says["flags"], says["method"], 0, 0, says["crc"],
                                 says["compressed"], says["size"], len(says["name"]), len(extra), 0, 0, 0, 0,
                                 says.get("header", at)) + says["name"] + extra
    directory += directory_tail
    numbers = {"count": len(entries), "length": len(directory), "start": len(body)} | (end or {})
    count, length, start = numbers["count"], numbers["length"], numbers["start"]
    end64 = len(body) + len(directory)
    tail = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 0, 0, 0, count, count, length, start)
    tail += struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), min(length, 0xFFFFFFFF),
                       min(start, 0xFFFFFFFF), len(comment)) + comment
    return bytes(body + directory + (tail if zip64 else b"") + last)
