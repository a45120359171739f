"""The engine in float32: what is compiled once on a machine, and the weights in the form that it reads.

    vectors           LLVM instructions on vectors
    memory, places    addresses as arrays, and where pixels lie
    epilogue          what follows a sum: bias, batch norm, ReLU
    product           the tile of a matrix product that all convolutions are made of
    tile_transforms   Winograd's transforms of pixels and products
    filters           … and of the filters
    feature_map       feature maps in blocks of channels: borders, pooling, normalisation
    convolution       tasks of a convolution
    dense_layer       tasks of a dense layer
    packing           weights in the order in which they are read
    meeting           where threads take tasks and wait for each other
    run               what a thread does with a program
"""
