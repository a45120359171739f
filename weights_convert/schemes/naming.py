"""A scheme: names and layouts of a VGG's tensors in some library, how it prepares pictures, and what its outputs mean."""
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npvgg.architecture import NAMES, Architecture
from npvgg.errors import UnsupportedError
from weights_convert import arrangement
from weights_convert.arrangement import Arrangement

TORCH_FIELDS = {"weight": ".weight", "bias": ".bias", "mean": ".running_mean", "var": ".running_var"}


@dataclass(frozen=True)
class Place:
    """Where a scheme keeps one of our parameters."""

    path: str                             # "conv1_1/weight"
    arrangement: Arrangement


def unchanged(net, layer, kind, shape):
    """The arrangement of a scheme whose arrays have our shapes."""
    return arrangement.same(shape)


def none(net):
    """No keys."""
    return frozenset()


def anything(net):
    """"": the scheme can name every network."""
    return ""


@dataclass(frozen=True)
class Scheme:
    """One way of writing a VGG down.

    `mark` and `convolutions` are patterns of keys: one that tells this scheme from the others, together with a key that
    matches `also`, and the weights of convolutions; the numbers in a key give its place in the order.
    """

    name: str                             # for --from and --keys
    mark: str
    convolutions: str
    head: Callable                        # {key: array} → heads.Shown, or None where no tensor belongs to a head
    modules: Callable                     # Architecture → {paper name of a layer: what stands in front of its fields}
    fields: dict | None = None            # {"weight": ".weight", …}; by default PyTorch's
    arrange: Callable = unchanged         # (Architecture, layer, "weight", our shape) → Arrangement
    ignorable: Callable = none            # Architecture → keys that inference does not need
    preset: str = "torchvision"
    source_output: str = "logits"         # or "probabilities": what the last layer gives there
    padding_mode: str = "zeros"
    is_channels_last: bool = False        # weights are (kh, kw, C, O) and (I, O)
    networks: tuple = NAMES               # that are read under these names
    written: tuple | None = None          # that are written under them; by default the same
    lacks: Callable = anything            # Architecture → what of it has no such network, as "no …", or ""
    is_ours: bool = False                 # npvgg's own names, under which every network can be written
    also: str = ""                        # another pattern, where the mark is shared by several

    def prefixes(self, keys) -> set:
        """What stands in front of its mark in these keys: {"model."}, {""}, or nothing where they are not its own."""
        found, others = (self.fronts(pattern, keys) for pattern in (self.mark, self.also))
        return found & others if self.also else found

    @staticmethod
    def fronts(pattern, keys):
        """What stands in front of a pattern in keys."""
        return {match[1] or "" for match in map(re.compile(rf"(.*\.)?(?:{pattern})").fullmatch, keys) if match}

    def places(self, net: Architecture) -> dict:
        """Architecture → {key: Place} of every parameter, in the order of the layers.

        UnsupportedError where the scheme has no name for one.
        """
        modules, fields = self.modules(net), self.fields or TORCH_FIELDS
        nameless = [layer.name for layer in net.layers for kind, _ in layer.shapes
                    if layer.name not in modules or kind not in fields]
        if nameless:
            raise UnsupportedError(f"{self.name} has no name for {nameless[0]} of {net.name}; choose another network with "
                                   "--model or --head, or other names with --from or --keys")
        return {modules[layer.name] + fields[kind]: Place(f"{layer.name}/{kind}", self.arrange(net, layer.name, kind, shape))
                for layer in net.layers for kind, shape in layer.shapes}

    def paths(self, net: Architecture) -> dict:
        """Architecture → {key: our path}, e.g. torchvision's {"features.0.weight": "conv1_1/weight", …}."""
        return {key: place.path for key, place in self.places(net).items()}

    def filters(self, tensors: dict) -> list:
        """{key: array} → [(O, C, kh, kw), …] of the convolutions in order."""
        order = (3, 2, 0, 1) if self.is_channels_last else (0, 1, 2, 3)
        shapes = [array.shape for _, array in matching(tensors, self.convolutions) if array.ndim == 4]
        return [tuple(shape[axis] for axis in order) for shape in shapes]

    def has_biases(self, tensors: dict) -> bool:
        """Whether any convolution has a bias."""
        fields = self.fields or TORCH_FIELDS
        return any(match[0].removesuffix(fields["weight"]) + fields["bias"] in tensors
                   for match, array in matching(tensors, self.convolutions) if array.ndim == 4)

    def refusal(self, net: Architecture) -> str:
        """What of a network nothing under these names computes, as "no …"; "" where it can be written.

        What keys and shapes do not show has to be as the scheme's own networks have it, for whoever loads the file would get
        another answer in silence.
        """
        if self.is_ours:
            return ""
        eps = [dict(layer.options)["eps"] for layer in net.layers if layer.op.startswith("batchnorm")]
        other = [value for value in eps if value != TORCH_EPS]
        for applies, what in (
                (net.name not in (self.written or self.networks), f"no {net.name}"),
                (net.padding_mode != self.padding_mode, f"no network with padding_mode {net.padding_mode!r}"),
                (net.pooling != "max", "no network with average pooling in its blocks"),
                (other, f"no batch norm with an ε of {other[0] if other else 0:g}")):
            if applies:
                return what
        return self.lacks(net)


TORCH_EPS = 1e-5                          # ε of torch.nn.BatchNorm2d, which every scheme with batch norm has


def matching(tensors: dict, pattern: str) -> list:
    """[(match, array), …] of the keys that match, in the order of the numbers in them."""
    matches = [(re.fullmatch(pattern, key), array) for key, array in tensors.items()]
    return sorted(((match, array) for match, array in matches if match),
                  key=lambda entry: tuple(int(number or 0) for number in entry[0].groups()))


def dense_layers(tensors: dict, pattern: str, is_channels_last: bool = False) -> list:
    """[(outputs, inputs), …] of the dense layers whose weights match, in the order of the numbers in their keys."""
    return [sizes(array, is_channels_last) for _, array in matching(tensors, pattern) if array.ndim in (2, 4)]


def sizes(weight: np.ndarray, is_channels_last: bool = False) -> tuple:
    """The weight of a dense layer → (outputs, inputs)."""
    outputs = weight.shape[-1 if is_channels_last else 0]
    return outputs, weight.size // max(1, outputs)
