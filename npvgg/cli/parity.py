"""npvgg parity A B: where do two runs part?"""
import click

from npvgg.cli import options


@click.command(short_help="Compare two runs layer by layer.")
@click.argument("ours", type=options.file, metavar="A")
@click.argument("theirs", type=options.file, metavar="B")
@click.option("--tolerance", type=click.FloatRange(min=0), metavar="GAP",
              help="Largest gap allowed in a layer, over the largest value of B.")
@click.option("--model", type=options.Model(), metavar="NAME|FILE",
              help="The network that made A: its weights tell a transposed filter from a wrong ε.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(ours, theirs, tolerance, model, as_json):
    """Compare the runs A and B; B is the reference.

    Each is a trace (from `npvgg trace` or `python -m weights_convert.record_trace`), or an .npz or HDF5 file of arrays under
    the names of the layers.

    The first layer that diverges stands on top, then one line a layer: largest gap, rms, distance in units of the last place,
    verdict.  Exit status 1 if a layer diverges; then mistakes that are often made there are tried and named if they fit.
    """
    from npvgg import classify, parity, text_table

    network = None if model is None else classify.load(model, offline=True)
    comparison = parity.compare(ours, theirs, network, tolerance=tolerance)
    print(comparison.to_json() if as_json else comparison.text(text_table.terminal_width()))
    return 1 if comparison.diverges else 0
