"""How a command ends: its exit status, and one line on standard error instead of a traceback."""
import logging
import os
import sys
import traceback
import warnings
from functools import partial
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from npvgg import standard_streams, text, text_table
from npvgg.errors import INTERRUPTED, NpvggError, TierWarning, UncheckedWarning


def run(command: click.Command, program: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a click command to the end of the process, with `arguments` instead of the process's own if they are given.

    Errors that npvgg raises on purpose become their notes, if they have any, one line and their `exit_code`; Ctrl-C gives
    130; a closed pipe ends quietly; anything else is a bug in npvgg and exits with 1.  NPVGG_DEBUG=1 shows the traceback
    of any of them.  Meanwhile what npvgg's modules log, from warnings on, is a line on standard error too, and the standard
    streams are those of `standard_streams`.  With _PROGRAM_COMPLETE in the environment the shell's completion is answered.
    """
    logger, lines = logging.getLogger("npvgg"), Lines(program)
    logger.addHandler(lines)
    try:
        with standard_streams.opened():
            sys.exit(status_of(command, program, arguments))
    finally:
        logger.removeHandler(lines)


def status_of(command: click.Command, program: str, arguments: list[str] | None) -> int:
    """Run the command → its exit status, after everything that `run` says."""
    # Pillow warns of damage that npvgg answers for itself, or that does not touch the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = partial(show, program, warnings.showwarning)
    try:
        result = result_of(command, program, sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        result = fail(program, "interrupted", INTERRUPTED, error)
    except click.ClickException as error:
        error.show()
        result = error.exit_code
    except NpvggError as error:
        result = fail(program, str(error), error.exit_code, error)
    except BrokenPipeError:
        result = 0                                        # the reader, `head` say, has all that it wants
    except MemoryError as error:
        result = fail(program, "not enough memory; give a smaller --batch, or close other programs", 1, error)
    except Exception as error:
        result = fail(program, f"a bug in npvgg ({type(error).__name__}: {error}); set NPVGG_DEBUG=1, run it again and "
                               "report what it prints", 1, error)
    return result if isinstance(result, int) else 0


def result_of(command: click.Command, program: str, arguments: list[str]) -> Any:
    """What the command returns, or click's status where a shell asks how a command line goes on.

    Not command.main(), which ends a closed pipe with 1 and Ctrl-C with an empty line.
    """
    variable = f"_{program.replace('-', '_')}_COMPLETE".upper()
    if os.environ.get(variable):
        return shell_complete(command, {}, program, variable, os.environ[variable])
    try:
        with command.make_context(program, arguments) as context:
            return command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


class Lines(logging.Handler):
    """Prints what is logged, a line each."""

    def __init__(self, program: str):
        super().__init__(logging.WARNING)
        self.program = program

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        tell(self.program, record.getMessage())


def show(program: str, otherwise, message, category, *where, **options) -> None:
    """A warning of npvgg's own as one line; of others as it was."""
    if issubclass(category, (TierWarning, UncheckedWarning)):
        tell(program, message)
    else:
        otherwise(message, category, *where, **options)


def fail(program: str, message: str, status: int, error: BaseException | None = None) -> int:
    """Print the notes of an error, if there is one, and the message → the exit status."""
    if os.environ.get("NPVGG_DEBUG"):
        traceback.print_exc()
    for note in getattr(error, "__notes__", ()):
        print(note, file=sys.stderr)
    tell(program, message)
    return status


def tell(program: str, message: object) -> None:
    """Print a message on standard error: one line, or on a terminal as many as it needs, cut between words.

    A terminal obeys nothing in it: it may hold a file's name or a server's answer.
    """
    line = f"{program}: {text.shown(' '.join(str(message).split()))}"
    print("\n".join(text_table.wrapped(line, text_table.terminal_width(sys.stderr), 2)), file=sys.stderr)
