"""Pictures → the network's input: image file → picture → float32 (N, C, H, W), C = 1 (grey), 3 (colours) or 4 (and alpha).

    read      cat.jpg → picture                      which files are taken, and how pixels become RGB, L or RGBA
    pixels    cat.jpg → (H, W, C) uint8              read, resized and cropped as a Preset says
    prepare   cat.jpg → (C, H, W) float32            the same, scaled and normalised
    batch     anything picture-like → (N, C, H, W)   the table of what is taken for what
    find      names, directories, patterns → paths

The preset travels in the weights file, because a network answers confidently, and wrongly, to pictures that were
prepared in another way than the ones it was trained on.
"""
from npvgg.images.batching import batch, is_single
from npvgg.images.finding import find
from npvgg.images.preparing import pixels, prepare
from npvgg.images.presets import PRESETS, Preset, check_channels, default_preset, preset
from npvgg.images.reading import read

__all__ = ["PRESETS", "Preset", "batch", "check_channels", "default_preset", "find", "is_single", "pixels", "prepare", "preset",
           "read"]
