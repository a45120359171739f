"""Do two runs agree?

    difference          two arrays → how far apart they are
    report              two traces → one line a layer, the first one that diverges on top
    suspects            the first layer that diverges → the mistake that would explain it
    oracle              a network → the rounding error of each layer, against the same network in float64
    recorded_answers    a network, and inputs whose answers its source's own runtime recorded → do they agree?

Nothing here knows another framework: the other run comes as arrays, or as a trace file.
"""
