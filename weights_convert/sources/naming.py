"""What a source is: how it names its tensors and lays them out, and how its pictures and answers are meant."""
import re
from collections.abc import Callable
from dataclasses import dataclass

from npvgg.architecture import NAMES
from npvgg.errors import UnsupportedError
from weights_convert import arrangement
from weights_convert.arrangement import Arrangement

TORCH_FIELDS = {"weight": ".weight", "bias": ".bias", "mean": ".running_mean", "var": ".running_var"}


@dataclass(frozen=True)
class Place:
    """Where a source keeps one of our parameters."""

    path: str                             # "conv1_1/weight"
    arrangement: Arrangement


def unchanged(net, layer, kind, shape):
    return arrangement.same(shape)


def none(net):
    return frozenset()


@dataclass(frozen=True)
class Source:
    """One way of writing a VGG down.

    `mark`, `convolutions` and `dense` are patterns of keys: one that tells this source from the others, the weights of
    convolutions, and those of dense layers; the numbers in a key give its place in the order.  With several patterns for
    dense layers, each stands for one layer.
    """

    name: str                             # for --from
    mark: str
    convolutions: str
    dense: tuple
    modules: Callable                     # Architecture → {paper name of a layer: what stands in front of its fields}
    fields: dict | None = None            # {"weight": ".weight", …}; by default PyTorch's
    arrange: Callable = unchanged         # (Architecture, layer, "weight", our shape) → Arrangement
    ignorable: Callable = none            # Architecture → keys that inference does not need
    preset: str = "torchvision"
    output: str = "logits"                # or "probabilities": what the last layer of the source gives
    padding_mode: str = "zeros"
    is_channels_last: bool = False        # weights are (kh, kw, C, O) and (I, O)
    networks: tuple = NAMES               # that it has

    def places(self, net):
        """Architecture → {source key: Place} of every parameter, in the order of the layers.

        UnsupportedError where the source has no name for one.
        """
        modules, fields = self.modules(net), self.fields or TORCH_FIELDS
        nameless = [layer.name for layer in net.layers if layer.shapes and layer.name not in modules]
        if nameless:
            raise UnsupportedError(f"{self.name} has no name for {nameless[0]} of {net.name}; choose another network with "
                                   "--model or another source with --from")
        return {modules[layer.name] + fields[kind]: Place(f"{layer.name}/{kind}", self.arrange(net, layer.name, kind, shape))
                for layer in net.layers for kind, shape in layer.shapes}

    def paths(self, net):
        """Architecture → {source key: our path}, e.g. torchvision's {"features.0.weight": "conv1_1/weight", …}."""
        return {key: place.path for key, place in self.places(net).items()}

    def filters(self, tensors):
        """{key: array} → [(O, C, kh, kw), …] of the convolutions in order."""
        order = (3, 2, 0, 1) if self.is_channels_last else (0, 1, 2, 3)
        shapes = [array.shape for array in matching(tensors, self.convolutions) if array.ndim == 4]
        return [tuple(shape[axis] for axis in order) for shape in shapes]

    def dense_weights(self, tensors):
        """{key: array} → [array, …] of the dense layers' weights in order, as the source lays them out."""
        return [array for pattern in self.dense for array in matching(tensors, pattern) if array.ndim in (2, 4)]

    def sizes(self, array):
        """A dense layer's weight → (outputs, inputs)."""
        outputs = array.shape[-1 if self.is_channels_last else 0]
        return outputs, array.size // max(1, outputs)


def matching(tensors, pattern):
    """The arrays whose keys match, in the order of the numbers in their keys."""
    found = [(key, re.fullmatch(pattern, key)) for key in tensors]
    ordered = sorted((tuple(int(number or 0) for number in match.groups()), key) for key, match in found if match)
    return [tensors[key] for _, key in ordered]
