"""How much each class counts in the loss."""
from typing import Any

import numpy as np

from npvgg.errors import UsageError
from npvgg.training.pictures import Pictures
from npvgg.training.recipe import BALANCED


def of_classes(given: Any, pictures: Pictures) -> np.ndarray | None:
    """The weights of the classes in the loss: as given, or N/(C·n) for a class of n of N pictures; None for all alike.

    With several labels they are those of labels that are there: for "balanced" (N − n)/n.
    """
    if given is None:
        return None
    counts = pictures.counts()
    if given == BALANCED:
        if pictures.is_multi_label:
            return (len(pictures) - counts) / np.maximum(counts, 1)
        return len(pictures) / (len(counts) * np.maximum(counts, 1))
    if len(given) != len(counts):
        raise UsageError(f"class_weights has {len(given)} numbers and the data {len(counts)} classes; give one for each")
    return np.array(given)
