"""npvgg predict IMAGE…: what is in the picture?"""
import click

from npvgg.cli import options


@click.command(short_help="Say what is in pictures.")
@click.argument("images", nargs=-1, type=options.file, metavar="[IMAGE|DIRECTORY|GLOB|-]...")
@click.option("--files-from", type=options.file, metavar="FILE|-",
              help="Also classify the pictures whose names FILE lists, one a line, as they are: no directories, no patterns.")
@click.option("-0", "--null", is_flag=True, help="In that list a NUL character ends each name, as after find -print0.")
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
@options.talking
def command(images, files_from, null, model, top, as_json, as_csv, output, force, batch, exif, background, **kernels):
    """Classify pictures: files, directories (walked recursively), glob patterns, and - for one on standard input.

    \b
    npvgg predict cat.jpg
    npvgg predict photos/ --model vgg16 --top 1
    npvgg predict 'photos/*.jpg' --json --output answers.jsonl
    find . -name '*.jpg' -print0 | npvgg predict -0 --files-from -
    curl -s https://example.org/cat.jpg | npvgg predict -

    There is an answer for each, in the order in which they are named, and as often as they are named.

    Probabilities are what the network's output means: softmax, one class of several, where they sum to 1; or sigmoid, labels
    that do not exclude each other, each with a probability of its own, or with a single output two classes.  JSON and CSV say
    which in "output".  A picture that cannot be read or is not there is reported and counted, the others are classified, and
    the exit status is 8.

    Answers are UTF-8.  A byte XX of a name that is no UTF-8 is written as \\udcXX; Python gets the name back from JSON by
    json.loads(line)["image"].encode("utf-8", "surrogateescape"); docs/command-line.md has the same for CSV.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv were given; choose one of them")
    if null and files_from is None:
        raise click.UsageError("--null was given without --files-from, whose list it is about; add that, or leave it out")
    import time

    from npvgg import classify, text
    from npvgg.cli import answers, naming, progress
    from npvgg.storage import atomic_file

    paths = naming.pictures(images, files_from, is_null=null, missing=True)
    if output not in (None, "-"):
        atomic_file.refuse_inputs(output, [*paths, model, files_from])
    vgg = progress.load(model, **kernels)
    stream = classify.stream(paths, vgg, top=top, batch=batch, exif=exif, background=background)
    form = "json" if as_json else "csv" if as_csv else None
    with (answers.writer(form, output, force, vgg.architecture) as write,
          progress.counted(stream, len(paths), "classifying", to_file=output not in (None, "-")) as counted):
        start = time.perf_counter()
        status = answers.deliver(counted, len(paths), vgg.architecture, write)
    seconds = time.perf_counter() - start
    progress.say(f"{text.counted(len(paths), 'picture')} in {seconds:.2f} s, {1e3 * seconds / len(paths):.1f} ms each",
                 progress.DETAIL)
    return status
