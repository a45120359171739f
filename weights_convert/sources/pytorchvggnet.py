"""CellEight/PytorchVGGNet: the paper's names, every border reflected instead of zero.

    conv1_1.weight, …, conv5_3.bias, fc1.weight, fc2.weight, fc3.weight

A and A-LRN have the same tensors.  Source: models/VGGA.py … VGGE.py, train.py.
"""
from npvgg.architecture import BLOCKS, CONFIGURATIONS
from weights_convert.sources.naming import Source


def modules(net):
    return {layer.name: renumbered(layer.name) if layer.op == "dense" else layer.name for layer in net.layers}


def renumbered(dense):
    return f"fc{int(dense.removeprefix('fc')) - BLOCKS}"


CONVOLUTIONS = r"conv([1-5])_(\d)\.weight"
PYTORCHVGGNET = Source("pytorchvggnet", CONVOLUTIONS, CONVOLUTIONS, (r"fc(\d{1,2})\.weight",), modules, preset="pytorchvggnet",
                       padding_mode="reflect", networks=tuple(CONFIGURATIONS))
