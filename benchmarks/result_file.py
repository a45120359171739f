"""A file of measurements: JSON, one kind a file, written whole or not at all.

    {"format": "npvgg-benchmark 1", "kind": "peers", "taken": "2026-11-30T12:00:00Z",
     "command": "python -m benchmarks.peers vgg16", "machine": {…}, "rows": [
    {…},
    …
    ]}

`machine` as in `machine.describe`; what a row holds is the kind's affair.  A row is one line, for the sake of `git diff`.
"""
import json
from datetime import UTC, datetime

from benchmarks import machine
from npvgg.errors import BadFileError, StorageError
from npvgg.storage import atomic_file

FORMAT = "npvgg-benchmark 1"
FIELDS = ("format", "kind", "taken", "command", "machine", "rows")


def write(path, kind, rows, *, command, force=False, **measured):
    """Write rows as a result file.  `measured` goes to `machine.describe`.  UsageError (exists), StorageError (disk)."""
    head = {"format": FORMAT, "kind": kind, "taken": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": command, "machine": machine.describe(**measured)}
    lines = ",\n".join(map(encoded, rows))
    atomic_file.write(path, f'{encoded(head)[:-1]}, "rows": [\n{lines}\n]}}\n', force=force)


def encoded(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read(path, kind):
    """A result file of that kind → its document.  BadFileError where it is none, StorageError where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror or error}); measure first, with the commands in "
                           "benchmarks/results/README.md") from None
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{path} is not JSON ({error}); measure again") from None
    if not isinstance(document, dict) or not set(FIELDS) <= set(document) or document["format"] != FORMAT:
        raise BadFileError(f"{path} is not a file of the format {FORMAT!r}; measure again")
    if document["kind"] != kind:
        raise BadFileError(f"{path} holds results of the kind {document['kind']!r}, expected {kind!r}; give another file")
    return document
