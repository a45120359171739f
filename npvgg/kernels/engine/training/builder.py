"""Steps of a training program under construction: what is read again on the way back has a region of its own."""
from dataclasses import dataclass

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.builder import Builder
from npvgg.kernels.engine.layout import Map, Picture, Rows, as_input, as_output
from npvgg.kernels.engine.machine import CACHE_LINE, COLUMNS, LANES
from npvgg.kernels.engine.steps import PARTS
from npvgg.kernels.engine.winograd import tile_for


class TrainingMap(Map):
    """A feature map with no more room than the tiles of its own convolution need: small maps are most of a training network."""

    def room(self, side):
        """Pixels from the border on, for `side` of them."""
        tile = tile_for(self.height, self.width)
        return ceil_div(side, tile) * tile + 2


@dataclass
class TrainingBuilder(Builder):
    """Steps of both programs.

    `wanted` are the paths of parameters whose gradients are needed; `fixed`: batch norm has the statistics that it is given;
    `idle` are the convolutions whose bias a batch norm takes away again, which gives it no gradient.
    """

    wanted: frozenset = frozenset()
    fixed: bool = False
    idle: frozenset = frozenset()
    kept: int = 0

    def region(self, floats):
        """A new region of so many floats."""
        self.kept += 1
        self.regions[f"kept {self.kept}"] = floats
        return f"kept {self.kept}"

    def keep(self, channels, height, width):
        """A feature map that stays until the way back."""
        return self.needed(TrainingMap, channels, height, width)

    def keep_rows(self, channels):
        """Rows of features that stay until the way back."""
        return self.needed(Rows, channels)

    def keep_like(self, x):
        """Room of the same shape that stays until the way back."""
        return self.keep_rows(*x.shape) if isinstance(x, Rows) else self.keep(*x.shape)

    def needed(self, kind, *shape):
        """A layout of that kind in a region of its own."""
        return kind(self.region(kind("", self.images, *shape).floats), self.images, *shape)

    def map(self, channels, height, width):
        """A feature map in the half that is not being read."""
        return self.need(TrainingMap(self.half(), self.images, channels, height, width))

    def picture(self, x_shape):
        """The steps that bring the pictures into the form that the first convolution reads."""
        _, channels, height, width = x_shape
        y = self.needed(Picture, channels, height, width)
        chunk = max(1, height * channels * self.images // self.TASKS)
        self.step("pad_picture", self.images * channels * ceil_div(height, chunk), y=(y.region, 0), y_image=y.image,
                  y_plane=y.plane, y_row=y.row, x=("x", 0), x_image=channels * height * width, x_plane=height * width,
                  x_row=width, height=height, width=width, channels=channels, chunk=chunk)
        return y

    def planes(self, kind, x, **fields):
        """A step of which each task is one plane of x."""
        self.step(kind, self.images * x.blocks, **as_input(x), channels=x.channels, **fields)

    def leave(self, x, **fields):
        """A step that writes x in blocks of channels → (N, C, H, W), or (N, features), at the place that `fields` name."""
        self.step("leave", self.images * x.blocks, **as_input(x), channels=x.channels, chunk=x.height,
                  y_plane=x.height * x.width, y_row=x.width, **fields)

    def tail(self, channels, bias=None):
        """A region for what follows sums, and the step that fills it: a bias, where it has a name, and no batch norm."""
        whole = ceil_div(channels, max(COLUMNS, CACHE_LINE)) * max(COLUMNS, CACHE_LINE)
        tail = self.region(PARTS * whole)
        source = {"has_bias": 0} if bias is None else {"has_bias": 1, "bias": (bias, 0)}
        self.step("pack_tail", whole // LANES, tail=(tail, 0), channels=channels, **source)
        return tail

    def enter(self, kind, name, y):
        """A step of that kind that reads (N, C, H, W), or (N, features), from the array called `name`, for y."""
        plane = y.height * y.width
        self.step(kind, self.images * y.blocks, x=(name, 0), x_image=y.channels * plane, x_plane=plane, x_row=y.width,
                  height=y.height, width=y.width, **as_output(y), channels=y.channels, chunk=y.height)


def as_gradient(g):
    """The fields of a step that reads the gradient g."""
    return {"g": (g.region, g.first), "g_image": g.image, "g_plane": g.plane, "g_row": g.row}
