"""npvgg inspect FILE: what a weights file says of itself."""
import click

from npvgg.cli import options


@click.command(short_help="Show what a weights file holds.")
@click.argument("model", type=options.Model(), metavar="NAME|FILE")
def command(model):
    """Show what network a weights file holds, its header, and every tensor with its shape, bytes and digest.

    The first lines say in words what such a network does: channels, border, bias, ε, pooling, head, and what its last numbers
    mean.  Nothing is computed.
    """
    from pathlib import Path

    from npvgg import classify, hub, summary, text_table, weights_page
    from npvgg.architecture import Architecture

    path = Path(model) if classify.is_path(model) else hub.locate(model, offline=True)
    page = weights_page.inspect(path)
    facts = summary.facts(Architecture.from_json(page.header["architecture"]))
    width = text_table.terminal_width()
    print("\n".join(text_table.definitions(facts, width)), end="\n\n")
    print(page.page(width))
