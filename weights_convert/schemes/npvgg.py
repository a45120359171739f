"""npvgg itself: conv1_1/weight, bn1_1/mean, …, fc8/bias, as in its weights files; also the keys of a plain .npz.

What follows a dense layer bears its number: bn6 stands behind fc6, bn5 before it, and a second of a kind has a letter.
"""
from dataclasses import replace

from weights_convert.schemes import heads
from weights_convert.schemes.naming import Scheme, matching, sizes

CONVOLUTIONS = r"conv([1-5])_(\d)/weight"


def modules(net):
    """{paper's name: the same} of all layers."""
    return {layer.name: layer.name for layer in net.layers}


def head(tensors):
    """A batch norm before the first dense layer is on maps where that takes another number of inputs."""
    parts = {}
    for match, array in matching(tensors, r"fc(\d{1,2})/weight"):
        if array.ndim == 2:
            parts[int(match[1]), 0] = heads.part(match[0], sizes(array))
    for number, (match, array) in enumerate(matching(tensors, r"bn(\d{1,2})[a-z]?/mean")):
        parts[int(match[1]), 1 + number] = heads.Part(match[0], array.size, "bn")
    first, *others = [parts[place] for place in sorted(parts)] or [None]
    if first and first.token == "bn" and others and others[0].inputs != first.inputs:
        return replace(heads.in_turn(others), on_maps="bn")
    return heads.in_turn([first, *others]) if first else None


NPVGG = Scheme("npvgg", CONVOLUTIONS, CONVOLUTIONS, head, modules, is_ours=True,
               fields={kind: f"/{kind}" for kind in ("weight", "bias", "mean", "var")})
