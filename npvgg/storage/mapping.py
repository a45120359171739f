"""Arrays that lie in a file mapped into memory."""
import mmap

import numpy as np

from npvgg.arithmetic import ceil_div


def release_pages(array: np.ndarray) -> None:
    """Tell the system that the pages of an array mapped from a file are not needed now; they come back when they are read."""
    memory = array.base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        start = array.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        first, last = ceil_div(start, mmap.PAGESIZE) * mmap.PAGESIZE, (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            memory.madvise(mmap.MADV_DONTNEED, first, last - first)
