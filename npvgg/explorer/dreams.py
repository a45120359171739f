"""Pictures made for a network: the one that a unit answers to most, and a photograph with more of what a layer sees in it.

    maximise(vgg, "conv4_3:17")          ascent from noise: what does this unit look for?
    deep_dream(vgg, "cat.png", "relu4_1")      ascent from a photograph

Pixels that climb by themselves become noise that the eye does not see, so `maximise` changes the picture's spectrum, in which a
step changes coarse and fine structures alike, in colours that do not depend on one another, and shifts the picture at every
step (Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017; the constants are lucid's, which turns and scales the
picture too).
"""
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from npvgg.checks import check_size, is_number
from npvgg.errors import ShapeError, UnsupportedError, UsageError
from npvgg.explorer.attributions.slopes import gradient, value
from npvgg.explorer.resampling import upsampled
from npvgg.explorer.targets import Target, row_of, target_of
from npvgg.images.presets import Preset

# How red, green and blue of ImageNet's pictures vary together: columns of independent colours, the largest of length 1.
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = COLOURS / np.sqrt((COLOURS**2).sum(0)).max()
DEVIATION = 0.01                          # of the spectrum that the ascent begins with
BETAS, EPSILON = (0.9, 0.999), 1e-8       # Adam's
OCTAVE = 1.4                              # between the sizes of a deep dream


class Dream(NamedTuple):
    """A picture that was made for a number S."""

    picture: np.ndarray                   # (H, W, 3) uint8
    values: list[float]                   # S at each step, of the picture as it was shifted


def maximise(vgg, target: Any, *, size: int | None = None, steps: int = 256, rate: float = 0.05, shift: int = 8,
             seed: int = 0) -> Dream:
    """A class or unit (`targets`) → the Dream that makes it large, of size × size pixels, by default the network's.

    Adam, so many steps.  Of a ReLU the number before it is made large, for behind it there may be nothing to climb.
    UsageError for what makes no sense; UnsupportedError for a network of grey pictures or with alpha.
    """
    check_colours(vgg.preset)
    size = vgg.architecture.input_size if size is None else size
    check_size("size", size, 32, 4096)
    check_size("steps", steps, 1, 100_000)
    check_size("shift", shift, 0, size)
    check_size("seed", seed, 0, 2**63 - 1)
    if not is_number(rate) or rate <= 0:
        raise UsageError(f"rate is {rate!r:.80}; give a number above 0, such as 0.05")
    if target is None:
        raise UsageError("no target was given; name a class, or a unit such as 'conv4_3:17'")
    chosen = before_relu(vgg, target_of(vgg, target, (size, size)))
    rng, side = np.random.default_rng(seed), size + 2 * shift
    spectrum = DEVIATION * rng.standard_normal((2, 3, side, side // 2 + 1))
    mean, square, values = np.zeros_like(spectrum), np.zeros_like(spectrum), []
    for step in range(1, steps + 1):
        top, left = rng.integers(0, 2 * shift + 1, 2)
        window = np.s_[:, top:top + size, left:left + size]
        levels = of_spectrum(spectrum, side)
        x = normalised(levels[window], vgg.preset).astype(vgg.dtype)[np.newaxis]
        values.append(float(value(vgg, x, chosen)[0]))
        g = np.zeros_like(levels)
        g[window] = of_levels(gradient(vgg, x, chosen)[0].astype(np.float64), vgg.preset)
        slope = spectrum_gradient(g, levels)
        mean = BETAS[0] * mean + (1 - BETAS[0]) * slope
        square = BETAS[1] * square + (1 - BETAS[1]) * slope**2
        corrected = np.sqrt(square / (1 - BETAS[1]**step)) + EPSILON
        spectrum = spectrum + rate / (1 - BETAS[0]**step) * mean / corrected
    levels = of_spectrum(spectrum, side)[:, shift:shift + size, shift:shift + size]
    return Dream(np.rint(255 * levels).astype(np.uint8).transpose(1, 2, 0), values)


def deep_dream(vgg, image: Any, layer: str, *, octaves: int = 4, steps: int = 10, rate: float = 0.05) -> Dream:
    """One picture → the Dream in which the mean square of the layer's output is larger, in the size of the prepared picture.

    From coarse to fine, each size 1.4 times the one before: so many steps of rate · gradient ÷ its mean size, and the details
    that the smaller size had lost are added again.  Mordvintsev, Olah and Tyka, 2015.  ShapeError where the layer cannot take
    the smaller sizes.
    """
    check_size("octaves", octaves, 1, 12)
    check_size("steps", steps, 1, 100_000)
    if not is_number(rate) or rate <= 0:
        raise UsageError(f"rate is {rate!r:.80}; give a number above 0, such as 0.05")
    check_colours(vgg.preset)
    x = vgg.prepare(image)
    if len(x) != 1:
        raise ShapeError(f"{len(x)} pictures were given; dream of one at a time")
    full = x.shape[2:]
    name, sizes = row_of(vgg.architecture, layer, full).layer.name, [full]
    while len(sizes) < octaves and min(sizes[-1]) / OCTAVE >= 32:
        sizes.append(tuple(int(side / OCTAVE) for side in sizes[-1]))
    low, high = (end[:, np.newaxis, np.newaxis].astype(x.dtype) for end in ends(vgg.preset))
    found, values, coarse = np.zeros_like(x), [], None
    for size in reversed(sizes):
        base = upsampled(x, size)
        dreamt = base if coarse is None else base + upsampled(found, size)
        coarse = base
        for _ in range(steps):
            output = vgg.forward(dreamt, name)
            values.append(float((output.astype(np.float64)**2).mean()))
            g = vgg.gradients(dreamt, {name: output})["input"]
            dreamt = np.clip(dreamt + x.dtype.type(rate) * g / (np.abs(g).mean() + x.dtype.type(1e-12)), low, high)
        found = dreamt - base
    levels = of_network((x + found)[0].astype(np.float64), vgg.preset)
    return Dream(np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8).transpose(1, 2, 0), values)


def check_colours(preset: Preset) -> None:
    """UnsupportedError unless pictures are red, green and blue."""
    if preset.mode != "RGB":
        raise UnsupportedError(f"the network takes {preset.order} and pictures are made in red, green and blue; use a network "
                               "of colour pictures")


def before_relu(vgg, target: Target) -> Target:
    """A unit of a ReLU → the same of the layer before it; any other target as it is."""
    names = [layer.name for layer in vgg.architecture.layers]
    at = names.index(target.layer)
    return replace(target, layer=names[at - 1]) if vgg.architecture.layers[at].op == "relu" else target


def scale(side: int) -> np.ndarray:
    """(side, side//2 + 1): what the spectrum is multiplied by, side ÷ frequency, the proportions of natural pictures."""
    rows, columns = np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side)
    return side / np.maximum(np.hypot(rows, columns), 1 / side)


def of_spectrum(spectrum: np.ndarray, side: int) -> np.ndarray:
    """(2, 3, side, side//2 + 1) real and imaginary → (3, side, side) red, green and blue from 0 to 1."""
    colours = np.fft.irfft2((spectrum[0] + 1j * spectrum[1]) * scale(side), (side, side)) / 4
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.einsum("cd,dhw->chw", COLOURS, colours)))


def spectrum_gradient(g: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The gradient of the levels (3, side, side), and they themselves → that of the spectrum: `of_spectrum` transposed."""
    side = g.shape[1]
    inner = np.einsum("cd,chw->dhw", COLOURS, g * levels * (1 - levels)) / 4
    twice = np.full(side // 2 + 1, 2.0)             # the other half of the spectrum is the same numbers
    twice[0] = 1
    if side % 2 == 0:
        twice[-1] = 1
    found = np.fft.rfft2(inner) * scale(side) * twice / side**2
    return np.stack([found.real, found.imag])


def ends(preset: Preset) -> np.ndarray:
    """(2, C): what black and white become."""
    return (np.array([[0], [255]]) / preset.divisor - preset.mean) / preset.std


def normalised(levels: np.ndarray, preset: Preset) -> np.ndarray:
    """(3, H, W) red, green and blue from 0 to 1 → what the network is given."""
    black, white = (end[:, np.newaxis, np.newaxis] for end in ends(preset))
    return black + (white - black) * in_order(levels, preset)


def of_network(x: np.ndarray, preset: Preset) -> np.ndarray:
    """What the network is given, (3, H, W) → red, green and blue, 0 for black and 1 for white."""
    black, white = (end[:, np.newaxis, np.newaxis] for end in ends(preset))
    return in_order((x - black) / (white - black), preset)


def of_levels(g: np.ndarray, preset: Preset) -> np.ndarray:
    """The gradient of what the network is given → that of the levels: `normalised` transposed."""
    black, white = (end[:, np.newaxis, np.newaxis] for end in ends(preset))
    return in_order((white - black) * g, preset)


def in_order(levels: np.ndarray, preset: Preset) -> np.ndarray:
    """(3, H, W) in red, green and blue ↔ in the preset's order."""
    return levels[::-1] if preset.order == "BGR" else levels
