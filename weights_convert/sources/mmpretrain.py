"""mmpretrain, and mmcls before it: convolution, batch norm and ReLU are one module; everything is in the backbone.

    backbone.features.0.conv.weight, backbone.features.0.bn.running_mean, …, backbone.classifier.6.bias

Positions in `features` count those modules and the poolings; those in `classifier` are torchvision's.
Source: mmpretrain/models/backbones/vgg.py, tools/model_converters/vgg_to_mmpretrain.py.
"""
from npvgg.architecture import WITH_BATCH_NORM
from weights_convert.sources import torchvision
from weights_convert.sources.naming import Source

MEMBER = {"conv2d": "conv", "batchnorm2d": "bn"}


def modules(net):
    names = {paper: f"backbone.{name}" for paper, name in torchvision.modules(net).items() if name.startswith("classifier")}
    position = 0
    for layer in net.layers:
        if layer.op in MEMBER:
            names[layer.name] = f"backbone.features.{position}.{MEMBER[layer.op]}"
        elif layer.op in ("relu", "maxpool2d"):
            position += 1
    return names


def counters(net):
    return {f"{name}.num_batches_tracked" for paper, name in modules(net).items() if paper.startswith("bn")}


CONVOLUTIONS = r"backbone\.features\.(\d{1,4})\.conv\.weight"
MMPRETRAIN = Source("mmpretrain", CONVOLUTIONS, CONVOLUTIONS, (r"backbone\.classifier\.(\d{1,4})\.weight",), modules,
                    ignorable=counters, preset="mmpretrain",
                    networks=(*WITH_BATCH_NORM, *(f"{name}_bn" for name in WITH_BATCH_NORM)))
