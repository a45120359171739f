"""The weights of some layers in the form that steps read, each packed once."""
import numpy as np

from npvgg.kernels.engine import team
from npvgg.kernels.engine.float32 import packing
from npvgg.storage.mapping import release_pages


class Packed:
    """{"conv1_1/weight": array} → packed weights, on demand; not for several threads at once."""

    def __init__(self, parameters):
        self.parameters, self.made = parameters, {}

    def once(self, key, make):
        """What was made for the key, or make() the first time."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def of(self, layer):
        """The layer's own parameters by kind: {"weight": array, …}."""
        return {kind: self.parameters[f"{layer.name}/{kind}"] for kind, _ in layer.shapes}

    def convolution(self, layer, algorithm, tile=None):
        """A convolution's weight for "first", "direct" or "winograd" with tiles of tile × tile."""
        def make():
            weight = self.of(layer)["weight"]
            packed = (packing.pack_winograd(weight, tile, team.share) if algorithm == "winograd" else
                      packing.pack_first(weight) if algorithm == "first" else packing.pack_direct(weight))
            release_pages(weight)
            return packed
        return self.once((layer.name, algorithm, tile), make)

    def tail(self, layer, norm=None):
        """What follows a convolution: its bias, and a layer of batch norm."""
        bias, channels = self.of(layer).get("bias"), dict(layer.shapes)["weight"][0]
        return self.once((layer.name, norm and norm.name, "tail"), lambda: packing.pack_tail(channels, bias, self.norm(norm)))

    def plain_tail(self, channels, norm=None):
        """What follows nothing: a layer of batch norm by itself, or the identity."""
        return self.once((channels, norm and norm.name), lambda: packing.pack_tail(channels, None, self.norm(norm)))

    def norm(self, layer):
        """A layer of batch norm → ((weight, bias, mean, var), ε); None → None."""
        return layer and (layer.arrays(self.parameters), dict(layer.options)["eps"])

    def dense(self, layer):
        """A dense layer's weight and bias."""
        def make():
            own = self.of(layer)
            return packing.pack_dense(own["weight"]), np.require(own["bias"], requirements=["C", "A"])
        return self.once((layer.name, "dense"), make)

    def normalisation(self, alpha, k):
        """The constants of a local response normalisation."""
        return self.once((alpha, k, "normalisation"), lambda: packing.pack_normalisation(alpha, k))
