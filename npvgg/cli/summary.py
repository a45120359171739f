"""npvgg summary MODEL: the layers as a table."""
from pathlib import Path

import click

from npvgg.cli import options


@click.command(short_help="Show the layers of a network, with their cost.")
@click.argument("model", type=options.Model(), metavar="NAME|FILE")
@click.option("--input-size", type=click.IntRange(32, 16384), metavar="PIXELS",
              help="Side of the picture; default: the network's.")
def command(model, input_size):
    """Layer, output shape, parameters, multiply–adds, receptive field and bytes; totals at the end.

    The receptive field is what of the picture one value depends on, in pixels; those of neighbours are a step apart, and the
    first begins at the start, which is negative because it begins in the border.

    NAME is one of the ten networks (vgg11 … vgg19_bn, a_lrn, c, or a letter of the paper) and needs no weights; FILE is a
    weights file.
    """
    from npvgg import classify, hub, summary, text_table, weights

    if classify.is_path(model) or model in hub.BUNDLED:
        path = Path(model) if classify.is_path(model) else hub.locate(model)
        model = weights.read(path, verify=False).architecture
    print(summary.table(model, input_size, text_table.terminal_width()))
