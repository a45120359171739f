"""npvgg evaluate DATA: how often is a network right?"""
import click

from npvgg.cli import options


@click.command(short_help="Measure a network's accuracy on labelled pictures.")
@click.argument("data", type=options.file)
@options.model
@click.option("--mirror", is_flag=True, help="Answer with the mean of each picture and its mirror image.")
@click.option("--input-size", type=click.IntRange(32, 4096), metavar="PIXELS", help="Prepare the pictures at another side.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@options.threads
@options.tier
@options.algorithm
@options.talking
def command(data, model, mirror, input_size, as_json, **kernels):
    """Top-1, top-5 and loss on a data set, in any of the forms that `npvgg train` takes.

    \b
    npvgg evaluate val/ --model RUN/weights.h5
    npvgg evaluate cifar-10-batches-bin/test_batch.bin --model RUN/weights.h5 --mirror

    The classes of the data are the network's, by their names or numbers.  A picture that cannot be read is left out and
    reported, and the exit status is then 8.
    """
    from dataclasses import replace

    from npvgg import text
    from npvgg.cli import progress
    from npvgg.errors import PARTIAL_SUCCESS
    from npvgg.training import evaluation, sources

    vgg = progress.load(model, **kernels)
    vgg.require_classifier()
    if input_size is not None:
        vgg = replace(vgg, preset=vgg.preset.resized(input_size))
    found = sources.read(data, class_names=vgg.class_names, mode=vgg.preset.mode)
    if found.skipped:
        progress.say(f"{text.counted(len(found.skipped), 'picture')} cannot be read and left out; the first: "
                     f"{found.skipped[0][1]}", progress.ERROR)
    judged = evaluation.evaluate(vgg, found, mirror=mirror)
    facts = {"pictures": len(found), "skipped": len(found.skipped), "loss": judged.loss,
             "top1": judged.top1, "top5": judged.top5}
    status = PARTIAL_SUCCESS if found.skipped else 0
    if as_json:
        print(text.json_line(facts))
        return status
    top5 = "" if judged.top5 is None else f"top-5 {100 * judged.top5:.2f} %, "
    print(f"top-1 {100 * judged.top1:.2f} %, {top5}loss {judged.loss:.4f}, of {len(found):,} pictures")
    return status
