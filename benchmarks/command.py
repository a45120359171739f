"""How a measuring program starts and ends."""
import shlex
import sys

from npvgg import command_line
from npvgg.errors import INTERRUPTED, NpvggError


def main(program, parser, run, arguments=None):
    """run(options, the command line as people type it) → exit status; an npvgg error is one line."""
    arguments = sys.argv[1:] if arguments is None else [str(argument) for argument in arguments]
    try:
        run(parser.parse_args(arguments), shlex.join(["python", "-m", program, *arguments]))
    except NpvggError as error:
        return command_line.fail(program, str(error), error.exit_code)
    except KeyboardInterrupt:
        return command_line.fail(program, "interrupted", INTERRUPTED)
    return 0
