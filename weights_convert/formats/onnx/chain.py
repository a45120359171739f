"""The nodes between a graph's input and its output, in the order of the data.

A VGG has no branches, so that each node on the way has one input that depends on the picture.  Where a network asks for
the size of a batch (x.view(x.size(0), -1)), old exporters wrote a side path of Shape, Gather, Unsqueeze and Concat, which
ends in the second input of a Reshape; `sizes` follows it.
"""
import math
from dataclasses import dataclass

from npvgg.errors import UnsupportedError
from weights_convert.formats.onnx import attributes
from weights_convert.refusals import damaged, hostile, quoted

MOST_STEPS = 500
DEEPEST_SIZES, MOST_SIZES = 12, 5         # nodes above a Reshape's second input, and inputs of one of them
LONGEST_SIZES = 8
COMMUTATIVE = ("Add", "Mul")              # the operations on the way whose inputs may come in either order
SECOND = ("Sub", "Div")                   # and those that say themselves what another order means
# Sizes that are not in the file: those of the axes 0 to 3, and products of them such as "123".
BATCH, AXES, UNKNOWN = "0", ["0", "1", "2", "3"], "unknown"


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
    steps, name, seen, measured = [], output, set(), set()
    while name != entrance:
        node = constants.makers.get(name)
        if node is None or name in constants:
            raise damaged(f"no way leads from its input to its output: nothing makes {quoted([name])}")
        if name in seen or len(steps) > MOST_STEPS:
            raise hostile("its nodes run in a circle, or are more than a VGG has")
        seen.add(name)
        if node.output[0] != name:
            raise UnsupportedError(f"it uses a second output of its node {attributes.shown(node)}; no VGG does")
        at = data_input(node, constants)
        steps.append(step(node, at, constants, measured))
        name = node.input[at]
    if not measured <= seen | {entrance}:
        raise UnsupportedError("it reshapes to the size of something beside its way from input to output; no VGG does")
    return steps[::-1]


def data_input(node, constants):
    """Which input of a node depends on the picture."""
    moving = [at for at, name in enumerate(node.input) if name and name not in constants]
    if node.op_type == "Reshape" and moving:
        return moving[0] if moving[0] == 0 else refuse_order(node)
    if len(moving) > 1:
        raise UnsupportedError(f"its node {attributes.shown(node)} joins {len(moving)} branches, and a VGG has none; if they "
                               "are PyTorch's local response normalisation, convert the checkpoint instead")
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise UnsupportedError(f"its node {attributes.shown(node)} holds graphs of its own, and a VGG has none; export it "
                               "without conditions and loops")
    if not moving:
        raise damaged(f"its node {attributes.shown(node)} has no input")
    return moving[0] if moving[0] == 0 or node.op_type in (*COMMUTATIVE, *SECOND) else refuse_order(node)


def refuse_order(node):
    """UnsupportedError for a node that takes the picture as another input than its first."""
    raise UnsupportedError(f"its node {attributes.shown(node)} takes the picture as another input than the first; no VGG does")


def step(node, at, constants, measured):
    """A NodeProto whose input number `at` is the data → a Node with its constants, attributes and, for Reshape, sizes."""
    kind = ".".join(filter(None, (node.domain.removeprefix("ai.onnx"), node.op_type)))
    is_reshape = kind == "Reshape" and len(node.input) > 1
    inputs = [constants.array(name) if name in constants and not (is_reshape and place) else None
              for place, name in enumerate(node.input) if place != at or at == 0]
    return Node(kind, attributes.shown(node), inputs, attributes.read(node, constants.side),
                sizes(node.input[1], constants, measured) if is_reshape else None)


def sizes(name, constants, measured, depth=0, known=None):
    """The vector `name` → [size, …] of whole numbers, axes, products of axes and UNKNOWN.

    What it is the size of goes to `measured`; `known` are the vectors that were followed already.
    """
    known = {} if known is None else known
    if name not in known:
        vector = followed(name, constants, measured, depth, known)
        known[name] = vector if len(vector) <= LONGEST_SIZES else [UNKNOWN]
    return known[name]


def followed(name, constants, measured, depth, known):
    """A vector of sizes by what makes it."""
    if name in constants:
        numbers = constants.array(name).reshape(-1)[:LONGEST_SIZES + 1]
        return numbers.tolist() if numbers.dtype.kind in "iu" else [UNKNOWN]
    node = constants.makers.get(name)
    if node is None or depth > DEEPEST_SIZES or not 0 < len(node.input) <= MOST_SIZES:
        return [UNKNOWN]
    if node.op_type == "Shape":
        measured.add(node.input[0])
        options = attributes.read(node, constants.side)
        start, end = options.get("start", 0), options.get("end", 4)
        return AXES[start:end] if isinstance(start, int) and isinstance(end, int) else [UNKNOWN]
    vector, *others = [sizes(inner, constants, measured, depth + 1, known) if inner else [] for inner in node.input]
    if node.op_type == "Concat":
        return [size for part in (vector, *others) for size in part]
    if node.op_type in ("Identity", "Cast", "Squeeze", "Unsqueeze"):
        return vector
    if node.op_type == "ReduceProd":
        return [product(vector)]
    if node.op_type == "Mul" and [len(part) for part in (vector, *others)] == [1, 1]:
        return [product(vector + others[0])]
    is_picked = node.op_type == "Gather" and len(others) == 1 or node.op_type == "Slice" and len(others) >= 2
    return picked(node.op_type, vector, others) if is_picked else [UNKNOWN]


def product(vector):
    """[size, …] → their product, where it is one of numbers or one of different axes."""
    if all(isinstance(size, int) for size in vector):
        return math.prod(vector)
    axes = "".join(sorted(str(size) for size in vector if size != 1))
    is_of_axes = all(isinstance(size, str) or size == 1 for size in vector)
    return axes if is_of_axes and axes in ("0", "1", "2", "3", "12", "13", "23", "123") else UNKNOWN


def picked(how, vector, others):
    """Gather(sizes, places), and Slice(sizes, [start], [end], [0], [step]) → [size, …]."""
    if not all(isinstance(size, int) for part in others for size in part):
        return [UNKNOWN]
    if how == "Gather":
        return [vector[at] if -len(vector) <= at < len(vector) else UNKNOWN for at in others[0]]
    starts, ends, axes, steps = [*others, [], []][:4]
    is_plain = len(starts) == len(ends) == 1 and axes in ([], [0]) and steps in ([], [1])
    return vector[starts[0]:ends[0]] if is_plain else [UNKNOWN]
