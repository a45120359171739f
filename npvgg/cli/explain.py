"""npvgg explain IMAGE UNIT: where a number comes from."""
import click

from npvgg.cli import options


@click.command(short_help="Show where one number comes from.")
@click.argument("image", type=options.file, metavar="IMAGE|-")
@click.argument("unit", required=False, metavar="[LAYER[:CHANNEL[,ROW,COLUMN]]]")
@click.option("--why", metavar="LABEL", help="In place of a unit: what each input of the last dense layer gives to this class, "
              "by its name or number.")
@options.model
@click.option("--most", type=click.IntRange(1), metavar="N", help="How many products are shown; default: 12, with --why 10.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every number.")
@options.threads
@options.tier
@options.algorithm
@options.exif
@options.background
@options.talking
def command(image, unit, why, model, most, as_json, exif, background, **kernels):
    """Take one number of a network apart: what it sees of the picture, the window, the weights, their products and the sum.

    \b
    npvgg explain cat.jpg conv3_1:17,5,7
    npvgg explain cat.jpg pool2
    npvgg explain cat.jpg prob:3
    npvgg explain cat.jpg --why dog

    Rows and columns count from 0; what is left out is where the layer's output is largest.  The sum is compared with the
    kernel's number, and the exit status is 5 where they are farther apart than rounding can bring them.  Without a unit and
    --why: the class that the network names.
    """
    from npvgg import text_table
    from npvgg.cli import pictures, progress
    from npvgg.explorer import decision, explanation, targets

    if unit is not None and why is not None:
        raise click.UsageError("a unit and --why were given; choose one of them")
    vgg = progress.load(model, **kernels)
    picture = pictures.opened(image, vgg.preset, exif=exif, background=background)
    if unit is None:
        found, default = vgg.why(picture, why), decision.MOST
    else:
        layer, *place = targets.unit(unit) if ":" in unit else (unit,)
        found, default = vgg.explain(picture, layer, *place), explanation.MOST
    print(found.to_json() if as_json else found.table(text_table.terminal_width(), most or default))
