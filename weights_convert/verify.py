"""Does every tensor of a file have exactly one place in the network, and every place its tensor?"""
import numpy as np

from npvgg import text_table
from npvgg.architecture import Architecture, feature_layers
from npvgg.errors import BadFileError, UnsupportedError
from npvgg.parameters import sealed
from weights_convert.refusals import printable


def placed(tensors, places, shapes, ignorable=frozenset(), names=None):
    """{key: array} → {npvgg path: read-only float32 array}, in the order of `places`.

    `places` is {key: Place} and `shapes` {npvgg path: shape}.  Keys in `ignorable` may be there or not.  Raises
    BadFileError where something is missing, left over, of another shape, not a float, or not finite: the sentence has
    the first three, a note of the error (`__notes__`) the table of all.
    """
    faults = [(key, f"{place.arrangement.shape} is missing") for key, place in places.items() if key not in tensors]
    faults += [(key, f"{tensors[key].shape} has no place") for key in tensors if key not in places and key not in ignorable]
    parameters = {}
    for key, place in places.items():
        if key in tensors:
            array = tensors[key]
            fault = misfit(array, place.arrangement.shape)
            if not fault:
                with np.errstate(over="ignore"):                     # the next line refuses the infinity
                    array = array.astype(np.float32, copy=False)
                fault = "" if is_finite(array) else "holds NaN or infinity"
            if fault:
                faults.append((key, fault))
            else:
                ours = place.arrangement.ours(array, shapes[place.path])
                parameters[place.path] = sealed(np.require(ours, requirements="CA"))
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        rows = [(printable((names or {}).get(key, key)), fault) for key, fault in faults]
        error = BadFileError("; ".join(f"{key} {fault}" for key, fault in rows[:3]) + more)
        error.add_note("\n".join(text_table.render(("key", "fault"), rows, (0, 1))))
        raise error
    return parameters


def ordered(order: list, net: Architecture, what: str = "its graph") -> None:
    """Refuse `what`, whose steps to the last pooling are called as in `order`, where the Architecture has others."""
    expected = [layer.name for layer in feature_layers(net)]
    for number in range(max(len(order), len(expected))):
        theirs, ours = ([*names[number:number + 1], "its end"][0] for names in (order, expected))
        if theirs != ours:
            before = f"behind {expected[number - 1]}" if number else "at its beginning"
            raise UnsupportedError(f"{what} has {printable(theirs)} {before}, where {net.name} has {ours}; npvgg has no such "
                                   "network")


def misfit(array, shape):
    """What is wrong with an array for a parameter of that shape, in words; "" where it fits."""
    if array.shape != shape:
        return f"has shape {array.shape} where {shape} belongs"
    if array.dtype.kind != "f":
        return f"is {array.dtype.name} where floating point belongs"
    return ""


def is_finite(array):
    """The minimum of an array with a NaN in it is NaN, and infinity is a maximum or a minimum."""
    return not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))
