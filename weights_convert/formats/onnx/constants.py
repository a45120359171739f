"""Numbers that a graph has before any picture comes in: initialisers, and nodes that only bring such into another form.

    Constant, ConstantOfShape, Identity, Reshape, Transpose, Cast, Squeeze, Unsqueeze, Concat, Slice
    Add, Sub, Mul, Div, Sqrt: what optimisers leave of a batch norm that they fold

What a node would make is counted before it is made.  ConstantOfShape's one number is kept once (np.broadcast_to), so that a
fill costs nothing before it has its place in a network.  An initialiser may also be listed among the graph's inputs, as all
were before IR version 4.
Source: onnx/docs/Operators.md.
"""
import math

import numpy as np

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert.formats.onnx import attributes, tensors
from weights_convert.refusals import damaged, hostile, quoted

DEEPEST = 32                              # constants made of constants
MOST_FILLED = 1 << 28                     # elements of all ConstantOfShape; VGG-19 has 144 million parameters
MOST_MADE = 16                            # bytes of constants that nodes may make from each byte that is read
ROOM = 64 << 20                           # and that they may make from nothing


class Constants:
    """The constants of a GraphProto by name."""

    def __init__(self, graph, side):
        self.side = side
        self.tensors = attributes.unambiguous((tensor.name, tensor) for tensor in graph.initializer)
        self.makers = attributes.unambiguous((name, node) for node in graph.node for name in node.output if name)
        twice = sorted(self.tensors.keys() & self.makers.keys())
        if twice:
            raise BadFileError(f"it has the name {quoted(twice[:1])} for a tensor and for what a node makes, which no runtime "
                               "takes; export it with output_names of your own")
        self.known, self.used, self.arrays = {}, set(), {}
        self.read_bytes = self.made_bytes = self.filled = 0

    def __contains__(self, name):
        """Whether `name` does not depend on the graph's input."""
        return self.is_constant(name)

    def is_constant(self, name, depth=0):
        """Whether the value depends on no picture: an initialiser, or a folded node of such.  Refuses chains above DEEPEST."""
        if depth > DEEPEST:
            raise hostile(f"{quoted([name])} is made of other constants more than {DEEPEST} deep")
        if name not in self.known:
            node = self.makers.get(name)
            self.known[name] = name in self.tensors or node is not None and node.op_type in FOLDED and all(
                self.is_constant(inner, depth + 1) for inner in node.input if inner)
        return self.known[name]

    def array(self, name):
        """The constant `name` → array."""
        if name in self.arrays:
            return self.arrays[name]
        node = self.makers.get(name)
        if node is None:
            self.used.add(name)
        array = tensors.array(self.tensors[name], self.side) if node is None else self.made(node)
        if node is None or node.op_type == "Constant":
            self.read_bytes += array.nbytes
        self.arrays[name] = array
        return array

    def made(self, node):
        """A node without variable inputs → its output."""
        inputs = [self.array(name) if name else None for name in node.input]
        options = attributes.read(node, self.side)
        try:
            if node.op_type == "ConstantOfShape":
                self.filled += math.prod(int(side) for side in inputs[0])
            self.made_bytes += COPIES[node.op_type](inputs, options) if node.op_type in COPIES else 0
            if self.filled > MOST_FILLED or self.made_bytes > MOST_MADE * self.read_bytes + ROOM:
                raise hostile(f"its nodes make {self.filled:,} numbers from none, and {self.made_bytes:,} bytes of constants "
                              f"from {self.read_bytes:,}")
            return FOLDED[node.op_type](inputs, options)
        except NpvggError:
            raise
        except (ValueError, TypeError, IndexError, OverflowError, KeyError, AttributeError):
            raise damaged(f"its node {attributes.shown(node)} does not fit its inputs") from None

    def unused(self):
        """{"tensor NAME": zeros of its shape} of the floating-point initialisers that no node before the output needs."""
        shapes = {name: tensors.shape_of(tensor) for name, tensor in self.tensors.items() if name not in self.used}
        return {f"tensor {name}": np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()
                if "float" in tensors.ELEMENTS[self.tensors[name].data_type][0]}


# ------------------------------------------------------------------------------------------------- the nodes


def constant(inputs, options):
    """Constant: the node's one attribute as an array."""
    (kind, value), = options.items()
    dtype = {"value": None, "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
             "value_ints": np.int64}[kind]
    return np.asarray(value, dtype)


def filled(inputs, options):
    """ConstantOfShape: an array of that shape, each number the same."""
    shape, value = tuple(int(side) for side in inputs[0]), np.asarray(options.get("value", np.zeros(1, np.float32)))
    if min(shape, default=0) < 0 or value.size != 1:
        raise hostile(f"it has a constant of the shape {shape[:8]}")
    return np.broadcast_to(value.reshape(()), shape)


def reshaped(inputs, options):
    """A 0 keeps the side that stands there, and −1 takes what is left."""
    array, sides = inputs[0], [int(side) for side in (inputs[1] if len(inputs) > 1 else options["shape"])]
    if not options.get("allowzero"):
        sides = [array.shape[axis] if side == 0 else side for axis, side in enumerate(sides)]
    return array.reshape(sides)


def transposed(inputs, options):
    """Transpose of a constant."""
    return inputs[0].transpose(options.get("perm"))


def cast(inputs, options):
    """Cast of a constant; UnsupportedError for bfloat16 and what else NumPy lacks."""
    element = tensors.ELEMENTS[options["to"]][0] if options["to"] in tensors.ELEMENTS else "bfloat16"
    if element == "bfloat16":
        raise UnsupportedError(f"it casts a constant to ONNX's type {options['to']}, which NumPy lacks; "
                               "export it in float32")
    with np.errstate(all="ignore"):
        return inputs[0].astype(tensors.STORED[element])


def squeezed(inputs, options):
    """Squeeze of a constant."""
    return inputs[0].squeeze(axes(inputs, options))


def unsqueezed(inputs, options):
    """Unsqueeze of a constant."""
    return np.expand_dims(inputs[0], axes(inputs, options))


def joined(inputs, options):
    """Concat of constants."""
    return np.concatenate(inputs, options["axis"])


def sliced(inputs, options):
    """Where borders begin and end: PyTorch turns the list that its reflected padding takes around with a step of −1."""
    names = ("starts", "ends", "axes", "steps")
    starts, ends, over, steps = (inputs[at] if at < len(inputs) else options.get(name) for at, name in enumerate(names, 1))
    over = range(len(starts)) if over is None else over
    steps = [1] * len(starts) if steps is None else steps
    cut = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(over, starts, ends, steps):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return inputs[0][tuple(cut)]


def axes(inputs, options):
    """An attribute to opset 12, an input from 13 on; None for all."""
    numbers = inputs[1] if len(inputs) > 1 else options.get("axes")
    return None if numbers is None else tuple(int(axis) for axis in numbers)


def computed(function):
    """A function of NumPy's → one of FOLDED, on floating point, or on whole numbers where it is not a division."""
    def of_constants(inputs, options):
        kinds = {array.dtype for array in inputs}
        if len(kinds) != 1 or min(kinds).kind != "f" and function in (np.divide, np.sqrt):
            raise UnsupportedError(f"it computes {function.__name__} of constants of the types {', '.join(map(str, kinds))}; "
                                   "npvgg reads that for floating point")
        with np.errstate(all="ignore"):
            return function(*inputs)

    return of_constants


def broadcast_bytes(inputs, options):
    """Of the result of arithmetic."""
    return math.prod(np.broadcast_shapes(*(array.shape for array in inputs))) * inputs[0].itemsize


def cast_bytes(inputs, options):
    """Of a Cast's result, no element of which is longer than eight bytes."""
    return inputs[0].size * 8


def all_bytes(inputs, options):
    """Of all inputs together."""
    return sum(array.nbytes for array in inputs)


ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Sqrt": np.sqrt}
# How many bytes are made anew, by those nodes whose results are not views.
COPIES = {"Concat": all_bytes, "Cast": cast_bytes, "Reshape": all_bytes} | dict.fromkeys(ARITHMETIC, broadcast_bytes)
FOLDED = {"Constant": constant, "ConstantOfShape": filled, "Identity": lambda inputs, _: inputs[0], "Reshape": reshaped,
          "Transpose": transposed, "Cast": cast, "Squeeze": squeezed, "Unsqueeze": unsqueezed, "Concat": joined,
          "Slice": sliced} | {name: computed(function) for name, function in ARITHMETIC.items()}
