"""Dropout, which does nothing once training is over."""
from npvgg.kernels import contracts


def dropout(x, *, p=0.5):
    """At inference every feature stays: any shape → the same shape.

        y = x

    In training a feature is zeroed with probability p and the others are divided by 1 − p, so that nothing has to be
    rescaled here (Srivastava et al. 2014, section 10).
    """
    contracts.dropout(x, p)
    return x
