"""Arithmetic of whole numbers inside compiled code."""
from npvgg import arithmetic
from npvgg.kernels.compiling.flags import part

ceil_div = part(arithmetic.ceil_div)
