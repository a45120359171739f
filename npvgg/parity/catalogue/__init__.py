"""Mistakes that people make when they port a network, as data: what each looks like, how to make it, what to do about it.

    mistake           what an entry is, and the layer that it is tried on
    any_layer, convolutions, batch_norms, activations, normalisations, poolings, dense_layers, weights
                      entries, in the order in which they are tried
    damage            entries whose weights are told by the wrong run
    estimates         numbers read off the wrong run
    rounding          fewer digits than float32 has
    normalising, geometry
                      from a picture to the input of a network
"""
from npvgg.parity.catalogue.activations import ACTIVATIONS
from npvgg.parity.catalogue.any_layer import ANY_LAYER
from npvgg.parity.catalogue.batch_norms import BATCH_NORMS
from npvgg.parity.catalogue.convolutions import CONVOLUTIONS
from npvgg.parity.catalogue.damage import DAMAGE
from npvgg.parity.catalogue.dense_layers import DENSE_LAYERS
from npvgg.parity.catalogue.mistake import Case, Mistake
from npvgg.parity.catalogue.normalisations import LOCAL_RESPONSE
from npvgg.parity.catalogue.poolings import POOLINGS
from npvgg.parity.catalogue.weights import WEIGHTS

__all__ = ["ACTIVATIONS", "ANY_LAYER", "BATCH_NORMS", "CONVOLUTIONS", "DAMAGE", "DENSE_LAYERS", "LOCAL_RESPONSE", "MISTAKES",
           "POOLINGS", "WEIGHTS", "Case", "Mistake"]

# What is fitted to the run comes last: it fits more often.
MISTAKES = tuple(sorted(
    (*CONVOLUTIONS, *BATCH_NORMS, *ACTIVATIONS, *LOCAL_RESPONSE, *POOLINGS, *DENSE_LAYERS, *WEIGHTS, *ANY_LAYER, *DAMAGE),
    key=lambda mistake: mistake.is_estimated))
