"""npvgg demo: classify the photographs that scikit-image carries."""
from pathlib import Path

import click

from npvgg.cli import options

PHOTOGRAPHS = ("chelsea.png", "rocket.jpg", "motorcycle_left.png", "coffee.png", "astronaut.png")


@click.command(short_help="Classify a few real photographs.")
@options.model
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, metavar="K", help="How many labels a picture.")
@options.threads
@options.tier
@options.algorithm
@options.talking
def command(model, top, threads, tier, algorithm):
    """Classify five photographs that scikit-image carries: a cat, a rocket, a motorcycle, a cup of coffee, an astronaut.

    The bundled network knows ten classes, so the cup and the astronaut show what a network answers when it has no word
    for what it sees.  Needs the demo extra: pip install "npvgg[demo]".
    """
    from npvgg import classify
    from npvgg.cli import answers, progress

    paths = photographs()
    vgg = progress.load(model, threads=threads, tier=tier, algorithm=algorithm)
    stream = (answer._replace(image=Path(answer.image).name) for answer in classify.stream(paths, vgg, top=top))
    with answers.writer(None, None, False, vgg.architecture) as write:
        return answers.deliver(stream, len(paths), vgg.architecture, write)


def photographs():
    """Paths of the photographs in scikit-image; UsageError where it is not installed or lacks one of them."""
    from npvgg.errors import UsageError

    try:
        from skimage import data
    except ImportError:
        raise UsageError('the demo needs scikit-image for its photographs; run pip install "npvgg[demo]"') from None
    paths = [Path(data.__file__).parent / name for name in PHOTOGRAPHS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UsageError(f"this scikit-image has no {', '.join(missing)}; run pip install --upgrade scikit-image")
    return paths
