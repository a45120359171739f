"""The arithmetic: pure functions of arrays, one file per operation, the same names and signatures in every tier.

    contracts    what each operation accepts, and the shape it answers with
    tiers        choose("jit") → {"conv2d": function, …}
    reference    the definition, in NumPy
    jit          the same by hand, compiled by Numba
    engine       the same in vector instructions, and whole networks as programs of them
    gradients    the operations run backwards, in tiers likewise

No kernel writes into its arguments: they may be read-only, memory-mapped or strided.  The answer has the dtype of x.

NaN, infinities and −0.0 come out where PyTorch lets them come out, and finite numbers stay finite as far as they do in a direct
sum, with one exception: Winograd's algorithm, by which the engine computes 3×3 convolutions but the first one of pictures
(convolution_steps.algorithm_for).  It computes tiles of 4×4 pixels together from 6×6 pixels, or 2×2 from 4×4, so

    a NaN or an infinity under a tile makes every pixel of that tile NaN or infinite, also where no filter reaches it;
    a sum may overflow on the way, where a direct one would not, if channels · largest |x| · largest |weight| is above 10³⁵.

algorithm="direct" keeps to the rule without the exception.
"""
