"""The elements of tensors: as PyTorch calls them → as they are stored.

NumPy has no bfloat16: it is the upper half of a float32.
"""
import numpy as np

# Little-endian, as every format has them unless it says otherwise.
STORED = {name: np.dtype(code) for name, code in {
    "float16": "<f2", "bfloat16": "<u2", "float32": "<f4", "float64": "<f8", "bool": "?", "untyped": "u1",
    "uint8": "u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
    "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
}.items()}


def widened(x: np.ndarray, element: str) -> np.ndarray:
    """bfloat16 as it is stored → float32, exactly; arrays of other elements as they are."""
    if element != "bfloat16":
        return x
    upper = x.astype("<u4")
    upper <<= 16
    return upper.view("<f4")
