"""npvgg heatmap IMAGE: which pixels an answer rests on."""
import click

from npvgg.cli import options

METHODS = ("gradcam", "saliency", "smoothgrad", "integrated", "input-gradient", "guided", "deconvolution", "occlusion",
           "relevance")
HEADINGS = ("drawn at random from", "map", "sizes")


@click.command(short_help="Show which pixels an answer rests on.")
@click.argument("image", type=options.file, metavar="IMAGE|-")
@click.option("--method", type=click.Choice(METHODS), default="gradcam", show_default=True, metavar="METHOD",
              help=f"How pixels are given their part: {', '.join(METHODS)}.")
@click.option("--target", metavar="LABEL|UNIT", help="A class by its name or number, or a unit such as conv3_1:17,5,7; "
              "default: the class that the network names.")
@click.option("--layer", metavar="LAYER", help="Of gradcam: whose maps are weighed; default: the last ReLU of the features.")
@click.option("--window", type=click.IntRange(1), metavar="PIXELS", help="Of occlusion: the side of what is covered.")
@click.option("--stride", type=click.IntRange(1), metavar="PIXELS", help="Of occlusion: from one window to the next.")
@click.option("--rule", metavar="RULE", help="Of relevance: composite, epsilon or zplus.")
@click.option("-o", "--output", type=options.file, metavar="FILE", help="Write the photograph under the map as PNG, in place "
              "of showing it in the terminal.")
@options.force
@click.option("--sanity", is_flag=True, help="In place of the map: how much of it is left where layers are drawn at random, "
              "from the last one down.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the map.")
@options.model
@options.threads
@options.tier
@options.algorithm
@options.exif
@options.background
@options.talking
def command(image, method, target, layer, window, stride, rule, output, force, sanity, as_json, model, exif, background,
            **kernels):
    """Lay over a picture how much each of its pixels has to do with a class, or with one unit of a layer.

    \b
    npvgg heatmap cat.jpg -o heat.png
    npvgg heatmap cat.jpg --target dog --method integrated -o heat.png
    npvgg heatmap cat.jpg --layer relu4_1 --json

    Colours go from dark blue to yellow where numbers are never negative, and from blue over white to red where they may be.
    docs/explain.md says what each method computes.

    --sanity draws layers at random, from the last one down to each in turn, and shows how the map's ranks correlate with those
    of the trained network's map, with their signs and as sizes: a map that stays shows the picture and not what was learned.
    """
    from npvgg import explorer, text_table
    from npvgg.cli import pictures, progress
    from npvgg.explorer import drawings
    from npvgg.text import file_name

    if sanity and (output is not None or as_json):
        raise click.UsageError("--sanity was given with -o or --json; it prints a table, so leave these out")
    if output is not None:
        pictures.check_output(output, force, [image, model])
    vgg = progress.load(model, **kernels)
    picture = pictures.opened(image, vgg.preset, exif=exif, background=background)
    given = {"layer": layer, "window": window, "stride": stride, "rule": rule}
    given = {name: value for name, value in given.items() if value is not None}
    if sanity:
        rows = [(f"{each.layer}", f"{each.signed:.2f}", f"{each.sizes:.2f}")
                for each in explorer.sanity(vgg, picture, method, target, **given)]
        print("\n".join(text_table.render(HEADINGS, rows, width=text_table.terminal_width())))
        return
    found = vgg.attribute(picture, method, target, **given)
    facts = "".join(f", {name} {value:.3g}" for name, value in found.facts.items())
    progress.say(f"{method} of {found.target}, whose number is {found.value:.4g}{facts}")
    if as_json:
        print(found.to_json())
    if output is None and as_json:
        return
    drawn = drawings.overlay(picture, found.map, found.on_photograph, is_signed=found.is_signed)
    if output is None:
        pictures.show(drawn, without_colours=drawings.in_grey(found.map))
        return
    pictures.save(drawn, output, force)
    if not as_json:
        print(file_name(output))
