"""One picture in, and pictures out: to a PNG file, or to the terminal in blocks of colour."""
import io
import sys

import numpy as np

from npvgg.cli import naming
from npvgg.errors import UsageError

COLUMNS, NARROW = 80, 60                  # of a picture in a terminal or pipe at most, and of one that is no wider than high
SHADES = " .:-=+*#%@"                     # where there are no colours, from dark to light


def one(name):
    """A name on the command line → the one picture's path, or standard input; UsageError where it names several."""
    found = naming.pictures([name])
    if len(found) != 1:
        raise UsageError(f"{name} names {len(found)} pictures; give one, for they are explained one at a time")
    return found[0]


def opened(name, preset, **options):
    """A name on the command line → a PIL.Image in the preset's mode; the options and errors of `images.read`."""
    from npvgg import images

    return images.read(one(name), mode=preset.mode, **options)


def save(picture, path, force):
    """Write a PIL.Image as PNG; UsageError for a file that is there and for a name that ends otherwise."""
    from npvgg.storage import atomic_file

    content = io.BytesIO()
    picture.save(content, "PNG")
    atomic_file.write(path, content.getvalue(), force=force)


def check_output(output, force, inputs):
    """Refused now rather than after the work: a name that is no PNG's, a file that is there, or that is read."""
    from npvgg.storage import atomic_file
    from npvgg.text import shown

    if not output.lower().endswith(".png"):
        raise UsageError(f"{shown(output)} is to be a picture; give a name that ends with .png")
    atomic_file.refuse_inputs(output, inputs)
    atomic_file.destination(output, force)


def show(picture, without_colours=None):
    """Print a PIL.Image: two pixels a character where the terminal has colours, otherwise in shades of text.

    `without_colours` is a picture for that case, where colours are what another one says.
    """
    from rich.console import Console
    from rich.text import Text

    from npvgg import text_table

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if console.color_system is None:
        picture = without_colours or picture
    width = min(text_table.terminal_width() or COLUMNS, COLUMNS if picture.width > picture.height else NARROW)
    height = 2 * max(1, round(width * picture.height / picture.width / 2))
    small = np.asarray(picture.convert("RGB").resize((width, height)))
    if console.color_system is None:
        grey = small.astype(float) @ (0.299, 0.587, 0.114)
        for row in (grey[0::2] + grey[1::2]) / 2:
            print("".join(SHADES[int(level * len(SHADES) / 256)] for level in row).rstrip())
        return
    for above, below in zip(small[0::2], small[1::2]):
        line = Text()
        for upper, lower in zip(above, below):
            line.append("▀", style=f"{colour(upper)} on {colour(lower)}")
        console.print(line)


def colour(levels):
    """(3,) uint8 → "#rrggbb"."""
    return "#" + "".join(f"{level:02x}" for level in levels)
