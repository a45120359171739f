"""Networks in which every parameter matters, and photographs to run them on."""
from dataclasses import replace

import numpy as np

from npvgg import network


def lively(name, *, seed=0, **options):
    """A VGG with He-scaled weights, and with biases and batch-norm statistics away from 0 and 1; options of `create`."""
    vgg = network.create(name, seed=seed, how="he", **options)
    return replace(vgg, parameters=stirred(vgg.parameters, seed))


def stirred(parameters, seed=0):
    """{path: array} as initialised → with normal biases and means, batch-norm scales and variances from 0.5 to 1.5."""
    rng, result = np.random.default_rng(seed), {}
    for path, array in parameters.items():
        if path.endswith(("/bias", "/mean")):
            array = 0.2 * rng.standard_normal(array.shape, np.float32)
        elif path.startswith("bn"):
            array = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        result[path] = array
    return result


def photograph(number):
    """One of the photographs in scikit-image's wheel, (H, W, 3) uint8, counted around; without it, a synthetic picture."""
    try:
        from skimage import data
    except ImportError:
        return synthetic(number)
    return (data.astronaut, data.chelsea, data.coffee, data.rocket)[number % 4]()


def synthetic(number, height=300, width=451):
    """Waves and an edge, for want of a photograph."""
    i, j = np.mgrid[:height, :width] / 40
    waves = [np.sin(i * (1 + c) + number) * np.cos(j * (2 - c / 2)) + (i + c > j) for c in range(3)]
    return (40 * np.stack(waves, axis=-1) + 120).astype(np.uint8)
