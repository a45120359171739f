"""Steps under construction: rows of fields, and the memory that they will need.

Feature maps live in two halves of the arena, each step reading one and writing the other.
"""
from dataclasses import dataclass, field

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine import steps
from npvgg.kernels.engine.layout import Map, Rows, as_input, as_output

RELU_FLOOR, NO_FLOOR = np.zeros(1, np.float32), np.full(1, -np.inf, np.float32)


@dataclass
class Builder:
    """Steps under construction, with names of regions where the program will have places."""

    TASKS = 64                  # pieces that a step is divided into where nothing else decides: enough to share out evenly

    packed: object              # Packed: the weights
    images: int
    threads: int
    algorithm: str
    rows: list = field(default_factory=list)
    regions: dict = field(default_factory=dict)         # name: floats
    scratch: int = 0
    halves: int = 0
    owners: list = field(default_factory=list)          # of each step, the names of its layers
    weights: list = field(default_factory=list)

    def need(self, layout):
        """Reserve what `layout` needs in its region; returns the layout."""
        self.regions[layout.region] = max(self.regions.get(layout.region, 0), layout.floats)
        return layout

    def half(self):
        """The half of the arena that is not being read."""
        self.halves += 1
        return f"half {self.halves % 2}"

    def map(self, channels, height, width):
        """A feature map (images, channels, height, width) in the half that is not being read."""
        return self.need(Map(self.half(), self.images, channels, height, width))

    def features(self, channels):
        """Rows of features (images, channels) in the half that is not being read."""
        return self.need(Rows(self.half(), self.images, channels))

    def like(self, x):
        """Room for an answer of the same shape."""
        return self.features(*x.shape) if isinstance(x, Rows) else self.map(*x.shape)

    def step(self, kind, tasks, **fields):
        """Append a step of that kind, divided into `tasks` tasks, with these fields of its STEP."""
        self.rows.append({"kind": steps.NUMBER[kind], "tasks": tasks, **fields})

    def by_planes(self, kind, x, y, height, **fields):
        """A step of which each task is a few rows of one plane."""
        chunk = max(1, height * y.blocks * self.images // self.TASKS)
        self.step(kind, self.images * y.blocks * ceil_div(height, chunk), **as_input(x), **as_output(y), chunk=chunk, **fields)
        return y

    def pool(self, kind, x):
        """(N, C, H, W) → (N, C, ⌊H/2⌋, ⌊W/2⌋): a step on 2×2 windows."""
        y = self.map(x.channels, x.height // 2, x.width // 2)
        return self.by_planes(kind, x, y, y.height)

    def address(self, array):
        """Where an array lies; it stays there as long as the program lives."""
        self.weights.append(array)
        return array.ctypes.data

    def floor(self, has_relu):
        """The address of what outputs are at least: 0 with ReLU, −∞ without."""
        return (RELU_FLOOR if has_relu else NO_FLOOR).ctypes.data

    def thread_room(self, floats):
        """Reserve at least so many floats of scratch for each thread."""
        self.scratch = max(self.scratch, floats)
