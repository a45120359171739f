"""Addresses as arrays, inside compiled code."""
import numba
from numba import types
from numba.extending import intrinsic

from npvgg.kernels.engine.steps import STEP

NO_END = 1 << 40                # the arrays do not know how long they are; nothing asks them


def pointer_to(target):
    """An intrinsic: address → pointer to `target`, which numba.carray makes an array of."""
    @intrinsic
    def pointer(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))
        return types.CPointer(target)(types.int64), codegen
    return pointer


steps_at = pointer_to(numba.from_dtype(STEP))
floats_at = pointer_to(types.float32)
integers_at = pointer_to(types.int32)
doubles_at = pointer_to(types.float64)
