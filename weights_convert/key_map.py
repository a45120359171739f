"""Which network a checkpoint holds, and which of its keys is which of our parameters.

torchvision numbers modules by position ("features.28.weight"); npvgg uses the paper's names ("conv5_3/weight").  Both
directions come from the layer table, so they cannot drift apart.
"""
import math
import re
from contextlib import suppress

import numpy as np

from npvgg.architecture import CONFIGURATIONS, NAMES, WITH_BATCH_NORM, architecture, canonical_name, torchvision_names
from npvgg.errors import BadFileError, UsageError

TORCH_FIELDS = {"weight": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

# What wrappers put in front of every key: torch.nn.DataParallel, and torch.compile.
PREFIXES = ("module.", "_orig_mod.")


def key_map(net):
    """Architecture → {torchvision key: npvgg path}, e.g. 'features.0.weight' → 'conv1_1/weight'."""
    position = {paper: torch for torch, paper in torchvision_names(net).items()}
    return {f"{position[layer.name]}.{TORCH_FIELDS[kind]}": f"{layer.name}/{kind}"
            for layer in net.layers for kind, _ in layer.shapes}


def counters(net):
    """The keys that batch norm adds and inference does not need; files from before 2018 lack them."""
    return {f"{torch}.num_batches_tracked" for torch, paper in torchvision_names(net).items() if paper.startswith("bn")}


def strip_prefix(tensors):
    """{'module.features.0.weight': …} → {'features.0.weight': …}, where every key carries the prefix."""
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def recognise(tensors, model=None, input_size=None):
    """{torchvision key: array} → the Architecture whose keys and shapes these are.

    The 4-D weights give the configuration and the width, the 2-D ones the classifier.  `model` names the network
    instead; the picture's size is not in the weights, so it is 32 × the pooled map's side unless `input_size` is given.
    A classifier of nothing but NaN (torchvision's IMAGENET1K_FEATURES) counts as none.
    """
    filters = weights(tensors, "features", 4)
    if not filters:
        raise BadFileError(f"there is no convolution under features.N.weight among {len(tensors)} tensors "
                           f"({some(tensors)}); npvgg reads the checkpoints of torchvision's VGG")
    dense = weights(tensors, "classifier", 2)
    head = classifier(dense, filters)
    if not any(np.isfinite(array).any() for array in dense):
        head["num_classes"] = None
    if input_size is None:
        input_size = 32 * head["pooled_size"]
    candidates = []
    for name in [canonical_name(model)] if model else NAMES:
        with suppress(UsageError):                                   # a width that no network can have
            net = architecture(name, width=width(name, filters), input_size=input_size, **head)
            if model or kernel_shapes(net) == [array.shape for array in filters]:
                candidates.append(net)
    if not candidates:
        found = " ".join(f"{array.shape[0]}" + ("" if array.shape[2] == 3 else f"/{array.shape[2]}") for array in filters)
        raise BadFileError(f"the convolutions ({found} filters) are those of none of {', '.join(CONFIGURATIONS)}, nor of the "
                           f"_bn forms of {', '.join(WITH_BATCH_NORM)}; name the network with --model to see what differs")
    return max(candidates, key=lambda net: len(tensors.keys() & key_map(net).keys()))


def width(name, filters):
    """The width at which `name` has so many filters in each convolution.

    A layer of n filters at width 1 has round(n·w) = f filters, so w lies between (f−½)/n and (f+½)/n.  The last layer's
    f/n, unless another layer forbids it; then the middle of what all allow.
    """
    layers = [(array.shape[0], shape[0]) for array, shape in zip(filters, kernel_shapes(architecture(name)))]
    last = layers[-1][0] / layers[-1][1]
    low, high = max((f - 0.5) / n for f, n in layers), min((f + 0.5) / n for f, n in layers)
    return last if low >= high or all(round(n * last) == f for f, n in layers) else (low + high) / 2


def kernel_shapes(net):
    """The shapes of the convolutions' weights.  A and A-LRN, or plain and batch norm, differ only in their keys."""
    return [dict(layer.shapes)["weight"] for layer in net.layers if layer.op == "conv2d"]


def classifier(dense, filters):
    """The 2-D weights in order → hidden sizes, class count and the side of the pooled map."""
    if not dense:
        return {"num_classes": None, "hidden": (4096, 4096), "pooled_size": 7}
    channels, inputs = filters[-1].shape[0], dense[0].shape[1]
    side = math.isqrt(inputs // channels) if channels else 0
    if side < 1 or side * side * channels != inputs:
        raise BadFileError(f"the first dense layer takes {inputs} numbers, which is not a square map of {channels} "
                           "channels; npvgg reads the checkpoints of torchvision's VGG")
    sizes = tuple(int(array.shape[0]) for array in dense)
    return {"num_classes": sizes[-1], "hidden": sizes[:-1], "pooled_size": side}


def weights(tensors, section, dimensions):
    """The weights of `section` with so many dimensions, in the order of their position."""
    found = {}
    for key, array in tensors.items():
        matched = re.fullmatch(rf"{section}\.(\d{{1,4}})\.weight", key)
        if matched and array.ndim == dimensions:
            found[int(matched[1])] = array
    return [found[position] for position in sorted(found)]


def some(names):
    names = list(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
