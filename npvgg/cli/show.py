"""npvgg show IMAGE --layer LAYER: the maps of a layer."""
import click

from npvgg.cli import options

HEADINGS = ("channel", "mean", "largest", "row", "column", "zeros")


@click.command(short_help="Show the maps of a layer.")
@click.argument("image", type=options.file, metavar="IMAGE|-")
@click.option("--layer", required=True, metavar="LAYER", help="Whose output is shown, for example relu3_1.")
@click.option("-o", "--output", type=options.file, metavar="FILE", help="Write all maps as one PNG, on one scale of colours.")
@options.force
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, metavar="K", help="How many channels are listed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the numbers of every channel.")
@options.model
@options.threads
@options.tier
@options.algorithm
@options.exif
@options.background
@options.talking
def command(image, layer, output, force, top, as_json, model, exif, background, **kernels):
    """List a layer's channels by how strongly they answer to a picture, or draw all their maps as one sheet.

    \b
    npvgg show cat.jpg --layer relu3_1
    npvgg show cat.jpg --layer relu3_1 -o sheet.png

    Colours go from dark blue at 0 to yellow behind a ReLU, and from blue over white at 0 to red where numbers may be negative.
    """
    import json

    from npvgg import text_table
    from npvgg.cli import pictures, progress
    from npvgg.errors import UsageError
    from npvgg.explorer import channels, drawings
    from npvgg.explorer.explanation import finite
    from npvgg.layer_names import PROBABILITIES
    from npvgg.text import file_name

    if output is not None:
        pictures.check_output(output, force, [image, model])
    vgg = progress.load(model, **kernels)
    picture = pictures.opened(image, vgg.preset, exif=exif, background=background)
    name = layer if layer in PROBABILITIES else vgg.layer_of(layer)
    maps = vgg.features(picture, name)[name][0]
    found = channels.strongest(maps)
    shape = "×".join(map(str, maps.shape))
    if output is not None:
        if maps.ndim != 3:
            raise UsageError(f"{name} gives {shape} numbers and no maps; leave out -o, or draw a layer before the flattening")
        title = f"{name} of {vgg.architecture.name}: {shape}"
        pictures.save(drawings.sheet(maps, is_signed=bool((maps < 0).any()), title=title), output, force)
    if as_json:
        content = {"layer": name, "shape": list(maps.shape), "channels": [each._asdict() for each in found]}
        print(json.dumps(finite(content), allow_nan=False))
    elif output is not None:
        print(file_name(output))
    else:
        rows = [(f"{each.channel}", f"{each.mean:.4g}", f"{each.largest:.4g}", f"{each.row}", f"{each.column}",
                 f"{each.zeros:.0%}") for each in found[:top]]
        print("\n".join([f"{name} of {vgg.architecture.name}: {shape}", "",
                         *text_table.render(HEADINGS, rows, left=(), width=text_table.terminal_width())]))
