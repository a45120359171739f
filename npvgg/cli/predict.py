"""npvgg predict IMAGE…: what is in the picture?"""
import click

from npvgg.cli import options


@click.command(short_help="Say what is in pictures.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|DIRECTORY|GLOB...")
@options.model
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="K", help="How many labels a picture.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="One line a label: image, rank, label, index, probability, logit, error.")
@options.output
@options.force
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Pictures computed together.")
@options.threads
@options.tier
@options.algorithm
@options.exif
@options.background
def command(images, model, top, form, output, force, batch, threads, tier, algorithm, exif, background):
    """Classify pictures: files, directories (walked recursively) and glob patterns, answered in order.

    \b
    npvgg predict cat.jpg
    npvgg predict photos/ --model vgg16 --top 1
    npvgg predict 'photos/*.jpg' --json --output answers.jsonl

    A picture that cannot be read is reported and counted, the others are classified, and the exit status is 8.
    """
    from npvgg import classify
    from npvgg import images as pictures
    from npvgg.cli import answers, progress

    paths = pictures.find(images)
    vgg = progress.load(model, threads=threads, tier=tier, algorithm=algorithm)
    vgg.require_classifier()
    stream = classify.stream(paths, vgg, top=top, batch=batch, exif=exif, background=background)
    with (answers.writer(form, output, force) as write,
          progress.counted(stream, len(paths), "classifying", to_file=output is not None) as counted):
        return answers.deliver(counted, len(paths), vgg.architecture.num_classes, write)
