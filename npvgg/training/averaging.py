"""The running mean of the weights, and the batch norms that belong to it."""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from npvgg.training import updates


@dataclass
class Average:
    """An exponential moving average of parameters:  a ← a + (1 − d)(p − a), d = min(decay, (1 + n)/(10 + n)) after n updates.

    The rising d lets the first parameters be forgotten quickly.  Means and variances of batch norm are not averaged: those of
    averaged weights are others, see `measured_norms`.  The count n belongs in a checkpoint.
    """

    decay: float
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    count: int = 0

    def update(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Take one more step's parameters in."""
        share = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for path, values in parameters.items():
            if path.rpartition("/")[2] in ("mean", "var"):
                continue
            if path not in self.arrays:
                self.arrays[path] = values.copy()
            else:
                updates.approach(self.arrays[path], values, share)
        self.count += 1


def measured_norms(batches: Iterable[np.ndarray], statistics: Callable[[np.ndarray], Mapping[str, tuple]]
                   ) -> dict[str, np.ndarray]:
    """Batches of pictures → {"bn1_1/mean": array, "bn1_1/var": array, …}: the plain mean over the batches.

    `statistics(x)` gives each batch norm's mean and unbiased variance of a batch (Izmailov et al. 2018, section 3.2;
    torch.optim.swa_utils.update_bn).
    """
    total, count = {}, 0
    for x in batches:
        count += 1
        for name, (mean, var) in statistics(x).items():
            for kind, values in (("mean", mean), ("var", var)):
                path = f"{name}/{kind}"
                total[path] = total.get(path, 0) + values.astype(np.float64)
    return {path: values / count for path, values in total.items()}
