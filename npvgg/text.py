"""Text from outside npvgg, made fit for one line of a message: names from files, what other libraries say, lists of names."""
import difflib
import json
import os
import re
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


def file_name(path: str | os.PathLike) -> str:
    r"""A path → its bytes as UTF-8, whatever the locale; .encode("utf-8", "surrogateescape") gives the bytes back.

    A byte that is no UTF-8, such as Latin-1's é, becomes a lone surrogate, "\udce9" (PEP 383).
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def unambiguous(name: str) -> str:
    r"""What `file_name` gives, for a format without escapes of its own: where `encoded` writes \udcXX, it means the byte XX.

    So are written the bytes of control characters, which a terminal would obey, except for tab and line breaks; and the
    backslash of a name that has such letters itself, as \udc5c.

    >>> unambiguous(r"\udce9.png"), unambiguous("\x1b[2J\x9b"), unambiguous(r"C:\photos\a.png")
    ('\\udc5cudce9.png', '\\udc1b[2J\\udcc2\\udc9b', 'C:\\photos\\a.png')
    """
    def escaped(found):
        return "".join(f"\\udc{byte:02x}" for byte in found[0].encode())

    return re.sub(r"\\(?=udc[0-9a-f]{2})|[^\t\n\r\x20-\x7e\xa0-\U0010ffff]", escaped, name)


def json_line(value: object) -> str:
    r"""What is made of numbers, texts, lists and dicts → JSON on one line, in which no character is a control character.

    >>> json_line({"image": "é\x1b\x9b\u2028\udce9"})
    '{"image": "é\\u001b\\u009b\\u2028\udce9"}'
    """
    line = json.dumps(value, ensure_ascii=False)                    # which escapes those below U+0020
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", line)


def encoded(text: str) -> bytes:
    r"""Text → UTF-8, a lone surrogate as \udcXX, as JSON writes it."""
    return text.encode("utf-8", "backslashreplace")


def said(error: BaseException | str, most: int = 200) -> str:
    """What another library says of an error → one line of at most about `most` characters; its type where it says nothing."""
    return shown(" ".join(str(error).split()), most).rstrip(".") or type(error).__name__


def meant(name: object, names: Iterable[str]) -> str:
    """A name that is not there, and those that are → the one that was meant, in brackets; nothing where none is close.

    >>> meant("vgg61", ["vgg11", "vgg16"]), meant("resnet", ["vgg11", "vgg16"])
    (" (did you mean 'vgg16'?)", '')
    """
    written, known = str(name)[:80].lower(), {str(candidate).lower(): candidate for candidate in names}
    close = difflib.get_close_matches(written, known, n=9, cutoff=0.75)
    close.sort(key=lambda candidate: sorted(candidate) != sorted(written))         # first one whose letters are transposed
    return f" (did you mean {known[close[0]]!r}?)" if close else ""


def counted(amount: int, noun: str) -> str:
    """(3, "layer") → "3 layers", (1, "layer") → "1 layer"."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


def listed(names: Iterable, most: int = 3) -> str:
    """Names → the first `most` of them, and how many more there are.

    >>> listed("abcde"), listed("ab")
    ('a, b, c and 2 more', 'a, b')
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
