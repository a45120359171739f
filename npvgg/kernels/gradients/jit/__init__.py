"""Gradients by hand, compiled by Numba; loops you can still read.

Shaped as the kernels of kernels/jit: a function that checks and allocates, a `@parallel` loop that hands out tasks, a `@serial`
body that computes one.  Where a gradient sums over the batch, one task sums in one order, or the batch is cut into parts whose
number depends on the shapes alone, so that the bits do not depend on the number of threads.

What is not here is left to `reference`.
"""

OPERATIONS = {}


def operations(below: dict) -> dict:
    """{operation: function of the tier below} → this tier's, which leave to the one below what only copies."""
    return OPERATIONS
