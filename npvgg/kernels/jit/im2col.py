"""Convolution as a matrix product: each output pixel becomes a column of the input values that its window sees."""
from npvgg.kernels.compiling.flags import serial


@serial
def im2col(x, kh, kw, padding, height, width, k0, k1, p0, p1, columns):
    """Rows k0 … k1 and pixels p0 … p1 of the column matrix: (N, C, H, W) → columns (≥ k1−k0, ≥ p1−p0).

        columns[k − k0, p − p0] = x[n, c, i+u−padding, j+v−padding]          0 outside the image
            k = (c·kh + u)·kw + v          p = (n·H′ + i)·W′ + j

    height and width are H′ and W′.  The whole matrix would be kh·kw times the input (115 MB for 64 channels at
    224×224), so it is made piece by piece.
    """
    for k in range(k0, k1):
        c, u, v = k // (kh * kw), k // kw % kh - padding, k % kw - padding
        n, i, j = p0 // (height * width), p0 // width % height, p0 % width
        p = p0
        while p < p1:                                   # one run: pixels of one row of one image
            end = min(p + width - j, p1)
            run = columns[k - k0, p - p0:end - p0]
            if 0 <= i + u < x.shape[2]:
                copy_shifted(x[n, c, i + u], j + v, run)
            else:
                run[:] = 0
            p, i, j = end, i + 1, 0
            if i == height:
                n, i = n + 1, 0


@serial
def copy_shifted(line, start, run):
    """run[q] = line[start + q], 0 where that is outside the line."""
    left = min(max(-start, 0), len(run))
    right = max(min(len(line) - start, len(run)), left)
    run[:left] = 0
    run[right:] = 0
    # From 0, so that the compiler sees that no index counts from the end; a loop where one might is not vectorised.
    source, target = line[start + left:start + right], run[left:right]
    for q in range(len(target)):
        target[q] = source[q]
