"""The words of a refusal: what is wrong, what it means for the one who has the file, and what others say of it."""
from npvgg import text
from npvgg.errors import BadFileError


def damaged(what):
    """For what a cut or a flipped bit explains."""
    return BadFileError(f"{what} (the file is damaged: fetch it again)")


def hostile(what):
    """For what makes a reader without checks run code or fill the memory, intended or not."""
    return BadFileError(f"{what} (the file is damaged or hostile)")


def quoted(names, most=3):
    """Names from the file for a message: not too many, not too long, and no control characters."""
    return ", ".join(repr(name[:80]) for name in names[:most]) + (", …" if len(names) > most else "")


def quoted_error(error, most=120):
    """What another library said, on one line."""
    return text.said(error, most)


def printable(words, most=80):
    """The beginning of a text, with escapes in place of control characters."""
    return text.shown(words, most)
