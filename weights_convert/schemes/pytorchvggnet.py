"""CellEight/PytorchVGGNet: the paper's names, every border reflected instead of zero.

    conv1_1.weight, …, conv5_3.bias, fc1.weight, fc2.weight, fc3.weight

A and A-LRN have the same tensors.  Source: models/VGGA.py … VGGE.py, train.py.
"""
from npvgg.architecture import BLOCKS, CONFIGURATIONS
from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes


def modules(net):
    """{paper's name: PytorchVGGNet's} of the layers that have parameters."""
    return {layer.name: renumbered(layer.name) if layer.op == "dense" else layer.name
            for layer in net.layers if layer.op in ("conv2d", "dense")}


def renumbered(dense):
    """"fc6" → "fc1"."""
    return f"fc{int(dense.removeprefix('fc')) - BLOCKS}"


def head(tensors):
    """The head that the shapes of fc1, fc2, … show."""
    return heads.in_turn([heads.part(match[0], sizes(array)) for match, array in matching(tensors, r"fc(\d{1,2})\.weight")
                          if array.ndim == 2])


CONVOLUTIONS = r"conv([1-5])_(\d)\.weight"
PYTORCHVGGNET = Scheme("pytorchvggnet", CONVOLUTIONS, CONVOLUTIONS, head, modules, preset="pytorchvggnet",
                       also=r"fc1\.weight", padding_mode="reflect", networks=tuple(CONFIGURATIONS), lacks=heads.lacks_in_turn)
