"""The operations run backwards: vector–Jacobian products, one file per operation, the same names and signatures in every tier.

    contracts    what a gradient takes beside what its operation takes
    reference    the definition, in NumPy
    jit          the same by hand, compiled by Numba

Every function takes the gradient of the operation's answer first, then what the operation takes, and gives the gradients of
what is wanted, each in the shape of its argument:

    conv2d(g, x, weight, bias, padding=1, wanted=("x", "weight"))  →  {"x": array, "weight": array}

In the equations g is the gradient of a number L with respect to the answer y, g = ∂L/∂y, and dx that with respect to x.  Two
pieces of the forward pass are here as well, because only training has them: `batch_statistics`, and dropout by a mask.

No function writes into its arguments.  The answers have the dtype of x, and the same bits for any number of threads.  NaN and
infinities come out as the equations let them.
"""
