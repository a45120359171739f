"""npvgg preprocess IMAGE: what becomes of a picture before the first layer."""
import click

from npvgg.cli import options


@click.command(short_help="Show how a picture becomes a network's input.")
@click.argument("image", type=options.file, metavar="IMAGE|-")
@click.option("--show", is_flag=True, help="Also show the picture as the network gets it, in the terminal.")
@click.option("-o", "--output", type=options.file, metavar="FILE", help="Write the picture as the network gets it, before "
              "its levels are normalised, as PNG.")
@options.force
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@options.model
@options.exif
@options.background
@options.talking
def command(image, show, output, force, as_json, model, exif, background):
    """Follow a picture through its preparation: resize, crop, levels, and the numbers of each channel that come out.

    \b
    npvgg preprocess cat.jpg --show
    npvgg preprocess cat.jpg --model vgg16 -o input.png

    How pictures are prepared travels in the weights file: a network that is given them otherwise answers confidently, and
    wrongly.
    """
    import json

    from npvgg import images, text_table
    from npvgg.cli import pictures, progress
    from npvgg.explorer import preparation
    from npvgg.text import file_name

    if as_json and show:
        raise click.UsageError("--json and --show were given; choose one of them")
    if output is not None:
        pictures.check_output(output, force, [image, model])
    vgg = progress.load(model)
    picture = pictures.opened(image, vgg.preset, exif=exif, background=background)
    found = preparation.follow(picture, vgg.preset)
    levels = preparation.as_picture(images.pixels(picture, vgg.preset))
    if as_json:
        print(json.dumps(found))
    else:
        print("\n".join(text_table.definitions(preparation.words(found), text_table.terminal_width())))
    if show:
        print()
        pictures.show(levels)
    if output is not None:
        pictures.save(levels, output, force)
        progress.say(f"written to {file_name(output)}")
