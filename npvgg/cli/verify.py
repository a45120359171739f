"""npvgg verify FILE…: are these the weights that were written, and do they still give the same answer?"""
from pathlib import Path

import click

from npvgg import text_table
from npvgg.cli import options

# What neither digests nor self-test can see: whoever writes a file writes its digests too.
NOT_SEEN = ("not covered: how pictures are prepared and what the classes are called, which the self-test goes around (`npvgg "
            "inspect` shows them), and changes of the weights, made before the file was written, that stay below the bound "
            "(--test-data runs more inputs)")


@click.command(short_help="Check a weights file: digests, self-test, recorded answers.")
@click.argument("models", nargs=-1, required=True, type=options.Model(), metavar="NAME|FILE...")
@click.option("--test-data", type=click.Path(readable=False, path_type=Path), metavar="DIR",
              help="Run the tests in DIR too: test_data_set_N/input_0.pb and output_0.pb, or .npz files with the arrays input "
                   "and output.")
@options.threads
@options.tier
@options.talking
def command(models, test_data, threads, tier):
    """Check the structure and the digest of every tensor, then run the self-test: a seeded input whose answer is stored.

    The digests show that the file is as it was written, header and labels included; the self-test, that this machine
    computes the answer that was stored with it.  Neither shows that the right thing was written: the self-test runs on
    random numbers and so goes around the preparation of pictures and the names of the classes, and a change of a few
    weights can stay below its bound.

    With --test-data also inputs whose answers the source's own runtime recorded; exit status 1 if one of them differs by more
    than rounding explains.
    """
    from npvgg import classify

    diverges = False
    for model in models:
        vgg = classify.load(model, verify=True, offline=True, threads=threads, tier=tier)
        gap = vgg.run_self_test()
        print(f"{vgg.source}: {len(vgg.parameters)} tensors match their digests; the self-test is off by {gap:.1e} of the "
              f"largest value, {vgg.self_test.tolerance:.0e} is allowed")
        if test_data:
            diverges |= not run_tests(vgg, test_data)
    if not test_data:
        print("\n".join(text_table.wrapped(NOT_SEEN, text_table.terminal_width())))
    return int(diverges)


def run_tests(vgg, folder):
    """Print a line for each test, and return whether all agree."""
    from npvgg.parity import recorded_answers, report

    outcomes = [recorded_answers.check(vgg, test) for test in recorded_answers.find(folder)]
    print(f"{folder}: recorded {vgg.source_output}")
    print("\n".join(recorded_answers.table(outcomes, text_table.terminal_width())))
    return all(outcome.verdict != report.DIVERGES for outcome in outcomes)
