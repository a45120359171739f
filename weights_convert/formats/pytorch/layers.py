"""The modules of a whole pickled network → which layers they are, each in its place, or a refusal of the one that no VGG has.

    Conv2d, BatchNorm2d, ReLU, LocalResponseNorm, MaxPool2d, AvgPool2d; ReflectionPad2d, ZeroPad2d      up to pool5
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, Flatten, Linear, BatchNorm1d, ReLU, Dropout                    the head
    Softmax, LogSoftmax, Sigmoid                                                                         the last

Only these kinds are read, with the attributes that are written here; a stride or a dilation would change the answer without
changing a tensor.  Where the classes around them run their modules in order (modules.CHAINS), order and head are proven.  Where
a class of somebody's own holds the convolutions, its code decides; then kinds and attributes are checked, the rest is assumed.
"""
import math

from npvgg import heads
from npvgg.architecture import BLOCKS, MINIMUM_INPUT
from npvgg.errors import UnsupportedError
from weights_convert.formats.pytorch import modules
from weights_convert.formats.pytorch.modules import Step
from weights_convert.refusals import quoted

# The class → what it is here, and the attributes that it has to have; a number stands for a pair of itself.
NORM = {"affine": True, "track_running_stats": True}
POOL = {"kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False}
KINDS = {
    "conv.Conv2d": ("conv", {"stride": 1, "dilation": 1, "groups": 1, "transposed": False}),
    "batchnorm.BatchNorm2d": ("norm", NORM), "batchnorm.BatchNorm1d": ("norm", NORM), "batchnorm.SyncBatchNorm": ("norm", NORM),
    "activation.ReLU": ("relu", {}),
    "normalization.LocalResponseNorm": ("lrn", {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}),
    "pooling.MaxPool2d": ("max", POOL | {"dilation": 1, "return_indices": False}),
    "pooling.AvgPool2d": ("avg", POOL | {"divisor_override": None}),
    "padding.ReflectionPad2d": ("reflect", {"padding": (1, 1, 1, 1)}),
    "padding.ZeroPad2d": ("zeros", {"padding": (1, 1, 1, 1)}),
    "pooling.AdaptiveAvgPool2d": ("adaptive avg", {}), "pooling.AdaptiveMaxPool2d": ("adaptive max", {"return_indices": False}),
    "flatten.Flatten": ("flatten", {"start_dim": 1, "end_dim": -1}),
    "linear.Linear": ("dense", {}), "linear.Identity": ("nothing", {}),
    "activation.Softmax": ("softmax", {}), "activation.LogSoftmax": ("log softmax", {}), "activation.Sigmoid": ("sigmoid", {}),
} | {f"dropout.{name}": ("drop", {}) for name in
     ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")}
PACKAGE = "torch.nn.modules."
PADDING_MODES = ("zeros", "reflect")
OF_FEATURES = ("conv", "norm", "relu", "max", "avg", "lrn", "reflect", "zeros")
ENDS = ("softmax", "log softmax", "sigmoid")
EPS = 1e-5                                # PyTorch's
IN_ITS_CODE = "in which order it uses its modules is in its code; that of a VGG was assumed"


def read(steps: list) -> tuple:
    """[Step, …] → (stated, remarks) of FileContents: what they prove of the network, and what they leave open.

    stated: "padding_mode", "has_lrn", "pooling", "eps"; where the order is known "order", "places", "head", "output" and
    "source_output" too, and with "head" either "input_size" or "is_head_assumed", and "without_bias".  UnsupportedError for
    a module that no VGG has.
    """
    for step in steps:
        check(step)
    steps = [step for step in steps if kind(step) != "nothing" and not is_one_by_one(step)]
    last = max((number for number, step in enumerate(steps) if kind(step) == "conv"), default=-1)
    if last < 0 or any(step.chain is None and kind(step) in OF_FEATURES for step in steps[:last + 1]):
        return in_any_order(steps)
    order, end, padding_modes, places = features([step for step in steps if step.chain is not None])
    body = [step for step in steps if step.chain is not None][:end]
    behind = sorted((step for step in steps if step not in body), key=lambda step: not is_free_pooling(step))
    stated = facts(body, padding_modes) | {"order": order}
    free = [kind(step) for step in behind if step.chain is None and kind(step) in ("dense", "norm", "relu", *ENDS)]
    has_dense = any(step.chain is not None and kind(step) in ("dense", "conv") for step in behind)
    known = ([], *([end] for end in ENDS), *([] if has_dense else [["dense"], *(["dense", end] for end in ENDS)]))
    if free not in known:
        return stated, ("how it uses the modules of its head is in its code; the usual order was assumed (--head)",)
    channels = next((step.module.state.get("out_channels") for step in reversed(body) if kind(step) == "conv"), None)
    remarks = ("its LogSoftmax at the end was left out",) if "log softmax" in map(kind, behind) else ()
    remarks += tuple(f"that it ends with its {step.kind} was assumed; its code decides" for step in behind
                     if step.chain is None and kind(step) in ENDS)
    eps = stated.get("eps", EPS)
    shown = head(behind, channels, eps)
    remarks += (IN_ITS_CODE,) if len({step.chain for step in body}) > 1 else ()
    chains = {step.chain for step in steps}
    if behind and (len(chains) > 1 or None in chains):
        shown = pooled(shown)
    stated |= shown
    parts = [step.path for step in behind if kind(step) in ("conv", "dense", "norm")]
    names = [layer.name for layer in heads.layers(stated["head"], (1, 1, 1), BLOCKS, eps) if layer.shapes]
    places |= dict(zip(parts, names, strict=True))
    without_bias = [f"{places[step.path]}/bias" for step in steps if step.path in places and has_no_bias(step)]
    return stated | {"places": places, "without_bias": without_bias}, remarks


def has_no_bias(step):
    """Whether it was made with bias=False."""
    return kind(step) in ("conv", "dense") and modules.members(step.module, "_parameters").get("bias", "") is None


def is_free_pooling(step):
    """Whether it is an adaptive pooling that a class of its own runs, which can only stand in front of dense layers."""
    return step.chain is None and kind(step).startswith("adaptive")


def pooled(shown):
    """What `head` gives → the same where code may pool between the modules: then nothing proves the picture's size."""
    side = shown.pop("input_size", 0) // MINIMUM_INPUT
    return shown | {"head": f"avg{side} {shown['head']}" if side else shown["head"], "is_head_assumed": True}


def in_any_order(steps):
    """[Step, …] whose order is in code → (stated, remarks)."""
    pad = next((step for step in steps if kind(step) in ("reflect", "zeros")), None)
    if pad is not None:
        raise refused(pad, "in a class of its own, whose code says what it pads")
    modes = {}
    for step in steps:
        if kind(step) == "conv" and border(step, None) and kernel(step) > 1:
            modes.setdefault(border(step, None), step.path)
    ends = {"output": "sigmoid"} if [kind(step) for step in steps if kind(step) in ENDS] == ["sigmoid"] else {}
    return facts(steps, modes) | ends, (IN_ITS_CODE,)


def facts(steps, padding_modes):
    """What the modules say of all of their kind."""
    poolings, epsilons = {}, {}
    for step in steps:
        if kind(step) in ("max", "avg"):
            poolings.setdefault(kind(step), step.path)
        elif kind(step) == "norm":
            epsilons.setdefault(epsilon(step), step.path)
    return {"has_lrn": any(kind(step) == "lrn" for step in steps)} | one("padding_mode", padding_modes) | \
        one("pooling", poolings) | one("eps", epsilons)


def kind(step: Step) -> str:
    """What a module is: "conv", "relu", …; "" for one that is not in KINDS."""
    return KINDS.get(step.module.name.removeprefix(PACKAGE), ("", {}))[0]


def is_one_by_one(step):
    """Whether it is a pooling of one pixel each, which changes nothing."""
    state = step.module.state
    sides = [pair(state.get(name)) for name in ("kernel_size", "stride")]
    return kind(step) in ("max", "avg") and sides == [(1, 1), (1, 1)] and state.get("divisor_override") is None


def pair(value):
    """1 → (1, 1); any other value as it is."""
    return (value, value) if type(value) is int else value


# ------------------------------------------------------------------------------------------------- up to pool5


def features(steps):
    """→ (the names of the layers to pool5, how many modules they take, {padding mode: the first convolution that has it},
    {module with parameters: the name of its layer})."""
    order, block, position, pad, modes, places = [], 1, 0, None, {}, {}
    for number, step in enumerate(steps):
        what = kind(step)
        if block > BLOCKS or what not in (*OF_FEATURES, "drop"):
            return order, number, modes, places
        if what in ("reflect", "zeros"):
            if pad is not None:
                raise refused(step, "behind another border")
            pad = step
            continue
        if what == "conv":
            position += 1
            mode = border(step, pad)
            if kernel(step) > 1:
                modes.setdefault(mode, step.path)
                order += [f"pad{block}_{position}"] if mode == "reflect" else []
        elif pad is not None:
            raise refused(pad, "and is not in front of a convolution")
        pad = None
        if what in ("max", "avg"):
            order.append(f"pool{block}")
            block, position = block + 1, 0
        elif what == "lrn":
            order.append(f"lrn{block}")
        elif what != "drop":
            order.append({"conv": "conv", "norm": "bn", "relu": "relu"}[what] + f"{block}_{position}")
            places |= {step.path: order[-1]} if what != "relu" else {}
    return order, len(steps), modes, places


def border(step, pad):
    """The padding mode of a convolution, in front of which a padding module may stand."""
    state, side = step.module.state, kernel(step)
    mode = state.get("padding_mode", "zeros")
    if mode not in PADDING_MODES:
        raise differs(step, "padding_mode", mode, "zeros")
    padding, expected = state.get("padding", (side // 2,) * 2), (0 if pad is not None else side // 2,) * 2
    if state.get("kernel_size", (side, side)) != (side, side):
        raise differs(step, "kernel_size", state["kernel_size"], (side, side))
    if pad is not None and side != 3:
        raise refused(pad, "in front of a convolution that is not 3×3")
    if padding != expected and (padding != "same" or pad is not None):
        raise differs(step, "padding", padding, expected)
    return kind(pad) if pad is not None else mode


def kernel(step):
    """The side of a convolution's kernel, 1 where the module has none."""
    size = step.module.state.get("kernel_size")
    return size[0] if type(size) is tuple and size and type(size[0]) is int else 1


def epsilon(step):
    """The ε of a batch norm."""
    value = step.module.state.get("eps", EPS)
    if type(value) is not float or not 0 <= value < 1:
        raise UnsupportedError(f"its module {quoted([step.path])} is a batch norm with eps {short(value)}; npvgg reads "
                               "numbers from 0 to below 1")
    return value


def one(name, values):
    """{value: the first module that has it} → {name: the value}, {} for none; UnsupportedError for several."""
    if len(values) > 1:
        (first, there), (second, here), *_ = values.items()
        raise UnsupportedError(f"its modules {quoted([there])} and {quoted([here])} have the {name} {first} and {second}; "
                               "npvgg has one for the whole network and cannot compute that")
    return dict.fromkeys([name] if values else [], *values)


# ------------------------------------------------------------------------------------------------- the head


def head(steps, channels, eps):
    """The modules behind pool5 → {"head": …, and where they show it "input_size", "output", "source_output"}."""
    tokens, is_flat, is_map_of_one, stated = [], False, False, {}
    for number, step in enumerate(steps):
        what, state = kind(step), step.module.state
        if what in ENDS:
            if number + 1 < len(steps):
                raise refused(step, "before its last layer")
            stated |= end(step, what)
        elif what.startswith("adaptive"):
            side = output_size(step)
            if is_flat and not (is_map_of_one and side == 1):
                raise refused(step, "behind its first dense layer")
            tokens += [] if is_flat else [f"{what[-3:]}{side}"]
        elif what in ("dense", "conv"):
            if what == "conv":
                covered(step, is_flat, is_map_of_one)
                is_map_of_one = True
                tokens += [] if is_flat or tokens[-1:] == [f"avg{kernel(step)}"] else [f"avg{kernel(step)}"]
            elif not is_flat and not any(token.startswith(("avg", "max")) for token in tokens):
                side = side_of(step, channels)
                stated |= {"input_size": MINIMUM_INPUT * side} if side else {}
            tokens += [] if is_flat else ["flatten"]
            tokens.append(str(outputs(step)))
            is_flat = True
        elif what == "flatten":
            tokens += [] if is_flat else ["flatten"]
            is_flat = True
        elif what == "norm":
            own = epsilon(step)
            tokens += ["flatten"] if step.kind == "BatchNorm1d" and not is_flat else []        # it takes no maps
            is_flat |= step.kind == "BatchNorm1d"
            tokens.append("bn" if own == eps else f"bn{own!r}")
        elif what == "drop":
            p = state.get("p")
            tokens += [f"drop{p!r}" if p != 0.5 else "drop"] if type(p) is float and 0 < p < 1 else []
        elif what == "relu":
            tokens.append("relu")
        else:
            raise refused(step, f"behind pool{BLOCKS}")
    return {"head": " ".join(tokens)} | stated


def end(step, what):
    """A soft-max or sigmoid at the end → what the numbers before it mean, and what the network gives."""
    if what != "sigmoid" and step.module.state.get("dim") not in (1, -1, None):
        raise differs(step, "dim", step.module.state["dim"], 1)
    return {"output": "sigmoid" if what == "sigmoid" else "softmax"} | (
        {} if what == "log softmax" else {"source_output": "probabilities"})


def outputs(step):
    """How many numbers a dense layer or a convolution gives."""
    count = step.module.state.get("out_features" if kind(step) == "dense" else "out_channels")
    if type(count) is not int or not 1 <= count <= 1 << 20:
        raise differs(step, "outputs", count, 1000)
    return count


def output_size(step):
    """The side that an adaptive pooling gives."""
    size = pair(step.module.state.get("output_size"))
    if type(size) is not tuple or len(size) != 2 or size[0] != size[1] or type(size[0]) is not int or not 1 <= size[0] <= 64:
        raise differs(step, "output_size", step.module.state.get("output_size"), 7)
    return size[0]


def covered(step, is_flat, is_map_of_one):
    """Refuse a convolution of the head that does not cover the whole map."""
    if is_flat and (not is_map_of_one or kernel(step) != 1):
        raise refused(step, "behind its first dense layer")
    if step.module.state.get("padding", (0, 0)) not in ((0, 0), "valid") or not 1 <= kernel(step) <= 64:
        raise differs(step, "padding", step.module.state.get("padding"), (0, 0))


def side_of(step, channels):
    """The side of the map that a dense layer takes, None where it is no square one."""
    inputs = step.module.state.get("in_features")
    if type(inputs) is not int or type(channels) is not int or channels < 1:
        return None
    side = math.isqrt(max(0, inputs // channels))
    return side if side and side * side * channels == inputs else None


# ------------------------------------------------------------------------------------------------- refusals


def check(step):
    """Refuse a module of a kind that no VGG has, or whose attributes are not those of a VGG's."""
    if not kind(step):
        raise UnsupportedError(f"its module {quoted([step.path])} is a {short_name(step)}, which npvgg has not; save "
                               "model.state_dict() instead if it does nothing")
    if is_one_by_one(step):
        return
    state = step.module.state
    for attribute, value in KINDS[step.module.name.removeprefix(PACKAGE)][1].items():
        if attribute in state and state[attribute] not in (value, (value, value)):
            raise differs(step, attribute, state[attribute], value)


def short_name(step):
    """A class of PyTorch without its package, any other with it."""
    name = step.module.name
    return step.kind if name.startswith(PACKAGE) else name[:80]


def differs(step, attribute, value, expected):
    """The refusal of an attribute."""
    belongs = (expected, expected) if type(value) is tuple and type(expected) is not tuple else expected
    return UnsupportedError(f"its module {quoted([step.path])} is a {step.kind} with {attribute} {short(value)} where a VGG "
                            f"has {short(belongs)}; npvgg cannot compute that")


def refused(step, where):
    """The refusal of a module in its place."""
    return UnsupportedError(f"its module {quoted([step.path])} is a {step.kind} {where}, where no VGG has one; npvgg cannot "
                            "compute that")


def short(value):
    """A value for a message: a short text of what is plain, the name of its type otherwise."""
    plain = (int, float, bool, str, type(None))
    is_plain = type(value) in plain or type(value) is tuple and len(value) < 9 and all(type(item) in plain for item in value)
    return repr(value)[:40] if is_plain else f"({type(value).__name__})"
