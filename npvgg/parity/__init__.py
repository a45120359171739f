"""Do two runs agree?

    record(model, x)    a network of PyTorch, Keras, ONNX or npvgg, run → {layer: array}, and a trace file if one is named
    compare(a, b)       two runs (files, {layer: array}, or lists) → one line a layer, the first one that diverges on top

    recorders           for each framework, how to look into its networks
    difference          two arrays → how far apart they are
    runs                a run from anywhere → its arrays in one form
    matching            the arrays of both that belong together
    report              the comparison
    suspects            the first layer that diverges → the mistake that would explain it
    oracle              a network → the rounding error of each layer, against the same network in float64
    recorded_answers    a network, and inputs whose answers its source's own runtime recorded → do they agree?

Only the recorders know another framework, and import it when a network of it is given.
"""
from npvgg.parity.recorders import record
from npvgg.parity.report import Comparison, compare

__all__ = ["Comparison", "compare", "record"]
