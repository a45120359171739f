"""The machine: SIMD through LLVM vector types, packed layouts, Winograd F(4×4, 3×3), one team of threads for a whole pass.

    vector_shape    how wide the vectors are, how many registers there are
    vectors         LLVM instructions on vectors
    product         the tile of a matrix product that all convolutions are made of
    winograd        the matrices of F(4×4, 3×3), and the transforms
    packing         weights in the order in which they are read
    step            one step of a program, as a row of numbers
    feature_map     feature maps in blocks of channels: borders, pooling, normalisation
    convolution     tasks of a convolution
    dense           tasks of a dense layer
    team            threads that take tasks from a program
    run             what each of them does
    program         operations on pictures of one size → steps and memory
    layerwise       conv2d and dense with the signatures of the other tiers

float32 only.  A network runs through a plan (npvgg/plan.py), which strings its layers together into programs.  Every number is
summed by one thread in one order, which depends on the shape of the layer and the picture alone: the bits are the same for any
number of threads and images.
"""
from npvgg.kernels.engine.layerwise import conv2d, dense

OPERATIONS = {"conv2d": conv2d, "dense": dense}
