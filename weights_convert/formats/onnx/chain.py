"""The nodes between a graph's input and its output, in the order of the data.

A VGG has no branches, so that each node on the way has one input that depends on the picture.  Where a network asks for
the size of a batch (x.view(x.size(0), -1)), old exporters wrote a side path of Shape, Gather, Unsqueeze and Concat, which
ends in the second input of a Reshape; `sizes` follows it.
"""
from dataclasses import dataclass

from npvgg.errors import UnsupportedError
from weights_convert.formats.onnx import constants as nodes
from weights_convert.refusals import damaged, hostile, quoted

MOST_STEPS = 500
ADD = "Add"                               # the one operation on the way whose inputs may come in either order
BATCH, UNKNOWN = "batch", "unknown"       # sizes that are not in the file


@dataclass
class Node:
    """One step: what it computes, its constants (None for the data and for what is left out), its attributes."""

    op: str
    shown: str                            # for messages
    inputs: list
    attributes: dict
    sizes: list | None                    # of a Reshape's second input


def between(entrance, output, constants):
    """Names of the input and the output, Constants → [Node, …].  UnsupportedError where there is no one way."""
    found, name, seen = [], output, set()
    while name != entrance:
        node = constants.makers.get(name)
        if node is None or name in constants:
            raise damaged(f"no way leads from its input to its output: nothing makes {quoted([name])}")
        if name in seen or len(found) > MOST_STEPS:
            raise hostile("its nodes run in a circle, or are more than a VGG has")
        seen.add(name)
        if node.output[0] != name:
            raise UnsupportedError(f"it uses a second output of its node {nodes.shown(node)}; no VGG does")
        at = data_input(node, constants)
        found.append(step(node, at, constants))
        name = node.input[at]
    return found[::-1]


def data_input(node, constants):
    """Which input of a node depends on the picture."""
    moving = [at for at, name in enumerate(node.input) if name and name not in constants]
    if node.op_type == "Reshape" and moving:
        return moving[0] if moving[0] == 0 else refuse_order(node)
    if len(moving) > 1:
        raise UnsupportedError(f"its node {nodes.shown(node)} joins {len(moving)} branches; a VGG has none")
    if not moving:
        raise damaged(f"its node {nodes.shown(node)} has no input")
    return moving[0] if moving[0] == 0 or node.op_type == ADD else refuse_order(node)


def refuse_order(node):
    raise UnsupportedError(f"its node {nodes.shown(node)} takes the picture as another input than the first; no VGG does")


def step(node, at, constants):
    kind = ".".join(filter(None, (node.domain.removeprefix("ai.onnx"), node.op_type)))
    is_reshape = kind == "Reshape" and len(node.input) > 1
    inputs = [constants.array(name) if name in constants and not (is_reshape and place) else None
              for place, name in enumerate(node.input) if place != at or at == 0]
    return Node(kind, nodes.shown(node), inputs, nodes.attributes(node, constants.side),
                sizes(node.input[1], constants) if is_reshape else None)


def sizes(name, constants, depth=0):
    """The vector `name` → [size, …] of whole numbers, BATCH and UNKNOWN."""
    if name in constants:
        return [int(size) for size in constants.array(name).reshape(-1)[:8]]
    node = constants.makers.get(name)
    if node is None or depth > nodes.DEEPEST:
        return [UNKNOWN]
    if node.op_type == "Shape":
        return [BATCH, UNKNOWN, UNKNOWN, UNKNOWN]
    if node.op_type == "Concat":
        return [size for inner in node.input[:8] for size in sizes(inner, constants, depth + 1)][:8]
    found = sizes(node.input[0], constants, depth + 1) if node.input else [UNKNOWN]
    if node.op_type in ("Identity", "Cast", "Squeeze", "Unsqueeze"):
        return found
    # Gather(sizes, 0), and Slice(sizes, [0], [1]), take the batch.
    picked = [list(constants.array(inner).reshape(-1)) for inner in node.input[1:3] if inner in constants]
    if found[0] == BATCH and (node.op_type == "Gather" and picked == [[0]] or node.op_type == "Slice" and picked == [[0], [1]]):
        return [BATCH]
    return [UNKNOWN]
