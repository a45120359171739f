"""Doing the same for several files or models: one that fails does not end the others."""
from collections.abc import Callable, Iterable

from npvgg.cli.progress import ERROR, say
from npvgg.errors import PARTIAL_SUCCESS, NpvggError


def each(names: Iterable[str], do: Callable[[str], int]) -> int:
    """do(name) of every name → the exit status: the largest that `do` returns, or that of the errors.

    The error of one name alone is raised.  Among several an error is said and the next name done; where all fail the status is
    the first error's, otherwise PARTIAL_SUCCESS.
    """
    names, failures, statuses = list(names), [], [0]
    for name in names:
        try:
            statuses.append(do(name))
        except NpvggError as error:
            if len(names) == 1:
                raise
            say(f"{error}", ERROR)
            failures.append(error.exit_code)
    return status_of(failures, len(names)) or max(statuses)


def status_of(failures: list[int], total: int) -> int:
    """The exit statuses of those that failed among `total` → that of the command: 0 for none, PARTIAL_SUCCESS for some."""
    if not failures:
        return 0
    return failures[0] if len(failures) == total else PARTIAL_SUCCESS
