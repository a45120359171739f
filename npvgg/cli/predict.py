"""npvgg predict IMAGE…: what is in the picture?"""
import click

from npvgg.cli import options


@click.command(short_help="Say what is in pictures.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|DIRECTORY|GLOB...")
@options.model
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="K", help="How many labels a picture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True,
              help="One line a label: image, rank, label, index, probability, logit, error, output.")
@options.output
@options.force
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Pictures computed together.")
@options.threads
@options.tier
@options.algorithm
@options.exif
@options.background
def command(images, model, top, as_json, as_csv, output, force, batch, threads, tier, algorithm, exif, background):
    """Classify pictures: files, directories (walked recursively) and glob patterns, answered in order.

    \b
    npvgg predict cat.jpg
    npvgg predict photos/ --model vgg16 --top 1
    npvgg predict 'photos/*.jpg' --json --output answers.jsonl

    Probabilities are what the network's output means: softmax, one class of several, where they sum to 1; or sigmoid, labels
    that do not exclude each other, each with a probability of its own, or with a single output two classes.  JSON and CSV say
    which in "output".  A picture that cannot be read is reported and counted, the others are classified, and the exit status
    is 8.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv were given; choose one of them")
    from npvgg import classify
    from npvgg import images as pictures
    from npvgg.cli import answers, progress
    from npvgg.storage import atomic_file

    paths = pictures.find(images, missing=True)
    if output not in (None, "-"):
        atomic_file.refuse_inputs(output, [*paths, model])
    vgg = progress.load(model, threads=threads, tier=tier, algorithm=algorithm)
    stream = classify.stream(paths, vgg, top=top, batch=batch, exif=exif, background=background)
    form = "json" if as_json else "csv" if as_csv else None
    with (answers.writer(form, output, force, vgg.architecture) as write,
          progress.counted(stream, len(paths), "classifying", to_file=output not in (None, "-")) as counted):
        return answers.deliver(counted, len(paths), vgg.architecture, write)
