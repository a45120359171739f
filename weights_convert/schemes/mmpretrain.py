"""mmpretrain, and mmcls before it: convolution, batch norm and ReLU are one module; everything is in the backbone.

    backbone.features.0.conv.weight, backbone.features.0.bn.running_mean, …, backbone.classifier.6.bias

Positions in `features` count those modules and the poolings; those in `classifier` are torchvision's.
Source: mmpretrain/models/backbones/vgg.py, tools/model_converters/vgg_to_mmpretrain.py.
"""
from functools import partial

from npvgg.architecture import feature_layers
from weights_convert.schemes import heads, torchvision
from weights_convert.schemes.naming import Scheme

MEMBER = {"conv2d": "conv", "batchnorm2d": "bn"}
POSITIONS = ("relu", "maxpool2d", "avgpool2d")
CLASSIFIER = "backbone.classifier"


def modules(net):
    """{paper's name: mmpretrain's} of convolutions, batch norm and the modules in `classifier`."""
    names = {paper: f"backbone.{name}" for paper, name in torchvision.modules(net).items() if name.startswith("classifier")}
    position = 0
    for layer in feature_layers(net):
        if layer.op in MEMBER:
            names[layer.name] = f"backbone.features.{position}.{MEMBER[layer.op]}"
        position += layer.op in POSITIONS
    return names


def counters(net):
    """The keys of batch norm's counters of batches, which inference does not use."""
    return {f"{name}.num_batches_tracked" for paper, name in modules(net).items() if paper.startswith("bn")}


CONVOLUTIONS = r"backbone\.features\.(\d{1,4})\.conv\.weight"
MMPRETRAIN = Scheme("mmpretrain", CONVOLUTIONS, CONVOLUTIONS, partial(torchvision.sequential, where=CLASSIFIER), modules,
                    ignorable=counters, preset="mmpretrain", networks=torchvision.ITS_OWN, lacks=heads.lacks_before_flatten)
