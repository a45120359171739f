"""Arguments and options that several commands share."""
import click

from npvgg.cli import progress
from npvgg.kernels import tiers

MODEL_HELP = "A name from `npvgg models`, or a weights file.  Without it: the bundled CIFAR-10 network."


class Model(click.ParamType):
    """A network's name or a weights file, as it was written; a shell completes both."""

    name = "model"

    def shell_complete(self, context, parameter, incomplete):
        """The names that begin so, and then the shell's own completion of files."""
        from click.shell_completion import CompletionItem

        from npvgg import hub

        names = [model.name for model in hub.list_models() if model.name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def volume(level):
    """A callback that makes the command as loud as `level` where its flag is given."""
    def chosen(context, _, is_given):
        if is_given:
            context.meta[progress.VOLUME] = level
    return chosen


def talking(command):
    """The options -q and -v."""
    quiet = click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=volume(progress.ERROR),
                         help="Print no notes and no progress bars; errors and warnings stay.")
    verbose = click.option("-v", "--verbose", is_flag=True, expose_value=False, callback=volume(progress.DETAIL),
                           help="Also say which network runs how, and how long it takes.")
    return quiet(verbose(command))


file = click.Path(readable=False)        # completed by a shell, and looked at by npvgg alone, whose errors say more
model = click.option("--model", type=Model(), metavar="NAME|FILE", help=MODEL_HELP)
threads = click.option("--threads", type=click.IntRange(1), metavar="N", help="How many threads; default: all that the "
                       "process may use.  The answer is the same for any number.")
tier = click.option("--tier", type=click.Choice(tiers.LADDER), default=tiers.DEFAULT, show_default=True,
                    help="Which kernels: the NumPy definition, the compiled loops, or the compiled vector instructions.")
algorithm = click.option("--algorithm", type=click.Choice(tiers.ALGORITHMS), default="auto", show_default=True,
                         help="How the engine convolves: winograd is faster, direct rounds less.")
output = click.option("-o", "--output", type=file, metavar="FILE", help="Write here instead of standard output (-).")
force = click.option("--force", is_flag=True, help="Replace the output file if it exists.")
store = click.option("--store", type=click.Choice(["float32", "float16", "bfloat16"]), help="How the weights file keeps its "
                     "numbers: 16 bits halve it; npvgg computes in float32 in any case.")
exif = click.option("--exif", is_flag=True, help="Turn pictures upright as their EXIF orientation says.")
background = click.option("--background", metavar="COLOUR", help="Lay transparent pictures on this colour: white, #rrggbb.")
