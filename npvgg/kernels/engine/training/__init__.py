"""Training steps: forward with the batch's statistics, and backwards.

    builder             steps of both programs, and where what the way back needs lies
    convolution_steps   a convolution, the gradients of its input and of its weight
    group_steps         a convolution with the batch norm, ReLU and max pooling behind it
    head_steps          what follows the maps
    building            layers → the two programs
    plan                one step of a network
"""
