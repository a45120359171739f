"""Does every tensor of a checkpoint have exactly one place in the network, and every place its tensor?"""
import numpy as np

from npvgg.errors import BadFileError


def placed(tensors, mapping, shapes, ignorable=frozenset()):
    """{source key: array} → {npvgg path: float32 array}, in the order of `mapping`.

    `mapping` is {source key: npvgg path} and `shapes` {npvgg path: shape}.  Keys in `ignorable` may be there or not.
    Raises BadFileError that lists what is missing, left over, of another shape, not a float, or not finite.
    """
    faults = [f"{key} {shapes[path]} is missing" for key, path in mapping.items() if key not in tensors]
    faults += [f"{key} {tensors[key].shape} has no place" for key in tensors if key not in mapping and key not in ignorable]
    parameters = {}
    for key, path in mapping.items():
        if key in tensors:
            array = tensors[key]
            fault = misfit(array, shapes[path])
            if fault:
                faults.append(f"{key} {fault}")
            else:
                with np.errstate(over="ignore"):                     # found as an infinity in the next line
                    parameters[path] = array.astype(np.float32, copy=False)
                if not np.isfinite(parameters[path]).all():
                    faults.append(f"{key} holds NaN or infinity")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise BadFileError(f"{'; '.join(faults[:3])}{more}")
    return parameters


def misfit(array, shape):
    if array.shape != shape:
        return f"has shape {array.shape} where {shape} belongs"
    if array.dtype.kind != "f":
        return f"is {array.dtype.name} where floating point belongs"
    return ""
