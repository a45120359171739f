"""ONNX: a graph, whose layers `formats.onnx` gives the paper's names, with its operators' names of their inputs behind.

    conv1_1.W (64, 3, 3, 3), conv1_1.B (64,), bn1_1.mean, …, fc8.W (1000, 4096), fc8.B (1000,)

The graph itself shows the head.
"""
from weights_convert.schemes import npvgg
from weights_convert.schemes.naming import Scheme

CONVOLUTIONS = r"conv(\d{1,3})_(\d{1,3})\.W"


def head(tensors):
    """None: the graph itself says what its head is."""
    return None


ONNX = Scheme("onnx", CONVOLUTIONS, CONVOLUTIONS, head, npvgg.modules,
              fields={"weight": ".W", "bias": ".B", "mean": ".mean", "var": ".var"})
