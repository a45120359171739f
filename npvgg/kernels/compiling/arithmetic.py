"""Arithmetic of whole numbers inside compiled code."""
from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import part

ceil_div = part(contracts.ceil_div)
