"""How the checkpoint reader answers to bytes that it must not accept."""
import io

import numpy as np
import pytest
from witnesses.audit import watching
from witnesses.checkpoint_builder import CONTAINERS, tensor, write
from witnesses.pickle_builder import python2

from npvgg.errors import NpvggError
from weights_convert.formats import pytorch


def read(data, **options):
    """The bytes of a file → Checkpoint; nothing may be imported, opened, compiled or called meanwhile."""
    with watching() as seen:
        try:
            return pytorch.read(io.BytesIO(data), len(data), **options)
        finally:
            assert not seen, seen


def refusal(data, error=NpvggError, **options):
    """The one-line message with which the bytes of a file are refused."""
    with pytest.raises(error) as caught:
        read(data, **options)
    message = str(caught.value)
    assert message.isprintable() and 10 < len(message) < 600, message
    return message


# The first call of a codec or a NumPy function may import something; that is not the file's doing.
def warm_up():
    program = {"w": tensor("0", (1,), cls="BFloat16Storage"), python2("v"): tensor("1", ())}
    for container in CONTAINERS:
        data = write(container, program, {"0": np.zeros(1, "u2"), "1": np.zeros(1, "f4")})
        pytorch.read(io.BytesIO(data), len(data))


warm_up()
