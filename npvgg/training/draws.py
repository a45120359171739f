"""Random numbers as functions of what they are for: (seed, purpose, epoch, index) → numbers.

    table(seed, "crop", epoch, rows, columns)      one row a picture: uniform numbers, read by position
    generator(seed, "mixing", epoch, batch)        a generator of its own for one batch

Nothing is drawn one after the other, so a picture's numbers do not depend on the batch that it is in, on the threads that
prepare it, or on where a run was interrupted, and a checkpoint holds no generator's state.  Philox (Salmon et al. 2011) is a
function of a key and a counter: the key is made of seed, purpose and epoch, and word 3 of the counter is the index, so
neighbouring streams lie 2¹⁹² blocks apart.
"""
import numpy as np

from npvgg.checks import check_size

PURPOSES = ("split", "order", "crop", "flip", "colour", "patch", "mixing", "dropout", "start")


def generator(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """The generator of one of PURPOSES in one epoch, from 0; `index` says of which picture, batch or step."""
    check_size("seed", seed, 0, 2**63 - 1)
    key = [seed, PURPOSES.index(purpose) << 32 | epoch]
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64), counter=np.array([0, 0, 0, index], np.uint64)))


def table(seed: int, purpose: str, epoch: int, rows: int, columns: int, attempt: int = 0) -> np.ndarray:
    """(rows, columns) float64, uniform on [0, 1); a row does not depend on how many there are."""
    return generator(seed, purpose, epoch, attempt).random((rows, columns))
