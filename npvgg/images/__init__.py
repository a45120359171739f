"""Pictures → the network's input: image file → RGB picture → float32 (N, 3, H, W).

    read      cat.jpg → RGB picture                  which files are taken, and how each kind of pixel becomes RGB
    pixels    RGB picture → (H, W, 3) uint8          resized and cropped as a Preset says
    prepare   RGB picture → (3, H, W) float32        the same, scaled and normalised
    batch     anything picture-like → (N, 3, H, W)   the table of what is taken for what
    find      names, directories, patterns → paths

The preset travels in the weights file, because a network answers confidently, and wrongly, to pictures that were
prepared in another way than the ones it was trained on.
"""
from npvgg.images.batching import batch, is_single
from npvgg.images.finding import find
from npvgg.images.preparing import pixels, prepare
from npvgg.images.presets import PRESETS, Preset, preset
from npvgg.images.reading import read

__all__ = ["PRESETS", "Preset", "batch", "find", "is_single", "pixels", "prepare", "preset", "read"]
