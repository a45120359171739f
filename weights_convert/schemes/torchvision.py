"""torchvision: modules numbered by their position in two Sequentials, `features` and `classifier`.

    features.0.weight, features.0.bias, …, classifier.6.bias        and *_bn: features.1.running_mean, …

A classifier may be another Sequential of dense layers, batch norms, ReLUs and dropouts; their positions follow from the head.
Until 2017 the dropout stood before the dense layers instead of behind them, which moves their numbers:

    Dropout Linear ReLU Dropout Linear ReLU Linear        classifier.1, classifier.4, classifier.6

Source: torchvision/models/vgg.py; the older form pytorch/vision#107.
"""
import re
from functools import partial

from npvgg.architecture import WITH_BATCH_NORM
from npvgg.layer_names import torchvision_names
from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes

NUMBERED = r"features\.(\d{1,4})\.weight"
ITS_OWN = (*WITH_BATCH_NORM, *(f"{name}_bn" for name in WITH_BATCH_NORM))


def modules(net):
    """{paper's name: torchvision's} of the modules in its two Sequentials."""
    return {paper: torch for torch, paper in torchvision_names(net).items()}


def counters(net):
    """The keys that batch norm adds and inference does not need; files from before 2018 lack them."""
    return {f"{torch}.num_batches_tracked" for torch, paper in torchvision_names(net).items() if paper.startswith("bn")}


def sequential(tensors, where):
    """{key: array} → heads.Shown of the Sequential called `where`."""
    parts = []
    for match, array in matching(tensors, re.escape(where) + r"\.(\d{1,4})\.weight"):
        key, position = match[0], int(match[1])
        if array.ndim == 2:
            parts.append(heads.part(key, sizes(array), position))
        elif array.ndim == 1 and key.replace(".weight", ".running_mean") in tensors:
            parts.append(heads.Part(key, len(array), "bn", position))
    return heads.by_position(parts, where)


TORCHVISION = Scheme("torchvision", NUMBERED, NUMBERED, partial(sequential, where="classifier"), modules, ignorable=counters,
                     written=ITS_OWN, lacks=heads.lacks_before_flatten)
