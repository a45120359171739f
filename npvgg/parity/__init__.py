"""Do two runs agree?

    record(model, x)    a network of PyTorch, Keras, ONNX or npvgg, run → {layer: array}, and a trace file if one is named
    compare(a, b)       two runs (files, {layer: array}, or lists) → one line a layer, the first one that diverges on top

    recorders           for each framework, how to look into its networks
    runs, matching      a run from anywhere → its arrays in one form; those of both that belong together
    difference          two arrays → how far apart they are
    exact, stages       each operation in float64, and what rounding can add; the layers between two recorded ones
    own_error           a run → each layer's own error
    verdicts            two runs → the layers that are wrong, and in which run
    catalogue           mistakes as data
    diagnosis, facts    a wrong layer → the mistake that reproduces it, or numbers
    relations           two arrays → what they tell without weights
    comparing, report   all of it in one call, for people and for programs
    oracle              a network → the rounding error of each layer, against the same network in float64
    recorded_answers    a network, and inputs whose answers its source's own runtime recorded → do they agree?

Only the recorders know another framework, and import it when a network of it is given.
"""
from npvgg.parity.comparing import compare
from npvgg.parity.recorders import record
from npvgg.parity.report import Comparison

__all__ = ["Comparison", "compare", "record"]
