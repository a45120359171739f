"""A network as a table for people: one line a layer, totals at the end."""
from npvgg import text_table
from npvgg.architecture import architecture
from npvgg.counting import describe, operations

HEADINGS = ("layer", "output", "parameters", "MACs", "receptive field", "weight bytes", "output bytes")


def table(name, input_size=None):
    """An Architecture or its name → the lines of its table, the totals of parameters and MACs last.

    Parameters are the learned ones; the bytes of batch norm include its running mean and variance.  A receptive field
    is the side (height×width where they differ) of the input window that one output value depends on.
    """
    net = architecture(name)
    rows = describe(net, input_size)
    lines = text_table.render(HEADINGS, [
        (row.layer.name, shape(row.output_shape), count(row.parameters), count(row.macs), side(row.receptive_field),
         count(row.parameter_bytes), f"{row.output_bytes:,}")
        for row in rows], left=(0, 1))
    return "\n".join(lines + ["", totals(net, rows)])


def totals(net, rows):
    """The last lines of the table."""
    macs, parameters = operations(rows), sum(row.parameters for row in rows)
    return "\n".join([
        f"{net.name} on {shape((3, *first_map(rows)))}",
        f"weights {mebibytes(sum(row.parameter_bytes for row in rows))}, "
        f"all outputs {mebibytes(sum(row.output_bytes for row in rows))} an image in float32",
        f"{parameters:,} parameters, {macs:,} MACs",
    ])


def first_map(rows):
    """The (H, W) of the picture: a convolution of VGG keeps it."""
    return rows[0].output_shape[1:]


def shape(sizes):
    return "×".join(map(str, sizes))


def count(number):
    return f"{number:,}" if number else "—"


def side(field):
    return str(field[0]) if field[0] == field[1] else shape(field)


def mebibytes(size):
    return f"{size / 2**20:,.1f} MiB"
