"""What goes wrong with a convolution: its filters' layout, its border, its window, its bias."""
import numpy as np

from npvgg.parity.catalogue.mistake import Case, Mistake

CONV = ("conv2d",)
BORDER = "pad with zeros, one pixel on each side of a 3×3 filter"
LAYOUT = "bring the filters to the order (outputs, inputs, height, width) with a transpose"
ORDERS = {"(height, width, inputs, outputs)": (2, 3, 1, 0), "(outputs, height, width, inputs)": (0, 2, 3, 1),
          "(inputs, outputs, height, width)": (1, 0, 2, 3), "(width, height, inputs, outputs)": (3, 2, 1, 0)}


def filters(name: str, change, remedy: str = LAYOUT, is_local: bool = True) -> Mistake:
    """A mistake that rearranges the weights, each output's own where it is local; where it changes nothing, it is none."""
    def reproduce(case: Case):
        weight = change(case.weight)
        return None if weight is None or np.array_equal(weight, case.weight) else case.conv(weight=weight)
    return Mistake(name, CONV, reproduce, remedy, is_local=is_local,
                   alters=(lambda case: {"weight": change(case.weight)}) if is_local else None)


def read_as(case: Case):
    """The numbers lie in another order in memory and were read as (O, C, kh, kw); or were brought there without a transpose."""
    for said, axes in ORDERS.items():
        shape = tuple(case.weight.shape[axis] for axis in axes)
        back = np.argsort(axes)
        yield case.conv(weight=case.weight.reshape(shape).transpose(back)), {"order": said}
        yield case.conv(weight=case.weight.transpose(axes).reshape(case.weight.shape)), {"order": said}


def bordered(name: str, **options) -> Mistake:
    """A mistake of the border; a filter of 1×1 has none."""
    def reproduce(case: Case):
        border = case.options["padding"]
        if not border or options.get("mode") == "reflect" and border >= min(case.x.value.shape[2:]):
            return None
        return case.conv(**options)
    return Mistake(name, CONV, reproduce, BORDER)


def grouped(case: Case):
    """Filters that see a part of the channels: their own part, or the first one."""
    outputs, inputs = case.weight.shape[:2]
    for groups in range(2, inputs + 1):
        if inputs % groups == 0 and outputs % groups == 0:
            each = inputs // groups
            yield case.conv(weight=case.weight[:, :each], groups=groups), {"groups": groups}
            blocks = case.weight.reshape(groups, outputs // groups, groups, each, *case.weight.shape[2:])
            own = blocks[np.arange(groups), :, np.arange(groups)].reshape(outputs, each, *case.weight.shape[2:])
            yield case.conv(weight=own, groups=groups), {"groups": groups}


def dilated(case: Case):
    """Filters with gaps."""
    for dilation in (2, 3):
        for padding in (case.options["padding"], case.options["padding"] * dilation):
            if case.weight.shape[2] > 1:
                yield case.conv(dilation=dilation, padding=padding), {"dilation": dilation}


def strided(case: Case):
    """Every second pixel."""
    for stride in (2, 3):
        for padding in {case.options["padding"], 0}:
            yield case.conv(stride=stride, padding=padding), {"stride": stride}


CONVOLUTIONS = (
    Mistake("without its bias", CONV, lambda case: None if case.bias is None else case.conv(bias=None),
            "load the bias, and do not make the layer with bias=False", is_local=True,
            alters=lambda case: None if case.bias is None else {"bias": 0 * case.bias}),
    Mistake("with its bias added twice", CONV, lambda case: None if case.bias is None else case.conv(bias=2 * case.bias),
            "add the bias once", is_local=True,
            alters=lambda case: None if case.bias is None else {"bias": 2 * case.bias}),
    filters("with its filters turned by 180° (VGG correlates)", lambda w: w[:, :, ::-1, ::-1],
            "do not flip the filters: VGG, PyTorch and Caffe correlate"),
    filters("with height and width of its filters exchanged", lambda w: w.swapaxes(2, 3)),
    filters("with its filters mirrored left to right", lambda w: w[:, :, :, ::-1]),
    filters("with its filters upside down", lambda w: w[:, :, ::-1]),
    filters("with its filters turned by 90° to the left", lambda w: np.rot90(w, 1, (2, 3))),
    filters("with its filters turned by 90° to the right", lambda w: np.rot90(w, -1, (2, 3))),
    filters("with height and width of its filters exchanged and turned by 180°",
            lambda w: np.rot90(w, 2, (2, 3)).swapaxes(2, 3)),
    filters("with inputs and outputs of its filters exchanged",
            lambda w: w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else None, is_local=False),
    filters("with the channels of its filters in reverse order (BGR for RGB)", lambda w: w[:, ::-1],
            "give the channels in the order that the weights were trained for, or reverse axis 1 of the first filters"),
    filters("with its filters in reverse order", lambda w: w[::-1], "keep the order of the outputs", is_local=False),
    Mistake("with its filters read in the order {order}", CONV, read_as, LAYOUT),
    bordered("with the border reflected instead of zero", mode="reflect"),
    bordered("with the border repeated instead of zero", mode="edge"),
    bordered("with the border taken from the other side instead of zero (circular)", mode="wrap"),
    bordered("without padding (valid)", padding=0),
    bordered("padded below and to the right only (SAME's asymmetry)", padding=((0, 2), (0, 2))),
    bordered("padded above and to the left only", padding=((2, 0), (2, 0))),
    bordered("padded by two pixels instead of one", padding=2),
    Mistake("with a dilation of {dilation}", CONV, dilated, "use dilation 1"),
    Mistake("with a stride of {stride}", CONV, strided, "use stride 1: only pooling halves the maps"),
    Mistake("in {groups} groups", CONV, grouped, "use groups=1: every filter sees every channel"),
)
