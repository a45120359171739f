"""Text from outside npvgg, made fit for one line of a message: names from files, what other libraries say, lists of names."""
import os
from collections.abc import Iterable


def shown(text: str | bytes | os.PathLike, most: int | None = None) -> str:
    r"""Text → the same on one line, cut after `most` characters.

    What does not print (control characters, line breaks, bytes that are no text) is written as an escape, so that a terminal
    obeys nothing in it.

    >>> shown("cat\x1b[2J\n.png")
    'cat\\x1b[2J\\n.png'
    """
    text = os.fsdecode(text)[:most]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def said(error: BaseException | str, most: int = 200) -> str:
    """What another library says of an error → one line of at most about `most` characters; its type where it says nothing."""
    return shown(" ".join(str(error).split()), most).rstrip(".") or type(error).__name__


def listed(names: Iterable, most: int = 3) -> str:
    """Names → the first `most` of them, and how many more there are.

    >>> listed("abcde"), listed("ab")
    ('a, b, c and 2 more', 'a, b')
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
