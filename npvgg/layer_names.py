"""What others call the layers: torchvision's positions, the names of timm, mmpretrain, Caffe and Keras ↔ the paper's.

    canonical_layer(net, "features.28")        "conv5_3"
    canonical_layer(net, "block5_pool")        "pool5"
    torchvision_names(net)                     {"features.0": "conv1_1", …, "classifier.6": "fc8"}
    understood(net, ["features.0", …])         ("torchvision's", {"features.0": "conv1_1", …})
"""
import re
from collections.abc import Iterable

from npvgg.architecture import BLOCKS, Architecture, check_architecture
from npvgg.errors import UsageError
from npvgg.text import meant

# What the authors and Caffe call a layer of any VGG, and its input and probabilities.
PAPERS = re.compile(r"(pad|conv|bn|relu)[1-5]_\d|(pool|lrn)[1-5]|(fc|relu|drop|bn)[6-9]\d?[a-z]?|(avg|max)pool[a-z]?"
                    r"|flatten|input|prob")
PROBABILITIES = ("prob", "predictions")       # Caffe's and Keras' names for what follows the logits
KERAS = "Keras'"
KERAS_INPUT = re.compile(r"input(_layer)?(_\d+)?")


def canonical_layer(net: Architecture, name: str) -> str:
    """The paper's name of a layer: 'features.28' → 'conv5_3', 'block5_pool' → 'pool5', 'fc7' → 'fc7'.

    UsageError with the names that there are for any other.
    """
    check_architecture(net)
    if isinstance(name, str) and any(layer.name == name for layer in net.layers):
        return name
    aliases = torchvision_names(net) | timm_names(net) | foreign_names(net)
    if isinstance(name, str) and name in aliases:
        return aliases[name]
    names = [layer.name for layer in net.layers]
    raise UsageError(f"{net.name} has no layer {name!r:.80}{meant(name, [*names, *aliases])}; it has {', '.join(names)}")


def asked_for(names: str | Iterable[str]) -> list[str]:
    """The layers that a caller names, as a list; UsageError where there is none, or something else."""
    try:
        listed = [names] if isinstance(names, (str, bytes)) else list(names)
    except TypeError:
        raise UsageError(f"the layers asked for are {names!r:.80}; give a list of names such as ['relu5_3', 'fc7']") from None
    if not listed:
        raise UsageError("no layer was asked for; name at least one, for example ['relu5_3']")
    for name in listed:
        if not isinstance(name, str):
            raise UsageError(f"{name!r:.80} is no name of a layer; give text, for example 'relu5_3'")
    return listed


def torchvision_names(net: Architecture) -> dict:
    """{'features.0': 'conv1_1', …, 'classifier.6': 'fc8'}: position in torchvision's two Sequentials → paper name.

    torchvision counts from 0 in `features`, then again in `classifier`; what stands between pool5 and flatten, and flatten
    itself, is in neither and has no such name.  Padding is a property of the convolution there.
    """
    names, section, position = {}, "features", 0
    for layer in net.layers:
        if layer.op == "flatten":
            section, position = "classifier", 0
        elif section and layer.op != "reflection_pad2d":
            names[f"{section}.{position}"] = layer.name
            position += 1
        if layer.name == f"pool{BLOCKS}":
            section = None
    return names


def timm_names(net: Architecture) -> dict:
    """timm's names, whose dense layers are convolutions of 1×1 maps in `pre_logits`, then `head.fc` → paper names."""
    dense = [layer.name for layer in net.layers if layer.op == "dense"]
    names = {name: layer for name, layer in torchvision_names(net).items() if name.startswith("features.")}
    if len(dense) == 3:
        numbers = [name.removeprefix("fc") for name in dense]
        modules = {"fc1": f"fc{numbers[0]}", "act1": f"relu{numbers[0]}", "drop": f"drop{numbers[0]}",
                   "fc2": f"fc{numbers[1]}", "act2": f"relu{numbers[1]}"}
        names |= {f"pre_logits.{module}": layer for module, layer in modules.items()}
        names |= {"head.drop": f"drop{numbers[1]}", "head.fc": f"fc{numbers[2]}"}
    own = {layer.name for layer in net.layers}
    return {name: layer for name, layer in names.items() if layer in own}


def mmpretrain_names(net: Architecture) -> dict:
    """mmpretrain's names, behind `backbone.` there → paper names.

    A convolution counts as one with what follows it: features.0.conv, features.0.bn, features.0.activate.
    """
    names, position = {}, -1
    parts = {"conv2d": "conv", "batchnorm2d": "bn", "relu": "activate"}
    for layer in net.layers[:1 + next(at for at, layer in enumerate(net.layers) if layer.name == f"pool{BLOCKS}")]:
        position += layer.op == "conv2d" or layer.name.startswith("pool")
        if layer.op in parts:
            names[f"features.{position}.{parts[layer.op]}"] = layer.name
        elif layer.name.startswith("pool"):
            names[f"features.{position}"] = layer.name
    dense = {name: layer for name, layer in torchvision_names(net).items() if name.startswith("classifier.")}
    return names | dense


def foreign_names(net: Architecture) -> dict:
    """Keras' names (block1_conv1, fc1: after the ReLU, which is part of a layer there) and Caffe's norm1 → paper names."""
    names = {}
    for layer in net.layers:
        if layer.op == "relu" and "_" in layer.name:
            block, position = layer.name.removeprefix("relu").split("_")
            names[f"block{block}_conv{position}"] = layer.name
        elif layer.op == "relu" and layer.name.removeprefix("relu").isdigit():
            names[f"fc{int(layer.name.removeprefix('relu')) - BLOCKS}"] = layer.name
        elif layer.name.startswith("pool"):
            names[f"block{layer.name.removeprefix('pool')}_pool"] = layer.name
        elif layer.op == "local_response_norm":
            names[f"norm{layer.name.removeprefix('lrn')}"] = layer.name
    if net.num_classes is not None:
        names["logits"] = net.layers[-1].name
    return names


def are_papers(names: Iterable[str]) -> bool:
    """Whether at least half of the names are the paper's, whatever the network."""
    names = list(names)
    return 2 * sum(PAPERS.fullmatch(name) is not None for name in names) >= len(names) > 0


def schemes(net: Architecture) -> dict:
    """{"torchvision's": {"features.0": "conv1_1", …}, …}: whose names → what they mean, the paper's first.

    Each has those of its own layers that are called as in the paper, "input", and "prob" for what is behind the logits.
    """
    own = {layer.name: layer.name for layer in net.layers} | {"input": "input"}
    pooled = {name: name for name in own if name in ("avgpool", "maxpool", "flatten", "input")}
    foreign = foreign_names(net)
    blocks = {name: layer for name, layer in foreign.items() if name.startswith(("block", "fc"))}
    norms = {name: layer for name, layer in foreign.items() if name.startswith("norm")}
    return {"the paper's": own | {"prob": "prob"}, "torchvision's": torchvision_names(net) | pooled,
            "timm's": timm_names(net) | pooled, "mmpretrain's": mmpretrain_names(net) | pooled,
            KERAS: blocks | pooled | {"predictions": "prob"}, "Caffe's": own | norms | {"data": "input", "prob": "prob"}}


def understood(net: Architecture, names: Iterable[str]) -> tuple[str, dict]:
    """The names of a run's arrays → (whose they are, {name: paper name}) by the scheme that knows most of them.

    Names may stand behind a common beginning, such as `module.` or `backbone.`.  ("", {}) unless the scheme knows at least half
    of them.  Keras' need one of a block, for `fc1` alone is a ReLU's output in Keras and a dense layer's elsewhere.

    >>> from npvgg.architecture import architecture
    >>> understood(architecture("vgg11"), ["module.features.0", "module.features.1"])
    ("torchvision's, behind module.", {'module.features.0': 'conv1_1', 'module.features.1': 'relu1_1'})
    """
    names = list(names)
    beginnings = ["", *dict.fromkeys(name[:at + 1] for name in names for at, letter in enumerate(name) if letter == ".")]
    best = "", {}
    for whose, scheme in schemes(net).items():
        for beginning in beginnings:
            known = {name: scheme[name.removeprefix(beginning)] for name in names
                     if name.startswith(beginning) and name.removeprefix(beginning) in scheme}
            if whose == KERAS:
                if not any(name.startswith(f"{beginning}block") for name in known):
                    continue
                known |= {name: "input" for name in names if KERAS_INPUT.fullmatch(name)}
            known |= {"input": "input"} if "input" in names else {}
            if len(known) > len(best[1]):
                best = whose + (f", behind {beginning}" if beginning else ""), known
    return best if 2 * len(best[1]) >= len(names) else ("", {})
