"""Where the pixels of a step lie: addresses in bytes."""
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.machine import FLOAT, LANES


@part
def at(address, floats):
    """The address so many floats on."""
    return address + FLOAT * floats


@part
def x_at(step, image, block, i, j):
    """A pixel of the input."""
    return at(step.x, image * step.x_image + block * step.x_plane + i * step.x_row + j * LANES)


@part
def y_at(step, image, block, i, j):
    """A pixel of the output."""
    return at(step.y, image * step.y_image + block * step.y_plane + i * step.y_row + j * LANES)
