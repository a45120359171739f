"""torchvision: modules numbered by their position in two Sequentials, `features` and `classifier`.

    features.0.weight, features.0.bias, …, classifier.6.bias        and *_bn: features.1.running_mean, …

Until 2017 the dropout stood before the dense layers instead of behind them, which moves their numbers:

    Dropout Linear ReLU Dropout Linear ReLU Linear        classifier.1, classifier.4, classifier.6

Source: torchvision/models/vgg.py; the older form pytorch/vision#107.
"""
from npvgg.layer_names import torchvision_names
from weights_convert.sources.naming import Source

NUMBERED = r"features\.(\d{1,4})\.weight"
DENSE = (r"classifier\.(\d{1,4})\.weight",)


def modules(net):
    return {paper: torch for torch, paper in torchvision_names(net).items()}


def modules_to_2017(net):
    """The dense layers at 1, 4, …; the last one has no dropout before it."""
    dense = [layer.name for layer in net.layers if layer.op == "dense"]
    positions = [3 * k + (k < len(dense) - 1) for k in range(len(dense))]
    return modules(net) | {name: f"classifier.{position}" for name, position in zip(dense, positions)}


def counters(net):
    """The keys that batch norm adds and inference does not need; files from before 2018 lack them."""
    return {f"{torch}.num_batches_tracked" for torch, paper in torchvision_names(net).items() if paper.startswith("bn")}


TORCHVISION = Source("torchvision", NUMBERED, NUMBERED, DENSE, modules, ignorable=counters)
TORCHVISION_TO_2017 = Source("torchvision-2016", r"classifier\.1\.weight", NUMBERED, DENSE, modules_to_2017, ignorable=counters)
