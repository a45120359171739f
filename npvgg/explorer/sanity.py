"""Whether a heat map says something of what the network learned: it must change where the network forgets.

Adebayo et al., arXiv 1810.03292: weights are drawn at random from the last layer down, one layer more each time, and the map is
compared with the trained network's.  A method whose map stays shows the picture, and not the network.  Both the signed map and
its sizes are compared, for a method that multiplies by the picture keeps the sizes.
"""
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npvgg import initialisation
from npvgg.explorer.attributions import attribute
from npvgg.explorer.photograph import Photograph
from npvgg.explorer.targets import row_of, target_of
from npvgg.parameters import sealed


class Agreement(NamedTuple):
    """How much a map is still that of the trained network, by the correlation of ranks: 1 the same order, 0 none."""

    layer: str                            # drawn at random, with all behind it
    signed: float
    sizes: float


def randomised(vgg, layer: str, seed: int = 0):
    """A VGG whose layers from the last down to this one are drawn anew: He-normal weights, biases 0, batch norm the identity.

    UsageError for a layer that does not exist.
    """
    name = row_of(vgg.architecture, layer, (vgg.architecture.input_size,) * 2).layer.name
    layers = vgg.architecture.layers
    behind = layers[[other.name for other in layers].index(name):]
    drawn = initialisation.initial(vgg.architecture, seed=seed, how="he", layers=behind)
    own = {other.name for other in behind}
    return vgg.with_parameters({path: sealed(array.astype(vgg.dtype)) for path, array in drawn.items()
                                if path.partition("/")[0] in own})


def sanity(vgg, image: Any, method: str = "gradcam", target: Any = None, *, seed: int = 0,
           **options: Any) -> Iterator[Agreement]:
    """One picture and a method → an Agreement for each layer with weights, the last layer first, as each is computed.

    A unit of a layer that is drawn itself is another unit; the target is as a rule a class.  The errors of `attribute`.
    """
    picture = Photograph.of(image, vgg.preset).picture
    x = vgg.prepare(picture)
    trained = attribute(vgg, picture, method, target, **options)
    chosen = target_of(vgg, target, x.shape[2:], vgg.forward(x) if target is None else None)
    number = chosen.index[0] if vgg.architecture.num_classes != 1 else int(chosen.sign > 0)
    is_class = chosen.layer == vgg.architecture.layers[-1].name
    for layer in reversed(vgg.architecture.layers):
        if layer.op in ("conv2d", "dense"):
            other = attribute(randomised(vgg, layer.name, seed), picture, method, number if is_class else target, **options)
            yield Agreement(layer.name, rank_correlation(trained.map, other.map),
                            rank_correlation(np.abs(trained.map), np.abs(other.map)))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's ρ of two arrays of one shape: Pearson's of their ranks, equal numbers sharing one; 0 where all are equal."""
    ranks = [centred(array.ravel()) for array in (a, b)]
    norm = np.sqrt((ranks[0]**2).sum() * (ranks[1]**2).sum())
    return float((ranks[0] * ranks[1]).sum() / norm) if norm else 0.0


def centred(values: np.ndarray) -> np.ndarray:
    """The ranks of the values less their mean; equal values have the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[which.ravel()]
    return ranks - ranks.mean()
