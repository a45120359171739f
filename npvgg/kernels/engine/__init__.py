"""The machine: SIMD through LLVM vector types, packed layouts, Winograd F(4×4, 3×3), one team of threads for a whole pass.

without Numba, what every process needs:

    vector_shape    how wide the vectors are, how many registers there are
    winograd        the matrices of F(4×4, 3×3)
    step            one step of a program, as a row of numbers
    packing         weights in the order in which they are read
    program         operations on pictures of one size → steps and memory
    team            threads that walk through a program together
    native          the two entry points, compiled once and loaded
    layerwise       conv2d and dense with the signatures of the other tiers

with Numba, what is compiled once on a machine:

    vectors         LLVM instructions on vectors
    memory          addresses as arrays
    product         the tile of a matrix product that all convolutions are made of
    tile_transforms Winograd's transforms of pixels and products
    filters         … and of the filters
    feature_map     feature maps in blocks of channels: borders, pooling, normalisation
    convolution     tasks of a convolution
    dense_layer     tasks of a dense layer
    meeting         where threads take tasks and wait for each other
    run             what each of them does

float32 only.  A network runs through a plan (npvgg/plan.py), which strings its layers together into programs.  Every number is
summed by one thread in one order, which depends on the shape of the layer and the picture alone: the bits are the same for any
number of threads and images.
"""
from npvgg.kernels.engine.layerwise import conv2d, dense

OPERATIONS = {"conv2d": conv2d, "dense": dense}
