"""The machine: SIMD through LLVM vector types, packed layouts, Winograd F(4×4, 3×3), one team of threads for a whole pass.

without Numba, what every process needs:

    machine         the processor: how wide its vectors are, how many registers and how much cache it has
    winograd        the matrices of F(4×4, 3×3)
    steps           the kinds of step, and a step as a row of numbers
    layout          how feature maps and rows of features lie in memory
    packed          the weights of layers, each packed once
    builder         steps under construction, and the memory that they will need
    convolution_steps     convolutions → steps, and by which algorithm
    building        layers → steps
    program         steps with places, run by threads
    arenas          the memory that programs work in
    team            threads that walk through a program together
    layerwise       one layer at a time, with the signatures of the other tiers

with Numba, what is compiled once on a machine: float32.

A network runs through a plan (npvgg/plan.py).  Every number is summed by one thread in one order, which depends on the shape of
the layer and the picture alone: the bits are the same for any number of threads and images, and whatever else is asked for.
"""
from npvgg.kernels.engine.layerwise import operations

__all__ = ["operations"]
