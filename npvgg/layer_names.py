"""What others call the layers: torchvision's positions, Caffe's and Keras' names ↔ the paper's.

    canonical_layer(net, "features.28")        "conv5_3"
    canonical_layer(net, "block5_pool")        "pool5"
    torchvision_names(net)                     {"features.0": "conv1_1", …, "classifier.6": "fc8"}
"""
from npvgg.architecture import BLOCKS, Architecture, check_architecture
from npvgg.errors import UsageError
from npvgg.text import meant


def canonical_layer(net: Architecture, name: str) -> str:
    """The paper's name of a layer: 'features.28' → 'conv5_3', 'block5_pool' → 'pool5', 'fc7' → 'fc7'.

    UsageError with the names that there are for any other.
    """
    check_architecture(net)
    if isinstance(name, str) and any(layer.name == name for layer in net.layers):
        return name
    aliases = torchvision_names(net) | foreign_names(net)
    if isinstance(name, str) and name in aliases:
        return aliases[name]
    names = [layer.name for layer in net.layers]
    raise UsageError(f"{net.name} has no layer {name!r:.80}{meant(name, [*names, *aliases])}; it has {', '.join(names)}")


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
