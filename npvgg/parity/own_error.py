"""Each layer of one run by its own error: the layer in float64 from the run's own input to it, beside what the run holds.

An error is counted in what rounding explains (`exact`), so that a layer is wrong above 1 whatever its values are, and what
went wrong before it does not count.
"""
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import numpy as np

from npvgg.architecture import Architecture
from npvgg.errors import ShapeError
from npvgg.parity.exact import Rounded, excess
from npvgg.parity.stages import Stage, computed, stages


@dataclass(frozen=True)
class OwnError:
    """What one run makes of one stage."""

    stage: Stage                          # its source is the layer that the run went on from, see `own_errors`
    excess: float                         # the largest error ÷ what rounding explains; infinite for another shape

    @property
    def is_wrong(self) -> bool:
        """Whether rounding does not explain it."""
        return self.excess > 1


def own_errors(run: Mapping, net: Architecture, parameters: Mapping, units: Mapping) -> tuple[dict, str]:
    """{layer: array}, its network, {path: array} as far as it is known, and the
    unit of each array (`stages.units_of`) → {layer: OwnError}, and why some have none, or "".

    Where a layer is wrong, the one behind it is tried from further back too: a run may go on from the right values though
    what was recorded of them is not right, overwritten in place for example.
    """
    found: dict[str, OwnError] = {}
    for stage in stages(net, run):
        before = found.get(stage.source)
        can_go_on = before is not None and before.is_wrong
        try:
            error = judged(stage, run, parameters, units)
        except ShapeError as refusal:
            if not can_go_on:
                return found, f"the network given is not that of the traces: {refusal}"
            error = OwnError(stage, inf)
        if error is not None and error.is_wrong and can_go_on:
            with suppress(ShapeError):
                longer = judged(stage.after(before.stage), run, parameters, units)
                error = longer if longer is not None and not longer.is_wrong else error
        if error is not None:
            found[stage.name] = error
    return found, ""


def judged(stage: Stage, run: Mapping, parameters: Mapping, units: Mapping) -> OwnError | None:
    """One stage → its OwnError; None where a parameter is not known."""
    unit = max(units[stage.source], units[stage.name])
    answer = computed(stage.layers, Rounded.of(run[stage.source]), parameters, unit)
    return None if answer is None else OwnError(stage, excess(np.asarray(run[stage.name], np.float64), answer))
