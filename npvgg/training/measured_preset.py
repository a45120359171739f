"""How pictures are prepared for a network that begins with nothing."""
import numpy as np

from npvgg import images
from npvgg.training.pictures import Pictures
from npvgg.training.recipe import SMALL, Recipe

SAMPLE = 2000           # pictures whose mean and deviation are measured


def preset_for(recipe: Recipe, pictures: Pictures) -> images.Preset:
    """The recipe's preset at the network's size; without one, the mean and deviation of the training pictures."""
    size = recipe.network.input_size
    if recipe.preset is not None:
        return recipe.preset if recipe.preset.crop == size else recipe.preset.resized(size)
    order = pictures.mode
    total, squares, count = 0.0, 0.0, 0
    for index in np.linspace(0, len(pictures) - 1, min(len(pictures), SAMPLE)).astype(int):
        values = np.asarray(pictures.picture(index), np.float64).reshape(-1, len(order)) / 255
        total, squares, count = total + values.sum(axis=0), squares + (values**2).sum(axis=0), count + len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-4))
    resize = size if size < SMALL else round(size * 256 / 224)
    return images.Preset("of the training pictures", resize, size, tuple(round(float(value), 4) for value in mean),
                         tuple(round(float(value), 4) for value in deviation), order=order)
