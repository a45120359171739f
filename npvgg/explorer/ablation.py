"""What becomes of an answer where channels of a layer are taken away, or made stronger."""
from collections.abc import Iterable
from typing import Any

import numpy as np

from npvgg.checks import is_number
from npvgg.errors import UsageError
from npvgg.explorer.targets import checked_place, row_of


def ablate(vgg, inputs: Any, layer: str, channels: Iterable[int], factor: float = 0.0) -> np.ndarray:
    """Pictures → (N, classes) logits where these channels of the layer's output are multiplied by `factor`.

    Each layer is computed once.  UsageError for a channel or factor that makes no sense; the errors of `features`.
    """
    if not is_number(factor):
        raise UsageError(f"factor is {factor!r:.80}; give a number, 0 to take the channels away")
    if isinstance(channels, (str, bytes)) or not isinstance(channels, Iterable):
        raise UsageError(f"the channels are {channels!r:.80}; give a list of whole numbers such as [17, 40]")
    x = vgg.prepare(inputs)
    row = row_of(vgg.architecture, layer, x.shape[2:])
    chosen = sorted({checked_place(row, [channel])[0] for channel in channels})
    output = vgg.runner.forward(x, row.layer.name)
    output[:, chosen] *= output.dtype.type(factor)
    layers = [other.name for other in vgg.architecture.layers]
    behind = layers[layers.index(row.layer.name) + 1:]
    return vgg.run_from(behind[0], output) if behind else output
