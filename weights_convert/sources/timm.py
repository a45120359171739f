"""timm: torchvision's `features`; the hidden dense layers as the convolutions that they are on a 7×7 map.

    pre_logits.fc1.weight (4096, 512, 7, 7), pre_logits.fc2.weight (4096, 4096, 1, 1), head.fc.weight (1000, 4096)

Source: timm/models/vgg.py, ConvMlp and ClassifierHead.
"""
from weights_convert import arrangement
from weights_convert.sources import torchvision
from weights_convert.sources.naming import Source

HEAD = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}


def modules(net):
    return {paper: name for paper, name in torchvision.modules(net).items() if name.startswith("features")} | HEAD


def arrange(net, layer, kind, shape):
    if kind == "weight" and layer in ("fc6", "fc7"):
        return arrangement.as_convolution(shape, net.pooled_size if layer == "fc6" else 1)
    return arrangement.same(shape)


TIMM = Source("timm", r"(?:pre_logits\.fc\d|head\.fc)\.weight", torchvision.NUMBERED,
              (r"pre_logits\.fc1\.weight", r"pre_logits\.fc2\.weight", r"head\.fc\.weight"), modules, arrange=arrange,
              ignorable=torchvision.counters)
