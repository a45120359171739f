"""npvgg inspect FILE: what a weights file says of itself."""
import click


@click.command(short_help="Show what a weights file holds.")
@click.argument("model", metavar="NAME|FILE")
def command(model):
    """Show the header of a weights file and every tensor with its shape, bytes and digest; nothing is computed."""
    from pathlib import Path

    from npvgg import classify, hub, weights_page

    path = Path(model) if classify.is_path(model) else hub.locate(model, offline=True)
    print(weights_page.inspect(path))
