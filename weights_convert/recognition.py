"""Which network a scheme's tensors are: its name, width and head, and what had to be assumed because no tensor shows it."""
import math
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from npvgg import heads
from npvgg.architecture import (
    BLOCKS,
    CHANNELS,
    CONFIGURATIONS,
    MINIMUM_INPUT,
    WITH_BATCH_NORM,
    Architecture,
    architecture,
    canonical_name,
    paper_head,
)
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert.refusals import quoted
from weights_convert.schemes.naming import Scheme

CLASSIFIER = "classifier."                # in front of torchvision's, which are NaN in IMAGENET1K_FEATURES
FEATURES, TYPICAL_SIDE = paper_head(None), 7      # of a network without tensors behind pool5
WIDEST = 16                               # of an Architecture


@dataclass(frozen=True)
class Known:
    """What is known of a network beside its tensors; None: nothing."""

    model: str | None = None
    head: str | None = None
    output: str | None = None
    pooling: str | None = None
    eps: float | None = None
    input_size: int | None = None
    padding_mode: str | None = None
    has_lrn: bool | None = None


@dataclass(frozen=True)
class Recognised:
    """An Architecture, and how sure it is."""

    architecture: Architecture
    assumptions: tuple                    # "max pooling in the blocks (--pooling)", …: what no tensor shows and nobody said
    useless: frozenset                    # keys of a classifier of nothing but NaN


def recognise(scheme: Scheme, tensors: dict, known: Known | None = None) -> Recognised:
    """Scheme, {key: array}, Known → Recognised: the Architecture whose keys and shapes these are.

    The convolutions give the configuration, the width, the channels of the picture and whether there are biases; the head's
    tensors its dense layers and batch norms.  What they do not show is as `known` says, or assumed: what lies between dense
    layers as heads.py has it, the scheme's padding, 2×2 max pooling, ε = 10⁻⁵, and pictures of 32 × the side of the pooled map.
    A classifier of nothing but NaN (torchvision's IMAGENET1K_FEATURES) counts as none.

    BadFileError where no network has such layers, UnsupportedError for other than 1, 3 or 4 channels, UsageError where two
    networks have them or a part of `known` makes no sense.
    """
    known = known or Known()
    filters = scheme.filters(tensors)
    if not filters:
        raise BadFileError(f"there is no convolution among its {len(tensors)} tensors ({quoted(list(tensors))}) under the "
                           f"names of {scheme.name}; give a checkpoint of a VGG, or other names with --from")
    channels = filters[0][1]
    if channels not in CHANNELS:
        raise UnsupportedError(f"its first convolution takes {channels} channels; npvgg's networks take "
                               f"{', '.join(map(str, CHANNELS))}")
    useless = nothing_but_nan(tensors)
    head, side, assumptions = head_of(scheme, tensors, filters[-1][0], known, useless)
    sizes = {"head": head, "input_size": known.input_size or MINIMUM_INPUT * side, "input_channels": channels,
             "bias": scheme.has_biases(tensors), "padding_mode": known.padding_mode or scheme.padding_mode,
             "output": known.output}
    sizes |= {name: getattr(known, name) for name in ("pooling", "eps") if getattr(known, name) is not None}
    candidates = []
    for name in [canonical_name(known.model)] if known.model else scheme.networks:
        fitting = width(name, filters)
        if known.has_lrn in (None, "LRN" in CONFIGURATIONS.get(name, "")) and 0 < fitting <= WIDEST:
            net = architecture(name, width=fitting, **sizes)
            if known.model or kernel_shapes(net) == filters:
                candidates.append(net)
    if not candidates:
        shown = " ".join(f"{shape[0]}" + ("" if shape[2] == 3 else f"/{shape[2]}") for shape in filters)
        raise BadFileError(f"the convolutions ({shown} filters) are those of none of {', '.join(CONFIGURATIONS)}, nor of the "
                           f"_bn forms of {', '.join(WITH_BATCH_NORM)}; name the network with --model to see what differs")
    net = likeliest(scheme, tensors, candidates)
    return Recognised(net, (*assumptions, *further(net, known, side)), useless)


def nothing_but_nan(tensors):
    """The keys of a classifier that holds no number; none where any of it does."""
    keys = frozenset(key for key in tensors if key.startswith(CLASSIFIER))
    return keys if all(tensors[key].dtype.kind == "f" and np.isnan(tensors[key]).all() for key in keys) else frozenset()


def head_of(scheme, tensors, channels, known, useless):
    """→ (the head, the side of the map that enters it, the assumptions in it)."""
    if known.head is not None:
        tokens = heads.tokens(known.head)
        sides = [value for kind, value in tokens if kind in ("avg", "max")]
        if not sides:
            with suppress(BadFileError):
                sides = [shown_side(scheme.head(tensors), channels)]
        return heads.canonical(known.head), sides[0] if sides else TYPICAL_SIDE, ()
    shown = None if useless else scheme.head(tensors)
    if shown is None:
        assumption = f"the head {FEATURES!r}, for nothing behind pool{BLOCKS} has tensors (--head)"
        return FEATURES, TYPICAL_SIDE, () if useless else (assumption,)
    side = shown_side(shown, channels)
    head = heads.canonical(f"avg{side} {shown.on_maps} flatten {shown.tokens}")
    return head, side, (f"the head {head!r}, of which the tensors show the dense layers and batch norms only (--head)",)


def shown_side(shown, channels):
    """The side of the square map that the first dense layer takes."""
    if shown is None:
        return TYPICAL_SIDE
    side = math.isqrt(shown.inputs // channels) if channels else 0
    if side < 1 or side * side * channels != shown.inputs:
        raise BadFileError(f"the first dense layer takes {shown.inputs} numbers, which is not a square map of {channels} "
                           "channels; give a checkpoint of a VGG")
    return side


def further(net, known, side):
    """What else was assumed, each with the option that changes it."""
    ends_in_dense = [kind for kind, _ in heads.tokens(net.head) if kind != "drop"][-1:] == ["dense"]
    is_global = side == 1 and net.dense_sizes and known.input_size is None
    larger = ", though its first dense layer takes one number a channel, as behind global average pooling of larger ones"
    return tuple(what for applies, what in (
        (known.input_size is None, f"pictures of side {net.input_size} (--input-size){larger if is_global else ''}"),
        (known.pooling is None, f"{net.pooling} pooling in the blocks (--pooling)"),
        (known.eps is None and has_eps(net),
         f"ε = {net.eps:g} in batch norm (--eps)"),
        (known.output is None and ends_in_dense, f"answers by {net.output} (--output)"),
        (known.padding_mode is None, f"borders by {net.padding_mode} (--padding)"),
    ) if applies)


def has_eps(net):
    """Whether there is batch norm, in the blocks or in the head."""
    return any(layer.op.startswith("batchnorm") for layer in net.layers)


def likeliest(scheme, tensors, candidates):
    """The candidate that uses most of the keys; UsageError where a second one has the very same keys."""
    keys = {net.name: scheme.places(net).keys() for net in candidates}
    best = max(candidates, key=lambda net: len(tensors.keys() & keys[net.name]))
    twins = [net.name for net in candidates if keys[net.name] == keys[best.name]]
    if len(twins) > 1:
        raise UsageError(f"{' and '.join(twins)} have the same keys and shapes under the names of {scheme.name}; "
                         "say which it is with --model")
    return best


def width(name, filters):
    """The width at which `name` has so many filters in each convolution.

    A layer of n filters at width 1 has round(n·w) = f filters, so w lies between (f−½)/n and (f+½)/n.  The last layer's
    f/n, unless another layer forbids it; then the middle of what all allow.
    """
    layers = [(theirs[0], shape[0]) for theirs, shape in zip(filters, kernel_shapes(architecture(name)))]
    last = layers[-1][0] / layers[-1][1]
    low, high = max((f - 0.5) / n for f, n in layers), min((f + 0.5) / n for f, n in layers)
    return last if low >= high or all(round(n * last) == f for f, n in layers) else (low + high) / 2


def kernel_shapes(net):
    """The shapes of the convolutions' weights.  A and A-LRN, or plain and batch norm, differ only in their keys."""
    return [dict(layer.shapes)["weight"] for layer in net.layers if layer.op == "conv2d"]


def computes_the_same(net, other):
    """Whether two heads, each of an Architecture of the same convolutions, give the same answer to pictures of their size."""
    return effective(net) == effective(other)


def effective(net):
    """The head of a network without what changes nothing: [("dense", 10), …]."""
    side, steps = net.input_size >> BLOCKS, []
    for kind, value in heads.tokens(net.head):
        if kind == "drop" or kind in ("avg", "max") and value == side:
            continue
        side = value if kind in ("avg", "max") else side
        steps.append((kind, net.eps if kind == "bn" and value is None else value))
    return steps
