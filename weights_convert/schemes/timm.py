"""timm: torchvision's `features`; the hidden dense layers as the convolutions that they are on a 7×7 map.

    pre_logits.fc1.weight (4096, 512, 7, 7), pre_logits.fc2.weight (4096, 4096, 1, 1), head.fc.weight (1000, 4096)

Without classes (num_classes=0) there is no head.fc, and the network ends behind the ReLU of fc2.
Source: timm/models/vgg.py, ConvMlp and ClassifierHead.
"""
from npvgg.errors import BadFileError
from weights_convert import arrangement
from weights_convert.schemes import heads, torchvision
from weights_convert.schemes.naming import Scheme, sizes

HEAD = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
KEYS = tuple(f"{name}.weight" for name in HEAD.values())
FORMS = (["dense", "relu"] * 2, ["dense", "relu"] * 2 + ["dense"])


def modules(net):
    """{paper's name: timm's} of the modules in `features` and of the dense layers."""
    return {paper: name for paper, name in torchvision.modules(net).items() if name.startswith("features")} | HEAD


def arrange(net, layer, kind, shape):
    """Where the numbers of our parameter lie in timm's array: fc6 and fc7 are convolutions there, (O, C, side, side)."""
    if kind == "weight" and layer in ("fc6", "fc7"):
        return arrangement.as_convolution(shape, net.pooled_size if layer == "fc6" else 1)
    return arrangement.same(shape)


def head(tensors):
    """The head that timm's dense layers show; BadFileError where one of them is missing."""
    parts = [heads.part(key, sizes(tensors[key])) for key in KEYS if key in tensors and tensors[key].ndim in (2, 4)]
    names = tuple(part.key for part in parts)
    if names not in ((), KEYS[:2], KEYS):
        raise BadFileError(f"of timm's dense layers it has {' and '.join(names)} only; give the whole network, with head.fc "
                           "or without")
    return heads.in_turn(parts, is_classifier=names == KEYS)


def lacks(net):
    """What the scheme cannot name of this network, in words; "" where it names all."""
    ops = [op for op, _ in heads.without_dropout(net)]
    if any(layer.op == "dense" for layer in net.layers) and ops not in FORMS:
        return f"no network with the head {net.head!r}: two dense layers with a ReLU behind each, and a third or none"
    return heads.lacks_before_flatten(net)


TIMM = Scheme("timm", r"(?:pre_logits\.fc\d|head\.fc)\.weight", torchvision.NUMBERED, head, modules, arrange=arrange,
              ignorable=torchvision.counters, written=torchvision.ITS_OWN, lacks=lacks)
