"""What a node says beside its inputs, how it is named in a message, and the checks that all nodes share."""
from npvgg.errors import UnsupportedError
from weights_convert.formats.onnx import tensors
from weights_convert.refusals import damaged, hostile, quoted

FLOAT, INT, STRING, TENSOR, FLOAT_LIST, INT_LIST = 1, 2, 3, 4, 6, 7


def read(node, side):
    """NodeProto → {name: int, float, str, list or array}; other kinds, such as graphs, are None."""
    return unambiguous((attribute.name, value_of(attribute, side)) for attribute in node.attribute)


def value_of(attribute, side):
    """An AttributeProto → its number, text, list or array; None for a kind that no VGG has."""
    if attribute.type == STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == TENSOR:
        return tensors.array(attribute.t, side)
    if attribute.type in (FLOAT_LIST, INT_LIST):
        return list(attribute.floats if attribute.type == FLOAT_LIST else attribute.ints)
    return {FLOAT: attribute.f, INT: attribute.i}.get(attribute.type)


def unambiguous(pairs):
    """(name, value) pairs → dictionary; a name that comes twice is refused."""
    values = {}
    for name, value in pairs:
        if name in values:
            raise hostile(f"it has the name {quoted([name])} twice")
        values[name] = value
    return values


def shown(node):
    """A node for a message: its name, or its output's, and what it computes."""
    name = node.name or (node.output[0] if node.output else "")
    return f"{quoted([name[:40]])} ({'.'.join(filter(None, (node.domain, node.op_type)))[:60]!r})"


def unsupported(node, what):
    """The UnsupportedError for a node: its name and what it does."""
    return UnsupportedError(f"its node {node.shown} {what}")


def short(value):
    """What a file says, for a message: in one line and not long."""
    return " ".join(repr(value).split())[:80]


def constant(node, at, optional=False):
    """Input number `at` as an array; None where it is left out and may be."""
    array = node.inputs[at] if at < len(node.inputs) else None
    if array is None and not optional:
        raise damaged(f"its node {node.shown} lacks a constant that it needs")
    return array


def moved(node, older):
    """`older`, an attribute of older opsets, or where it is None the whole numbers that newer ones have as an input."""
    return [int(number) for number in constant(node, 1).reshape(-1)[:9]] if older is None else older


def require(node, expected):
    """Refuse attributes that are there and differ."""
    for name, value in expected.items():
        theirs = node.attributes.pop(name, value)
        if theirs != value:
            raise unsupported(node, f"has {name} {short(theirs)} where a VGG has {value}")


def is_list(value, length, kinds=int):
    """Whether the value is a list of that length whose items are all of these types."""
    return isinstance(value, list) and len(value) == length and all(isinstance(item, kinds) for item in value)
