"""What softmax and log_softmax divide by."""
import numpy as np

from npvgg.kernels.compiling.flags import serial

CHUNK = 32              # terms summed before they join the total: 1000 classes err like √32 + √32 terms, not √1000


@serial
def largest(x):
    """max_k x[k]: (classes,) → a number.  A NaN may be passed over here: its exponential makes the sum NaN."""
    best = x[0]
    for k in range(1, len(x)):
        if x[k] > best:
            best = x[k]
    return best


@serial
def sum_of_exponentials(x, m):
    """Σ_k exp(x[k] − m): (classes,) → a number."""
    total = x.dtype.type(0)
    for start in range(0, len(x), CHUNK):
        part = x.dtype.type(0)
        for k in range(start, min(start + CHUNK, len(x))):
            part += np.exp(x[k] - m)
        total += part
    return total
