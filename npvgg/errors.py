"""What can go wrong, one class for each thing the caller can do about it.

Every message is one sentence that names what was given, what was expected and the next step.  The command line prints
it without a traceback and exits with the class's `exit_code`, one of EXIT_STATUSES.
"""

EXIT_STATUSES = {
    0: "fine",
    1: "a difference was found; or a bug, or too little memory",
    2: "wrong usage: an option, a name, a file that exists",
    3: "a file that is damaged, or is no picture, or no VGG",
    4: "not supported",
    5: "another digest or self-test than expected",
    6: "the network, or the server",
    7: "the disk: no space, no right, no such file",
    8: "some of the pictures failed, the others are answered",
    130: "interrupted by Ctrl-C",
}


class NpvggError(Exception):
    """Base of every error that npvgg raises on purpose."""

    exit_code = 1


class UsageError(NpvggError, ValueError):
    """A name, option or argument that npvgg does not know."""

    exit_code = 2


class ShapeError(UsageError):
    """Arrays whose shapes or dtypes do not fit together."""


class BadFileError(NpvggError, ValueError):
    """A file that is damaged, truncated, hostile or of another kind."""

    exit_code = 3


class ForeignFileError(BadFileError):
    """A sound file of another program."""


class ImageError(BadFileError):
    """A picture that cannot be read or must not be."""


class HashMismatchError(BadFileError):
    """Bytes that differ from the ones their digest was taken of."""

    exit_code = 5


class UnsupportedError(NpvggError):
    """A well-formed request or file that npvgg does not handle."""

    exit_code = 4


class DownloadError(NpvggError):
    """The network, or the server at the other end of it."""

    exit_code = 6


class UncheckedWarning(UserWarning):
    """Bytes that were taken as they came, for no digest of them is published."""


class TierWarning(UserWarning):
    """A network that runs on a slower tier than the one that was chosen."""


class StorageError(NpvggError, OSError):
    """The disk: no space, no permission, no such folder."""

    exit_code = 7


PARTIAL_SUCCESS, INTERRUPTED = 8, 130
