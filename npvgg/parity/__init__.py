"""Do two runs agree?

    compare(a, b)       two runs (files, {layer: array}, or lists) → one line a layer, the first one that diverges on top

    difference          two arrays → how far apart they are
    runs                a run from anywhere → its arrays in one form
    matching            the arrays of both that belong together
    report              the comparison
    suspects            the first layer that diverges → the mistake that would explain it
    oracle              a network → the rounding error of each layer, against the same network in float64
    recorded_answers    a network, and inputs whose answers its source's own runtime recorded → do they agree?

Nothing here knows another framework: the other run comes as arrays, or as a file of them.
"""
from npvgg.parity.report import Comparison, compare

__all__ = ["Comparison", "compare"]
