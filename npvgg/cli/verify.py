"""npvgg verify FILE…: are these the weights that were written, and do they still give the same answer?"""
from pathlib import Path

import click

from npvgg import text_table
from npvgg.cli import options

# By the option that covers it.  Whoever writes a file writes its digests and its record too.
NOT_COVERED = {
    "--thorough": "changes of the weights that stay below the bound of the self-test",
    "--test-data": "whether the right weights, preset and class names (see `npvgg inspect`) were written in the first place",
}


@click.command(short_help="Check a weights file: digests, self-test, recorded answers.")
@click.argument("models", nargs=-1, required=True, type=options.Model(), metavar="NAME|FILE...")
@click.option("--test-data", type=click.Path(readable=False, path_type=Path), metavar="DIR",
              help="Run the tests in DIR too: test_data_set_N/input_0.pb and output_0.pb, or .npz files with the arrays input "
                   "and output.")
@click.option("--thorough", is_flag=True,
              help="Also compare every layer of a float64 run with the file's record, to 1e-10: this finds one zeroed unit.")
@options.threads
@options.tier
@options.talking
def command(models, test_data, thorough, threads, tier):
    """Check the structure and the digest of every tensor, then run the self-test: a seeded input whose answer is stored.

    The digests show that the file is as it was written, header and labels included; the self-test, that this machine
    computes the answer that was stored with it, prepares a seeded picture as it was prepared then, and has the same class
    names.  Older files have no record of the last two, which is said.

    A change of a few weights, with digests of its own, can stay below the bound of the self-test; --thorough finds it, unless
    the weights multiply nothing but zeros, and names the first layer that differs.  It runs in float64 and takes 1.3 GB for
    VGG-16.

    None of these shows that the right thing was written: a file that was written wrong agrees with itself.  With --test-data
    also inputs whose answers the source's own runtime recorded are run; exit status 1 if one of them differs by more than
    rounding explains.  Of several files one that fails is reported, the others are checked, and the exit status is 8.
    """
    from npvgg import classify, projections
    from npvgg.cli import several

    def check(model):
        vgg = classify.load(model, verify=True, offline=True, threads=threads, tier=tier)
        gap = vgg.run_self_test()
        print(f"{vgg.source}: {len(vgg.parameters)} tensors match their digests; the self-test is off by {gap:.1e} of the "
              f"largest value, {vgg.self_test.tolerance:.0e} is allowed")
        print(f"{vgg.source}: {prepared(vgg)}")
        if thorough:
            gap = vgg.run_layer_test()
            print(f"{vgg.source}: {len(vgg.architecture.layers)} layers of a float64 run are as recorded; they are off by "
                  f"at most {gap:.1e} of their norm, {projections.BOUND:.0e} is allowed")
        return int(bool(test_data) and not run_tests(vgg, test_data))

    status = several.each(models, check)
    given = {"--thorough": thorough, "--test-data": test_data}
    left = [f"{what} ({option})" for option, what in NOT_COVERED.items() if not given[option]]
    if left:
        print("\n".join(text_table.wrapped(f"not covered: {'; '.join(left)}", text_table.terminal_width())))
    return status


def prepared(vgg):
    """What the self-test that has passed says of preset and class names."""
    if vgg.self_test.record is None:
        return ("an older file without a record of a run, so another preset or other class names would not be seen; convert or "
                "save it again to add one")
    names = "there are no class names, as then" if vgg.class_names is None else "the class names are those of then"
    return f"a seeded picture is prepared as it was when the file was written, and {names}"


def run_tests(vgg, folder):
    """Print a line for each test, and return whether all agree."""
    from npvgg.parity import recorded_answers, verdicts

    outcomes = [recorded_answers.check(vgg, test) for test in recorded_answers.find(folder)]
    print(f"{folder}: recorded {vgg.source_output}")
    print("\n".join(recorded_answers.table(outcomes, text_table.terminal_width())))
    return all(outcome.verdict != verdicts.DIVERGES for outcome in outcomes)
