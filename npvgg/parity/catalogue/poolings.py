"""What goes wrong with pooling, and with the step from maps to vectors."""
import itertools

import numpy as np

from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.exact import Rounded, adaptive, avgpool2d, maxpool2d

POOLS = ("maxpool2d", "avgpool2d")
WINDOW = "pool 2×2 windows with stride 2 and without padding, the size rounded down"
# (side, stride, padding) of windows that others use.
WINDOWS = ((3, 2, 0), (3, 2, 1), (2, 1, 0), (3, 3, 0), (4, 2, 1), (2, 2, 1), (3, 1, 1), (1, 2, 0), (4, 4, 0))
KINDS = {"maxpool2d": maxpool2d, "avgpool2d": avgpool2d}
OTHER = {"maxpool2d": "avgpool2d", "avgpool2d": "maxpool2d", "adaptive_avgpool2d": "adaptive_maxpool2d",
         "adaptive_maxpool2d": "adaptive_avgpool2d"}
NAMES = {"maxpool2d": "maxima", "avgpool2d": "averages", "adaptive_maxpool2d": "maxima", "adaptive_avgpool2d": "averages"}


def other_kind(case: Case):
    """Averages for maxima, or the other way round."""
    kind = OTHER[case.layer.op]
    fields = {"wrong": NAMES[kind], "right": NAMES[case.layer.op]}
    if kind in KINDS:
        return KINDS[kind](case.x, case.unit, **case.options), fields
    return adaptive(kind, case.x, case.unit, case.options["size"]), fields


def other_window(case: Case):
    """Other windows and strides."""
    for size, stride, padding in WINDOWS:
        for ceil_mode in (False, True):
            for kind in (case.layer.op, OTHER[case.layer.op]):
                if min(case.x.value.shape[2:]) + 2 * padding >= size:
                    answer = KINDS[kind](case.x, case.unit, size=size, stride=stride, padding=padding, ceil_mode=ceil_mode)
                    yield answer, {"size": size, "stride": stride, "padding": padding, "kind": NAMES[kind],
                                   "mode": ", size rounded up" if ceil_mode else ""}


def ceiled(case: Case):
    """Windows that hang over the end."""
    answer = KINDS[case.layer.op](case.x, case.unit, **case.options, ceil_mode=True)
    if case.layer.op == "maxpool2d":
        return answer
    seen = avgpool2d(Rounded.of(np.ones(case.x.value.shape)), 0, **case.options, ceil_mode=True).value
    return Rounded(answer.value / seen, answer.bound / seen)         # PyTorch's averages are of what is inside


def shifted(case: Case):
    """Windows that begin one pixel later, or on the second row and column, as SAME padding before them would make them."""
    for offset in ((1, 1), (0, 1), (1, 0)):
        x = case.x.map(lambda y, offset=offset: np.pad(y[:, :, offset[0]:, offset[1]:],
                                                       ((0, 0), (0, 0), (0, offset[0]), (0, offset[1])), "edge"))
        yield case.again(x=x), {"offset": f"{offset[0]} down and {offset[1]} to the right"}


def flattened(case: Case):
    """Another order of channels, height and width in the row of features."""
    for order in itertools.permutations((1, 2, 3)):
        if order != (1, 2, 3) and case.x.value.ndim == 4:
            letters = ", ".join({1: "C", 2: "H", 3: "W"}[axis] for axis in order)
            yield case.x.map(lambda y, order=order: y.transpose(0, *order).reshape(len(y), -1)), {"order": f"({letters})"}


def other_side(case: Case):
    """Adaptive pooling to another side."""
    for side in range(1, 15):
        if side != case.options["size"]:
            yield adaptive(case.layer.op, case.x, case.unit, side), {"side": side}


POOLINGS = (
    Mistake("with {wrong} instead of {right}", tuple(OTHER), other_kind, "use the kind of pooling that it was trained with"),
    Mistake("with ceil_mode: windows that hang over the edge count", POOLS, ceiled, WINDOW),
    Mistake("with {kind} of {size}×{size} windows, stride {stride}, padding {padding}{mode}", POOLS, other_window, WINDOW),
    Mistake("with windows that begin {offset}", POOLS, shifted, WINDOW),
    Mistake("pooled to {side}×{side}", ("adaptive_avgpool2d", "adaptive_maxpool2d"), other_side,
            "pool to the side that the dense layers were trained for"),
    Mistake("in the order {order} instead of (C, H, W)", ("flatten",), flattened,
            "flatten maps (C, H, W) with the channels first, or permute the rows of the first dense layer"),
)
