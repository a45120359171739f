"""Where a window has its largest value: what max-pooling's gradient goes to."""
from npvgg.kernels.compiling.flags import serial


@serial
def largest_place(x, top, bottom, left, right):
    """(H, W) → row and column of the largest value of x[top:bottom, left:right].

    Row by row, of equal values the first is the largest, and of NaN the last.
    """
    at = top, left
    best = x[top, left]
    for row in range(top, bottom):
        for column in range(left, right):
            value = x[row, column]
            if value > best or value != value:
                best, at = value, (row, column)
    return at
