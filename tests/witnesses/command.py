"""The command lines, run inside the test's process."""
import contextlib
import io
from typing import NamedTuple
from unittest import mock

from npvgg import cli, command_line


class Run(NamedTuple):
    status: int
    out: str
    err: str


def npvgg(*arguments, stdin=b""):
    """`npvgg ARGUMENTS` with these bytes on standard input → its exit status and what it printed."""
    return run(cli.command, "npvgg", arguments, stdin)


def weights_convert(*arguments):
    """`python -m weights_convert ARGUMENTS` → its exit status and what it printed."""
    from weights_convert.__main__ import command

    return run(command, "weights-convert", arguments)


def run(command, program, arguments, stdin=b""):
    """With a standard output as Windows opens it for a file; it is read as UTF-8."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for encoding in ("cp1252", "utf-8"))
    given = stdin if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch("sys.stdin", given):
        try:
            command_line.run(command, program, [str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
    return Run(status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())
