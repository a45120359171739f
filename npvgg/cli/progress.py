"""What a person sees while something takes long, on standard error and only on a terminal."""
import sys
from contextlib import contextmanager

import click

from npvgg import command_line, hub

ERROR, NOTE, DETAIL = range(-1, 2)        # what is said even with -q, without it, and only with -v
VOLUME = "npvgg.volume"                   # the key of click's context under which -q and -v are remembered


def say(text, level=NOTE):
    """Print a message on standard error, with "npvgg: " before it, unless the command is to be quieter than `level`."""
    if is_said(level):
        command_line.tell("npvgg", text)


def is_said(level):
    """Whether the command that runs is to say what has this level."""
    context = click.get_current_context(silent=True)
    return level <= (context.meta.get(VOLUME, NOTE) if context else NOTE)


def load(model, **options):
    """`classify.load` with a progress bar, and one line that says so where the bundled network stands in."""
    from npvgg import classify
    from npvgg.kernels.compiling.threads import number_of

    vgg = classify.load(model, progress=DownloadBar(), **options)
    if model is None:
        say(f"no --model given, so this is the bundled {hub.DEFAULT}: "
            f"{vgg.architecture.num_classes} classes ({', '.join(vgg.class_names)}); `npvgg models` lists others")
    say(f"{vgg!r}"[1:-1] + f", {number_of(vgg.options.threads)} threads", DETAIL)
    return vgg


@contextmanager
def counted(items, total, what, *, to_file):
    """Iterate over `items` with a bar that counts to `total`.

    Where the answers scroll by on a terminal they show the progress themselves, so there is a bar only if they go to a file
    or a pipe.  rich would send them to the bar's own stream; redirect_stdout=False keeps them on standard output.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    is_shown = is_said(NOTE) and sys.stderr.isatty() and total > 1 and (to_file or not sys.stdout.isatty())
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True, disable=not is_shown, redirect_stdout=False)
    with bar:
        yield bar.track(items, total=total, description=what)


class DownloadBar:
    """pooch's progress-bar protocol (total, update, reset, close), drawn by rich."""

    def __init__(self):
        self.total, self.bar, self.task = 0, None, None

    def update(self, size):
        """`size` more bytes have arrived; the first call draws the bar."""
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            self.bar = Progress(TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                                console=Console(stderr=True), transient=True, redirect_stdout=False,
                                disable=not (is_said(NOTE) and sys.stderr.isatty()))
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total)
        self.bar.update(self.task, advance=size, total=self.total)

    def reset(self):
        """Begin again at 0 bytes."""
        if self.bar is not None:
            self.bar.reset(self.task, total=self.total)

    def close(self):
        """Remove the bar from the terminal."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
