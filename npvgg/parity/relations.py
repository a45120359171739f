"""What two arrays tell without weights: one is the other rearranged, or stands under another name.

Each relation is looked for in both directions, so that it does not matter which run is called A.
"""
import itertools

import numpy as np

from npvgg.parity.catalogue.any_layer import ARRANGEMENTS
from npvgg.parity.difference import measure

TRANSPOSE = "copy each array when it is recorded, and bring it to the order (N, C, H, W)"
IN_PLACE = "copy each array when it is recorded, or use layers that do not work in place"


def relations(name: str, a: dict, b: dict, tolerance: float, maps: tuple | None) -> list[tuple[str, str]]:
    """{layer: array} twice, a layer where they part → [(sentence, remedy), …]; `maps` is the (C, H, W) that was flattened."""
    found = []
    for ours, theirs, first, second in ((a, b, "A", "B"), (b, a, "B", "A")):
        y, other = np.asarray(ours[name]), np.asarray(theirs[name])
        if first == "A":
            found += [(f"A is B {said}", TRANSPOSE) for said, change in ARRANGEMENTS.items()
                      if change(other) is not None and same(y, change(other), tolerance)]
        for said, change in flattenings(maps, other):
            if same(y, change, tolerance):
                found.append((f"{first} is {second} flattened in the order {said} instead of (C, H, W)",
                              "flatten maps (C, H, W) with the channels first"))
        names = list(theirs)
        at = names.index(name)
        for neighbour in names[max(0, at - 1):at] + names[at + 1:at + 2]:
            if same(y, theirs[neighbour], tolerance):
                found.append((f"{first}'s {name} is {second}'s {neighbour}: under another name, or overwritten by an operation "
                              "in place", IN_PLACE))
    return list(dict.fromkeys(found))


def flattenings(maps: tuple | None, y: np.ndarray):
    """(rows, C·H·W) → the same in every other order of C, H and W."""
    if maps is None or y.ndim != 2 or np.prod(maps) != y.shape[1]:
        return
    for order in itertools.permutations((1, 2, 3)):
        if order != (1, 2, 3):
            letters = ", ".join({1: "C", 2: "H", 3: "W"}[axis] for axis in order)
            yield f"({letters})", y.reshape(len(y), *maps).transpose(0, *order).reshape(y.shape)


def same(a, b, tolerance: float) -> bool:
    """Whether two arrays have one shape and a gap within the tolerance."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and measure(a, b).within(tolerance)
