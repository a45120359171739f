"""Which network a source's tensors are: its name, width, hidden layers, classes and the map before them."""
import math
from contextlib import suppress

import numpy as np

from npvgg.architecture import CONFIGURATIONS, WITH_BATCH_NORM, architecture, canonical_name
from npvgg.errors import BadFileError, UsageError
from weights_convert.refusals import quoted

# What wrappers put in front of every key: torch.nn.DataParallel, and torch.compile.
PREFIXES = ("module.", "_orig_mod.")


def strip_prefix(tensors):
    """{'module.features.0.weight': …} → {'features.0.weight': …}, where every key carries the prefix."""
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def recognise(source, tensors, model=None, input_size=None, padding_mode=None, has_lrn=None):
    """Source, {source key: array} → the Architecture whose keys and shapes these are.

    The convolutions give the configuration and the width, the dense layers the classifier.  `model` names the network
    instead; the picture's size is not in the weights, so it is 32 × the pooled map's side unless `input_size` is given.
    `padding_mode` and `has_lrn` are what else is known of the network, which its tensors do not show.
    A classifier of nothing but NaN (torchvision's IMAGENET1K_FEATURES) counts as none.  BadFileError where no network
    has such layers, UsageError where two have.
    """
    filters = source.filters(tensors)
    if not filters:
        raise BadFileError(f"there is no convolution among its {len(tensors)} tensors ({quoted(list(tensors))}) under the "
                           f"names of {source.name}; give a checkpoint of a VGG, or another source with --from")
    head = classifier(source, tensors, filters)
    sizes = head | {"input_size": input_size or 32 * head["pooled_size"],
                    "padding_mode": padding_mode or source.padding_mode}
    candidates = []
    for name in [canonical_name(model)] if model else source.networks:
        if has_lrn not in (None, "LRN" in CONFIGURATIONS.get(name, "")):
            continue
        with suppress(UsageError):                                   # a width that no network can have
            net = architecture(name, width=width(name, filters), **sizes)
            if model or kernel_shapes(net) == filters:
                candidates.append(net)
    if not candidates:
        found = " ".join(f"{shape[0]}" + ("" if shape[2] == 3 else f"/{shape[2]}") for shape in filters)
        raise BadFileError(f"the convolutions ({found} filters) are those of none of {', '.join(CONFIGURATIONS)}, nor of the "
                           f"_bn forms of {', '.join(WITH_BATCH_NORM)}; name the network with --model to see what differs")
    return likeliest(source, tensors, candidates)


def likeliest(source, tensors, candidates):
    """The candidate that uses most of the keys; UsageError where a second one has the very same keys."""
    keys = {net.name: source.places(net).keys() for net in candidates}
    best = max(candidates, key=lambda net: len(tensors.keys() & keys[net.name]))
    twins = [net.name for net in candidates if keys[net.name] == keys[best.name]]
    if len(twins) > 1:
        raise UsageError(f"{' and '.join(twins)} have the same keys and shapes under the names of {source.name}; "
                         "say which it is with --model")
    return best


def width(name, filters):
    """The width at which `name` has so many filters in each convolution.

    A layer of n filters at width 1 has round(n·w) = f filters, so w lies between (f−½)/n and (f+½)/n.  The last layer's
    f/n, unless another layer forbids it; then the middle of what all allow.
    """
    layers = [(found[0], shape[0]) for found, shape in zip(filters, kernel_shapes(architecture(name)))]
    last = layers[-1][0] / layers[-1][1]
    low, high = max((f - 0.5) / n for f, n in layers), min((f + 0.5) / n for f, n in layers)
    return last if low >= high or all(round(n * last) == f for f, n in layers) else (low + high) / 2


def kernel_shapes(net):
    """The shapes of the convolutions' weights.  A and A-LRN, or plain and batch norm, differ only in their keys."""
    return [dict(layer.shapes)["weight"] for layer in net.layers if layer.op == "conv2d"]


def classifier(source, tensors, filters):
    """The dense layers in order → hidden sizes, class count and the side of the pooled map."""
    dense = source.dense_weights(tensors)
    if dense and len(source.dense) not in (1, len(dense)):
        raise BadFileError(f"it has {len(dense)} of the {len(source.dense)} dense layers of {source.name}; "
                           "give the whole network, or its convolutions alone")
    if not dense:
        return {"num_classes": None, "hidden": (4096, 4096), "pooled_size": 7}
    sizes = [source.sizes(array) for array in dense]
    channels, inputs = filters[-1][0], sizes[0][1]
    side = math.isqrt(inputs // channels) if channels else 0
    if side < 1 or side * side * channels != inputs:
        raise BadFileError(f"the first dense layer takes {inputs} numbers, which is not a square map of {channels} "
                           "channels; give a checkpoint of a VGG")
    outputs = tuple(int(size) for size, _ in sizes)
    is_usable = any(np.isfinite(array).any() for array in dense)
    return {"num_classes": outputs[-1] if is_usable else None, "hidden": outputs[:-1], "pooled_size": side}
