"""npvgg verify FILE…: are these the weights that were written, and do they still give the same answer?"""
import click

from npvgg.cli import options


@click.command(short_help="Check the digests of a weights file and run its self-test.")
@click.argument("models", nargs=-1, required=True, metavar="NAME|FILE...")
@options.threads
@options.tier
def command(models, threads, tier):
    """Check the structure and the digest of every tensor, then run the self-test: a seeded input whose answer is stored."""
    from npvgg import classify

    for model in models:
        vgg = classify.load(model, verify=True, offline=True, threads=threads, tier=tier)
        gap = vgg.run_self_test()
        print(f"{vgg.source}: {len(vgg.parameters)} tensors match their digests; the self-test is off by {gap:.1e} of the "
              f"largest value, {vgg.self_test.tolerance:.0e} is allowed")
