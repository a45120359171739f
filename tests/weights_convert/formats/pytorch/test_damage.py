"""Truncation at every byte and every single flipped bit of a small file of each container."""
import numpy as np
import pytest
from witnesses import checkpoint_builder as builder
from witnesses.refusal import read, refusal

from npvgg.errors import BadFileError, NpvggError

rng = np.random.default_rng(11)
ARRAYS = {
    "features.0.weight": rng.standard_normal((2, 3, 2, 1)).astype("f4"), "features.1.num_batches_tracked": np.array(3),
    "classifier.0.weight": rng.standard_normal((5, 4)).astype("f2"),
}
FILES = {container: builder.write(container, *builder.state_dict(ARRAYS)) for container in builder.CONTAINERS}


def same_weights(tensors):
    return list(tensors) == list(ARRAYS) and all(
        (tensors[key].dtype, tensors[key].shape, tensors[key].tobytes()) == (x.dtype, x.shape, x.tobytes())
        for key, x in ARRAYS.items())


@pytest.mark.parametrize("container", builder.CONTAINERS)
def test_the_files_are_whole(container):
    assert 500 < len(FILES[container]) < 2500 and same_weights(read(FILES[container]).tensors)


@pytest.mark.parametrize("container", builder.CONTAINERS)
def test_every_truncation_is_refused(container):
    data = FILES[container]
    for length in range(len(data)):
        refusal(data[:length], BadFileError)


@pytest.mark.parametrize("container", builder.CONTAINERS)
def test_every_single_extra_byte_is_refused(container):
    for byte in range(256):
        refusal(FILES[container] + bytes([byte]), BadFileError)


def flips(data):
    """The bytes of a file → (bit, bytes with that bit flipped), for every bit."""
    damaged = bytearray(data)
    for bit in range(8 * len(data)):
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(damaged)
        damaged[bit // 8] ^= 1 << bit % 8


def test_every_flipped_bit_of_a_zip_is_refused_or_changes_nothing():
    refused = 0
    for bit, data in flips(FILES["zip"]):
        try:
            found = read(data)
        except NpvggError:
            refused += 1
        else:
            assert same_weights(found.tensors), f"bit {bit} changed the weights"
    payload = sum(x.nbytes for x in ARRAYS.values())
    assert refused > 8 * payload, "no flip in the weights can have been accepted"


def test_every_flipped_bit_of_a_legacy_stream_is_refused_or_remarked():
    """There is no checksum, so flips in the weights are accepted: only the digest of the file tells, and a remark says so."""
    payload = sum(x.nbytes for x in ARRAYS.values())
    accepted = 0
    for _, data in flips(FILES["legacy"]):
        try:
            found = read(data)
        except NpvggError:
            continue
        accepted += 1
        assert "no checksum" in found.remarks[0]
    assert 8 * payload <= accepted < 8 * len(FILES["legacy"])
