"""What every runtime is given: one network, pictures, and the logits that are exact for them."""
from dataclasses import replace

import numpy as np

from npvgg import images, network, weights

FILE = "vgg.h5"


def draw(name, *, seed=0, **options):
    """A VGG with He-scaled weights; biases and batch-norm statistics are random too, so that leaving one out shows.

    Biases and means are N(0, 0.2²), batch-norm scales and variances uniform from 0.5 to 1.5; `options` as in
    `network.create`.
    """
    vgg = network.create(name, seed=seed, how="he", **options)
    rng = np.random.Generator(np.random.PCG64(seed))
    return replace(vgg, parameters={path: drawn(rng, path, array) for path, array in vgg.parameters.items()})


def drawn(rng, path, array):
    if path.endswith(("/bias", "/mean")):
        return np.float32(0.2) * rng.standard_normal(array.shape, np.float32)
    return np.float32(0.5) + rng.random(array.shape, np.float32) if path.startswith("bn") else array


def pictures(vgg, count, files=()):
    """(count, 3, S, S) float32: the files, prepared and taken in turn, or standard normal numbers without any."""
    if files:
        return images.batch([files[number % len(files)] for number in range(count)], vgg.preset, dtype=np.float32)
    size = vgg.architecture.input_size
    return np.random.Generator(np.random.PCG64(1)).standard_normal((count, 3, size, size), np.float32)


def exact(vgg, x):
    """(N, 3, H, W) → (N, classes) float64 logits, one picture at a time, by the kernels that are not on trial."""
    oracle = vgg.using(tier="jit", dtype=np.float64)
    return np.concatenate([oracle.forward(picture[np.newaxis].astype(np.float64)) for picture in x])


def save(vgg, folder):
    """Write the network as `FILE`, from which every runtime makes the model files that it likes best."""
    weights.write(folder / FILE, vgg.parameters, architecture=vgg.architecture, preset=vgg.preset)
