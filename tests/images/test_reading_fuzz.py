"""Thousands of damaged files: each is refused with an ImageError of one line or gives a finite input.

NPVGG_FUZZ_SECONDS lengthens the run from its five seconds.
"""
import os
import random
import time

import numpy as np
import pytest
from witnesses.encoded import FILES

from npvgg.errors import ImageError, UsageError
from npvgg.images import prepare, preset, read

SECONDS = float(os.environ.get("NPVGG_FUZZ_SECONDS", 5))
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def flip(content, rng):
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content, rng):
    content[rng.randrange(len(content))] = rng.choice(INTERESTING)


def overwrite_in_the_header(content, rng):
    content[rng.randrange(min(64, len(content)))] = rng.randrange(256)


def cut(content, rng):
    del content[rng.randrange(1, len(content)):]


def remove(content, rng):
    start = rng.randrange(len(content))
    del content[start:start + rng.randrange(1, 20)]


def repeat(content, rng):
    start = rng.randrange(len(content))
    content[start:start] = content[start:start + rng.randrange(1, 200)]


def insert(content, rng):
    start = rng.randrange(len(content))
    content[start:start] = rng.randbytes(rng.randrange(1, 9))


def splice(content, rng):
    other = rng.choice(list(FILES.values()))
    start = rng.randrange(len(other))
    content[rng.randrange(len(content)):] = other[start:]


MUTATIONS = (flip, flip, overwrite, overwrite_in_the_header, cut, remove, repeat, insert, splice)


def outcome(content):
    """'read' or 'refused'; anything else is a failure."""
    options = {"exif": len(content) % 2 == 0, "background": "white" if len(content) % 3 == 0 else None}
    try:
        x = prepare(read(content, **options), preset("cifar10"))
    except ImageError as error:
        assert str(error).startswith("the picture: ") and str(error).isprintable() and len(str(error)) < 400
        return "refused"
    assert x.shape == (3, 32, 32) and x.dtype == np.float32 and np.isfinite(x).all()
    return "read"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
def test_damaged_files_are_refused_or_read(record_property):
    """On failure the mutant's seed is in the message: `mutant(seed)` makes it again."""
    counts = {"read": 0, "refused": 0}
    until, seed, worst = time.monotonic() + SECONDS, 0, (0.0, 0)
    while time.monotonic() < until:
        content, began = mutant(seed), time.monotonic()
        try:
            counts[outcome(content)] += 1
        except Exception as error:
            raise AssertionError(f"mutant({seed}), {len(content)} bytes, escaped: {error!r}") from error
        worst = max(worst, (time.monotonic() - began, seed))
        seed += 1
    record_property("mutants", counts)
    record_property("slowest mutant: seconds, seed", worst)
    print(f"{counts}, slowest: mutant({worst[1]}) in {worst[0]:.3f} s")
    assert counts["read"] > 0 and counts["refused"] > 0


def mutant(seed):
    rng = random.Random(seed)
    content = bytearray(FILES[rng.choice(list(FILES))])
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if len(content) > 1:
            rng.choice(MUTATIONS)(content, rng)
    return bytes(content)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 100, 5000])
def test_random_bytes_behind_every_signature_do_not_escape(length):
    signatures = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0",
                  b"RIFF\0\1\0\0WEBPVP8 ", b"P1 ", b"P4\n", b"P6\n", b"Pf\n")
    rng = random.Random(length)
    for signature in signatures:
        for _ in range(20):
            outcome(signature + rng.randbytes(length))


def test_the_fuzzer_notices():
    """A picture that is not damaged is read, and an error of another kind is not taken for a refusal."""
    assert outcome(FILES["png"]) == "read"
    with pytest.raises(UsageError):
        outcome([])
