"""The command lines, run inside the test's process."""
import contextlib
import io
from typing import NamedTuple

from npvgg import cli, command_line


class Run(NamedTuple):
    status: int
    out: str
    err: str


def npvgg(*arguments):
    """`npvgg ARGUMENTS` → its exit status and what it printed."""
    return run(cli.command, "npvgg", arguments)


def weights_convert(*arguments):
    """`python -m weights_convert ARGUMENTS` → its exit status and what it printed."""
    from weights_convert.__main__ import command

    return run(command, "weights-convert", arguments)


def run(command, program, arguments):
    out, err = io.StringIO(), io.StringIO()
    out.fileno = err.fileno = lambda: -1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command_line.run(command, program, [str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
    return Run(status, out.getvalue(), err.getvalue())
