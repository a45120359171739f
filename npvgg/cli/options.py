"""Options that several commands share."""
import click

from npvgg.kernels import tiers

MODEL_HELP = "A name from `npvgg models`, or a weights file.  Without it: the bundled CIFAR-10 network."

model = click.option("--model", metavar="NAME|FILE", help=MODEL_HELP)
threads = click.option("--threads", type=click.IntRange(1), metavar="N", help="How many threads; default: all that the "
                       "process may use.  The answer is the same for any number.")
tier = click.option("--tier", type=click.Choice(tiers.LADDER), default=tiers.DEFAULT, show_default=True,
                    help="Which kernels: the NumPy definition, the compiled loops, or the compiled vector instructions.")
algorithm = click.option("--algorithm", type=click.Choice(tiers.ALGORITHMS), default="auto", show_default=True,
                         help="How the engine convolves: winograd is faster, direct rounds less.")
output = click.option("-o", "--output", metavar="FILE", help="Write here instead of standard output (-).")
force = click.option("--force", is_flag=True, help="Replace the output file if it exists.")
exif = click.option("--exif", is_flag=True, help="Turn pictures upright as their EXIF orientation says.")
background = click.option("--background", metavar="COLOUR", help="Lay transparent pictures on this colour: white, #rrggbb.")
