"""JSON of untrusted files: a field that appears twice, NaN and Infinity are refused rather than taken."""
import json
from typing import Any, NoReturn


def read(text: str | bytes) -> Any:
    """JSON → its value.  ValueError for everything that is not JSON, a field named twice and a depth beyond Python's stack."""
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def unique(pairs: list[tuple]) -> dict:
    """The fields of an object; JSON itself allows one twice, and readers then differ in which they keep."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field appears twice")
    return dict(pairs)


def refuse_constant(text: str) -> NoReturn:
    """NaN, Infinity and −Infinity, which Python's reader takes and JSON lacks."""
    raise ValueError(f"{text} is not a number of JSON")
