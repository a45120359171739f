"""The command line: one file a command, the answer on standard output and everything else on standard error."""
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click

from npvgg import command_line, help_page, text
from npvgg.cli import options
from npvgg.errors import EXIT_STATUSES
from npvgg.version import __version__

# In the order in which a new user needs them.
COMMANDS = ("predict", "demo", "models", "download", "train", "evaluate", "prepare", "summary", "inspect", "verify", "explain",
            "heatmap", "show", "preprocess", "trace", "parity", "bench", "warmup")


class Commands(click.Group):
    """Imports a command's module when it is asked for; these import NumPy, Numba and h5py only when they run."""

    context_class = help_page.Context

    def list_commands(self, context):
        """The names of the commands, in the order of `npvgg --help`."""
        return COMMANDS

    def get_command(self, context, name):
        """The command of that name, imported from its file; None where there is none."""
        if name not in COMMANDS:
            return None
        found = import_module(f"npvgg.cli.{name}").command
        found.context_class = help_page.Context
        return found

    def resolve_command(self, context, arguments):
        """click's (name, command, rest) of the arguments; click.UsageError lists the commands where the name is none."""
        name = arguments[0]
        if name not in COMMANDS and not name.startswith("-") and not context.resilient_parsing:
            raise click.UsageError(f"there is no command {name!r}{text.meant(name, COMMANDS)}; npvgg has {', '.join(COMMANDS)}",
                                   context)
        return super().resolve_command(context, arguments)

    def format_epilog(self, context, formatter):
        """The exit statuses, below the commands."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in EXIT_STATUSES.items()])


def print_versions(context, _, asked):
    """npvgg's version, and those of the libraries whose behaviour shows in the numbers."""
    if asked and not context.resilient_parsing:
        print(f"npvgg {__version__}")
        for name in ("numpy", "numba", "llvmlite", "h5py", "pillow"):
            try:
                print(f"{name} {version(name)}")
            except PackageNotFoundError:
                print(f"{name} is missing")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("-V", "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_versions,
              help="Show the versions and exit.")
@options.talking
def command():
    """VGG without a framework: classify pictures, look at every layer, check the numbers."""


def main():
    """The entry point `npvgg`: runs the command and exits with its status."""
    command_line.run(command, "npvgg")
