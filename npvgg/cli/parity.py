"""npvgg parity A B: where do two runs part?"""
import click

from npvgg.cli import options


@click.command(short_help="Compare two runs layer by layer.")
@click.argument("ours", type=options.file, metavar="A")
@click.argument("theirs", type=options.file, metavar="B")
@click.option("--tolerance", type=click.FloatRange(min=0), metavar="GAP",
              help="Largest gap allowed in any layer, over its largest value.")
@click.option("--model", type=options.Model(), metavar="NAME|FILE",
              help="The network whose weights both were meant to use.")
@click.option("--picture", type=options.file, multiple=True, metavar="FILE",
              help="The picture that the inputs were made of: wrong resizes are named too. Once for each picture of the runs.")
@click.option("--html", type=options.file, metavar="FILE",
              help="Write a page for a browser as well, with maps of the errors.")
@options.force
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(ours, theirs, tolerance, model, picture, html, force, as_json):
    """Compare the runs A and B.

    Each is a trace (from `npvgg trace` or `python -m weights_convert.record_trace`), or an .npz or HDF5 file of arrays under
    the names of the layers.

    The first wrong layer stands on top, with the mistakes that reproduce it and what to do about them, then one line a layer.
    With --model each layer of each run is judged by its own error, counted in what rounding explains, and it is said which run
    is wrong.  Exit status 1 if any layer is.
    """
    from npvgg import classify, parity, text_table
    from npvgg.storage import atomic_file

    if html is not None:                                              # refused now rather than after the work
        atomic_file.refuse_inputs(html, [ours, theirs, model, *picture])
        atomic_file.destination(html, force)
    network = None if model is None else classify.load(model, offline=True)
    comparison = parity.compare(ours, theirs, network, tolerance=tolerance, picture=list(picture) or None)
    if html is not None:
        atomic_file.write(html, comparison.to_html(), force=force)
    print(comparison.to_json() if as_json else comparison.text(text_table.terminal_width()))
    return 1 if comparison.diverges else 0
