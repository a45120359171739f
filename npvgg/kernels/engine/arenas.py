"""The memory that programs work in: taken for a run, given back after it."""
import numpy as np

from npvgg.kernels.engine.machine import CACHE_LINE, FLOAT

KEPT_BYTES = 512 << 20          # of memory that is not in use; more than eight pictures of 224×224 need


class Arenas:
    """Free arenas of one plan.  A program assumes nothing of what lies in one, so each serves programs of every size."""

    def __init__(self):
        self.free = []

    def take(self, floats):
        """An arena of at least so many floats; list operations are one step for the interpreter, so no lock is needed."""
        try:
            arena = self.free.pop()
        except IndexError:
            return aligned(floats)
        return arena if arena.size >= floats else aligned(floats)

    def give_back(self, arena, is_bounded=True):
        """Keep the arena for the next run, unless more than KEPT_BYTES would be kept, where that `is_bounded`."""
        if not is_bounded or sum(other.nbytes for other in list(self.free)) + arena.nbytes <= KEPT_BYTES:
            self.free.append(arena)


def aligned(count):
    """(count,) float32 that begin on a cache line, zeros at first; pages not written to take no memory."""
    memory = np.zeros(count + CACHE_LINE, np.float32)
    skip = -memory.ctypes.data % (FLOAT * CACHE_LINE) // FLOAT
    return memory[skip:skip + count]
