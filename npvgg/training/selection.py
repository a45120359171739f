"""Layers by the names of their blocks: "conv1:conv4", "fc8", "conv5_2:fc6"."""
from collections.abc import Iterable, Mapping

from npvgg.architecture import Architecture
from npvgg.errors import UsageError
from npvgg.text import meant


def layers_of(net: Architecture, text: str) -> list[str]:
    """The layers that have parameters from the first to the last one named, in their order; several ranges have commas.

    "conv3" stands for conv3_1, conv3_2 and so on with their batch norms; A:B for everything from the first layer of A to the
    last of B.  UsageError for a name that no layer has.
    """
    names, chosen = [layer.name for layer in net.layers], set()
    for part in text.split(","):
        first, colon, last = (word.strip() for word in part.partition(":"))
        start = positions(names, first, net)[0]
        end = positions(names, last if colon else first, net)[-1]
        if end < start:
            raise UsageError(f"{part.strip()!r} ends before it begins; give the first layer first")
        chosen.update(names[start:end + 1])
    return [layer.name for layer in net.layers if layer.name in chosen and layer.shapes]


def positions(names, word, net):
    """The positions of the layers that a word names, their batch norm and ReLU included."""
    found = [k for k, name in enumerate(names) if name == word or name.startswith(f"{word}_")]
    if not found or not word:
        blocks = sorted({name.partition("_")[0] for name in names})
        raise UsageError(f"{net.name} has no layer {word!r}{meant(word, [*names, *blocks])}; name layers as conv1, "
                         "conv3_2 or fc6")
    end = found[-1]
    while end + 1 < len(names) and names[end + 1].startswith("bn"):
        end += 1
    return [*found, end]


def without_decay(net: Architecture, *, norms: bool, biases: bool) -> dict[str, float]:
    """{path: 0} of what does not decay: batch norms' weights and biases, and all biases, as asked for."""
    of_norm = {layer.name for layer in net.layers if layer.op.startswith("batchnorm")}
    return {path: 0.0 for path in net.parameters
            if norms and path.partition("/")[0] in of_norm or biases and path.endswith("/bias")}


def factors_of(net: Architecture, rates: Mapping[str, float]) -> dict[str, float]:
    """{"conv1:conv4": 0.1, "fc8": 10} → {path: factor}; a layer that is named twice has both factors."""
    factors: dict[str, float] = {}
    for text, factor in rates.items():
        for path in paths_of(net, layers_of(net, text)):
            factors[path] = factors.get(path, 1.0) * factor
    return factors


def paths_of(net: Architecture, layers: Iterable[str]) -> list[str]:
    """The paths of the parameters of these layers."""
    chosen = set(layers)
    return [path for path in net.parameters if path.partition("/")[0] in chosen]
