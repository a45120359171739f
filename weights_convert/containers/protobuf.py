"""The wire format of protocol buffers: bytes → (field number, value), without a schema and without recursion.

    a message   is a row of fields, each a varint tag = number · 8 + wire type, then
        0       a varint: seven bits a byte, the lowest first, the top bit set on all but the last
        1, 5    eight or four bytes
        2       a varint length, then as many bytes: a text, a message, or packed numbers

Groups (3 and 4) are refused: proto2 deprecated them in 2008.
Source: protobuf.dev/programming-guides/encoding.
"""
from weights_convert.refusals import damaged, hostile

MOST_FIELDS = 2_000_000
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


def fields(message):
    """A memoryview → (number, wire type, value) of each field in order: an int, or a memoryview of its bytes.

    Raises BadFileError where a field does not end within the message.
    """
    at, count = 0, 0
    while at < len(message):
        tag, at = varint(message, at)
        number, wire = tag >> 3, tag & 7
        count += 1
        if not 0 < number < 1 << 29 or count > MOST_FIELDS:
            raise hostile(f"it has a field with the number {number}, or more than {MOST_FIELDS:,} fields")
        if wire == VARINT:
            value, at = varint(message, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = varint(message, at)
        elif wire in FIXED:
            length = FIXED[wire]
        else:
            raise damaged(f"it has a field of the wire type {wire}")
        if length > len(message) - at:
            raise damaged(f"it has a field of {length:,} bytes where {len(message) - at:,} are left")
        yield number, wire, message[at:at + length]
        at += length


def varint(message, at):
    """→ (the number, where the next byte is); it has at most ten bytes and 64 bits."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> 64:
                break
            return number, at
    raise damaged("it has a number that does not end")


def text(value):
    """The bytes of a field → str, for a name."""
    try:
        return bytes(value[:512]).decode("utf-8") if not isinstance(value, int) else ""
    except UnicodeDecodeError:
        raise damaged("it has a name that is not UTF-8") from None


def varints(wire, value):
    """A repeated number, packed or not → [number, …]."""
    if wire == VARINT:
        return [value]
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(number)
    return numbers
