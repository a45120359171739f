"""The arithmetic: pure functions of arrays, one file per operation, the same names and signatures in every tier.

    contracts    what each operation accepts, and the shape it answers with
    table        choose("jit") → {"conv2d": function, …}
    reference    the definition, in NumPy
    jit          the same by hand, compiled by Numba
    engine       convolution and dense layers in vector instructions, and whole networks as programs of them

No kernel writes into its arguments: they may be read-only, memory-mapped or strided.  The answer has the dtype of x.
NaN, infinities and −0.0 come out where PyTorch lets them come out.
"""
