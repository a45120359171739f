"""How a command ends: its exit status, and one line on standard error instead of a traceback."""
import os
import sys
import traceback
import warnings
from functools import partial

import click

from npvgg.errors import INTERRUPTED, NpvggError, TierWarning, UncheckedWarning


def run(command, program, arguments=None):
    """Run a click command to the end of the process, with `arguments` instead of the process's own if they are given.

    Errors that npvgg raises on purpose become their notes, if they have any, one line and their `exit_code`; Ctrl-C gives
    130; a closed pipe ends quietly; anything else is a bug in npvgg and exits with 1.  NPVGG_DEBUG=1 shows the traceback
    of any of them.
    """
    # Pillow warns of damage that npvgg answers for itself, or that does not touch the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = partial(show, program, warnings.showwarning)
    try:
        # Not command.main(), which ends a closed pipe with 1 and Ctrl-C with an empty line.
        with command.make_context(program, sys.argv[1:] if arguments is None else list(arguments)) as context:
            result = command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        result = end.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        result = fail(program, "interrupted", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        result = error.exit_code
    except NpvggError as error:
        result = fail(program, str(error), error.exit_code, getattr(error, "__notes__", ()))
    except BrokenPipeError:
        # The reader (`head`, say) has gone: nobody is left to tell, and the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        result = 0
    except MemoryError:
        result = fail(program, "not enough memory; give a smaller --batch, or close other programs", 1)
    except Exception as error:
        result = fail(program, f"a bug in npvgg ({type(error).__name__}: {error}); set NPVGG_DEBUG=1, run it again and "
                               "report what it prints", 1)
    sys.exit(result if isinstance(result, int) else 0)


def show(program, otherwise, message, category, *where, **options):
    """A warning of npvgg's own as one line; of others as it was."""
    if issubclass(category, (TierWarning, UncheckedWarning)):
        print(f"{program}: {message}", file=sys.stderr)
    else:
        otherwise(message, category, *where, **options)


def fail(program, message, status, notes=()):
    if os.environ.get("NPVGG_DEBUG"):
        traceback.print_exc()
    for note in notes:
        print(note, file=sys.stderr)
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
    return status
