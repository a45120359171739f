"""What a node of a VGG may have, and the words for what it may not."""
from npvgg.errors import UnsupportedError
from weights_convert.refusals import damaged


def unsupported(node, what):
    return UnsupportedError(f"its node {node.shown} {what}")


def short(value):
    """What a file says, for a message: in one line and not long."""
    return " ".join(repr(value).split())[:80]


def constant(node, at, optional=False):
    """Input number `at` as an array; None where it is left out and may be."""
    found = node.inputs[at] if at < len(node.inputs) else None
    if found is None and not optional:
        raise damaged(f"its node {node.shown} lacks a constant that it needs")
    return found


def require(node, expected):
    """Refuse attributes that are there and differ."""
    for name, value in expected.items():
        given = node.attributes.pop(name, value)
        if given != value:
            raise unsupported(node, f"has {name} {short(given)} where a VGG has {value}")


def is_list(value, length, kinds=int):
    return isinstance(value, list) and len(value) == length and all(isinstance(item, kinds) for item in value)
