"""Numbers of 16 bits: how float32 becomes them, and back.  They are stored so and never computed with.

    float16     IEEE 754 binary16: 11 significant bits, from 6·10⁻⁸ to 65504
    bfloat16    the upper half of a float32: 8 significant bits, its whole range

NumPy lacks the second one; here its arrays have the dtype BFLOAT16, two bytes that mean nothing to NumPy.
"""
import numpy as np

from npvgg.checks import check_choice
from npvgg.errors import UsageError

AS_IT_IS = "float32"                    # float64 stays as well
FLOAT16, BFLOAT16 = np.dtype("<f2"), np.dtype("V2")
STORED = {"float16": FLOAT16, "bfloat16": BFLOAT16}
STORES = (AS_IT_IS, *STORED)


def narrowed(array: np.ndarray, store: str) -> np.ndarray:
    """float32 or float64 → the same numbers in 16 bits, to the nearest, ties to even; as they are for "float32".

    UsageError for another `store`, and where a finite number becomes infinite.
    """
    check_choice("store", store, STORES)
    if store == AS_IT_IS:
        return array
    values = np.asarray(array, np.float32)
    if store == "float16":
        with np.errstate(over="ignore"):
            stored = values.astype(FLOAT16)
    else:
        whole = np.ascontiguousarray(values).view(np.uint32)
        with np.errstate(over="ignore"):
            upper = ((whole + np.uint32(0x7FFF) + ((whole >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")
        upper[np.isnan(values)] = 0x7FC0                # rounding could carry a NaN over into −0
        stored = upper.view(BFLOAT16)
    if not np.isfinite(widened(stored)).all() and np.isfinite(array).all():
        raise UsageError(f"{np.abs(values).max():.4g} is too large for {store}; store it as bfloat16 or float32")
    return stored


def widened(array: np.ndarray) -> np.ndarray:
    """16 bits → float32, each number as it is; arrays of other dtypes as they are."""
    if array.dtype == FLOAT16:
        return array.astype(np.float32)
    if array.dtype == BFLOAT16:
        return (np.ascontiguousarray(array).view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array


def name_of(dtype: np.dtype) -> str:
    """The name of an array's dtype."""
    return "bfloat16" if dtype == BFLOAT16 else dtype.name
