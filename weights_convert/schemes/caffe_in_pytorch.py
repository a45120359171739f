"""Caffe's names on PyTorch's modules: the authors' weights as style transfer and others have them, converted long ago.

    conv1_1.weight (64, 3, 3, 3), …, conv5_4.bias, and fc6.weight, fc7.weight, fc8.weight or no dense layer at all

Many programs call their modules so, and keys do not tell them apart.  Zero padding and Caffe's preparation are what the
authors' weights were trained with; whoever trained others says so with --padding and --preset.
Source: leongatys/PytorchNeuralStyleTransfer (vgg_conv.pth).
"""
from npvgg.architecture import CONFIGURATIONS
from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes

CONVOLUTIONS = r"conv([1-5])_(\d)\.weight"
CLASSIFIER = 8                            # the number of the dense layer that gives the classes


def modules(net):
    """{paper's name: the same} of the layers that have parameters."""
    return {layer.name: layer.name for layer in net.layers if layer.op in ("conv2d", "dense")}


def head(tensors):
    """The head that the shapes of fc6, fc7, … show."""
    dense = [(match, array) for match, array in matching(tensors, r"fc(\d{1,2})\.weight") if array.ndim == 2]
    return heads.in_turn([heads.part(match[0], sizes(array)) for match, array in dense],
                         is_classifier=bool(dense) and int(dense[-1][0][1]) >= CLASSIFIER)


def lacks(net):
    """What the scheme cannot name of this network, in words; "" where it names all."""
    behind = [op for op, _ in heads.without_dropout(net)]
    is_classifier, last = behind[-1:] == ["dense"], 5 + len(net.dense_sizes)
    if behind and is_classifier != (last >= CLASSIFIER):
        return f"no network that ends with {net.layers[-1].name}: fc{CLASSIFIER} gives the classes, and nothing before it"
    return heads.lacks_in_turn(net)


CAFFE_IN_PYTORCH = Scheme("caffe-in-pytorch", CONVOLUTIONS, CONVOLUTIONS, head, modules, preset="caffe",
                          networks=tuple(CONFIGURATIONS), lacks=lacks)
