"""npvgg prepare SRC DST: pictures of one size."""
import click

from npvgg.cli import options


@click.command(short_help="Make all pictures of a folder one size, for training.")
@click.argument("source", type=options.file)
@click.argument("target", type=options.file)
@click.option("--size", type=click.IntRange(1, 4096), default=224, show_default=True, metavar="PIXELS",
              help="The side of the squares.")
@click.option("--fit", type=click.Choice(["crop", "squash", "pad"]), default="crop", show_default=True,
              help="What becomes of proportions: the middle is cut out, they are lost, or black is added.")
@click.option("--format", "form", type=click.Choice(["png", "jpg"]), default="png", show_default=True,
              help="png keeps every level; jpg, of quality 95, is a fifth as large.")
@options.force
@options.exif
@options.background
@options.talking
def command(source, target, size, fit, form, force, exif, background):
    """Copy a folder of pictures, with the folders in it, as squares of one size in RGB.

    \b
    npvgg prepare photographs/ squares/ --size 224
    npvgg train squares/ --from vgg16

    Pictures of one size that fit into memory are decoded once and not every epoch.  One that cannot be read is left out and
    reported, and the exit status is then 8.
    """
    from npvgg import text
    from npvgg.cli import progress
    from npvgg.errors import PARTIAL_SUCCESS
    from npvgg.images import squares

    found = squares.plan(source, target, form, force=force)
    failures = []
    work = squares.written(found, size=size, fit=fit, form=form, force=force, exif=exif, background=background)
    with progress.counted(work, len(found), "preparing", to_file=True) as counted:
        for path, error in counted:
            if error is not None:
                failures.append(path)
                progress.say(str(error), progress.ERROR)
    print(f"{text.counted(len(found) - len(failures), 'picture')} of {size}×{size} in {text.shown(target)}")
    return PARTIAL_SUCCESS if failures else 0
