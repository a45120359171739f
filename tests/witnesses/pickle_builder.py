"""Pickle programs, written opcode by opcode: what no pickler would write can be written here.

    pickle({"a": [1, 2.5], "b": call("os", "system", "true")}) → bytes

A value becomes the opcodes that push it; `bytes` are opcodes already and are taken as they are.
"""
import struct


def pickle(value, protocol=2):
    """A whole pickle that leaves `value`."""
    return b"\x80" + bytes([protocol]) + opcodes(value) + b"."


def opcodes(value):
    """The opcodes that push `value`."""
    if isinstance(value, bytes):
        return value
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, dict):
        return b"}" + set_items(value)
    raise TypeError(f"no opcodes for {type(value).__name__}")


def integer(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -2**31 <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def set_items(items):
    return b"(" + b"".join(opcodes(key) + opcodes(value) for key, value in items.items()) + b"u"


def python2(text):
    """The text as Python 2 wrote it."""
    return b"U" + bytes([len(text)]) + text.encode("latin-1")


def reference(module, name):
    return f"c{module}\n{name}\n".encode()


def stack_reference(module, name):
    """The same in protocol 4."""
    return opcodes(module) + opcodes(name) + b"\x93"


def call(module, name, *args):
    """REDUCE."""
    return reference(module, name) + opcodes(args) + b"R"


def new(module, name, *args):
    """NEWOBJ."""
    return reference(module, name) + opcodes(args) + b"\x81"


def build(target, state):
    return opcodes(target) + opcodes(state) + b"b"


def framed(pickled):
    """A protocol-4 pickle with its opcodes in one frame."""
    return pickled[:2] + b"\x95" + struct.pack("<Q", len(pickled) - 2) + pickled[2:]
