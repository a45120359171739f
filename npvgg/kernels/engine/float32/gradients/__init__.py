"""What only training does, in float32: forward with the batch's statistics, and backwards.

    outer_product       the tile of the products over pixels, tiles or images that gradients are sums of
    parameters          parameters as they lie → packed for the forward and the backward pass
    batch_norm          statistics of the batch; the gradient through batch norm, ReLU and max pooling
    activation          the gradient through ReLU and max pooling, without batch norm
    weight_gradient     a convolution's weight, by Winograd's algorithm, and directly for the first
    dense_gradient      a dense layer's input, weight and bias
    run                 what a thread does with a training program
"""
