"""A network for people: a table with one line a layer and totals at the end, and in words what it is."""
from collections.abc import Sequence
from numbers import Integral

from npvgg import text_table
from npvgg.architecture import Architecture, architecture
from npvgg.counting import Row, describe, operations

HEADINGS = ("layer", "output", "parameters", "MACs", "receptive field", "step", "start", "weight bytes", "output bytes")
COLOURS = {1: "1 (grey)", 3: "3 (red, green, blue)", 4: "4 (red, green, blue, alpha)"}
POOLINGS = {"max": "maximum of 2×2", "avg": "average of 2×2"}
BORDERS = {"zeros": "zeros", "reflect": "the map mirrored"}


def table(name: str | Architecture, input_size: int | tuple | None = None, width: int | None = None) -> str:
    """An Architecture or its name → the lines of its table, the totals of parameters and MACs last.

    Parameters are the learned ones; the bytes of batch norm include its running mean and variance.  A receptive field
    is the side (height×width where they differ) of the input window that one output value depends on; the windows of neighbours
    are a step apart, and the first begins at the start, negative in the border.  `input_size` is a side or (H, W) in pixels, by
    default the network's own; `width` that of the terminal, see `text_table`.  Errors: those of `architecture` and `describe`.
    """
    net = architecture(name)
    size = net.input_size if input_size is None else input_size
    rows = describe(net, size)
    lines = text_table.render(HEADINGS, [
        (row.layer.name, shape(row.output_shape), count(row.parameters), count(row.macs), side(row.receptive_field),
         "—" if row.stride is None else str(row.stride), "—" if row.start is None else side(row.start),
         count(row.parameter_bytes), f"{row.output_bytes:,}")
        for row in rows], left=(0, 1), width=width)
    picture = (net.input_channels, *((size, size) if isinstance(size, Integral) else size))
    departures = [f"{what}: {words}" for what, words in departures_of(net).items()]
    below = [f"{net.name} on {shape(picture)}", *departures, *totals(rows)]
    return "\n".join([*lines, "", *(part for line in below for part in text_table.wrapped(line, width))])


def totals(rows: Sequence[Row]) -> tuple:
    """The last lines of the table."""
    macs, parameters = operations(rows), sum(row.parameters for row in rows)
    return (f"weights {mebibytes(sum(row.parameter_bytes for row in rows))}, "
            f"all outputs {mebibytes(sum(row.output_bytes for row in rows))} an image in float32",
            f"{parameters:,} parameters, {macs:,} MACs")


def facts(net: Architecture) -> dict:
    """{what: words} for every field of an Architecture, as a network computes by it."""
    epsilon = {"batch norm": f"ε = {net.eps:g}"} if any(layer.op.startswith("batchnorm") for layer in net.layers) else {}
    return {
        "network": net.name if net.width == 1 else f"{net.name} at width {net.width:g}",
        "channels": COLOURS[net.input_channels],
        "input size": shape((net.input_size, net.input_size)),
        "border": BORDERS[net.padding_mode],
        "convolutions": "with bias" if net.bias else "without bias",
        **epsilon,
        "pooling": POOLINGS[net.pooling],
        "head": net.head or "none, it ends with pool5",
        "output": f"{net.output}: {answer(net)}",
    }


def departures_of(net: Architecture) -> dict:
    """The `facts` that are not those of the paper's network of this name, but for width and input size."""
    usual = facts(architecture(net.name, width=net.width, input_size=net.input_size))
    return {what: words for what, words in facts(net).items() if words != usual.get(what)}


def answer(net: Architecture) -> str:
    """What the numbers of the last layer are: '1000 classes', '2 classes by one output', '5 independent labels', …"""
    if net.output == "none":
        return "features, no classifier"
    if net.output == "softmax":
        return f"{net.num_classes} classes"
    return f"{net.num_classes} independent labels" if net.num_classes > 1 else "2 classes by one output"


def shape(sizes):
    """(64, 224, 224) → "64×224×224"."""
    return "×".join(map(str, sizes))


def count(number):
    """A number with commas; a dash for 0."""
    return f"{number:,}" if number else "—"


def side(field):
    """A receptive field (height, width) in pixels: one number where both are equal."""
    return str(field[0]) if field[0] == field[1] else shape(field)


def mebibytes(size):
    """Bytes → MiB with one decimal."""
    return f"{size / 2**20:,.1f} MiB"
