"""How feature maps, pictures and rows of features lie in the arena: distances in floats."""
from dataclasses import dataclass

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.machine import CACHE_LINE, LANES, ROWS
from npvgg.kernels.engine.winograd import LARGEST_TILE


@dataclass(frozen=True)
class Map:
    """A feature map of `images` pictures in blocks of channels: (N, C/L, rows, columns, L) with its border."""

    region: str
    images: int
    channels: int
    height: int
    width: int

    border = 1

    @property
    def shape(self):
        """Of one picture."""
        return self.channels, self.height, self.width

    @property
    def row(self):
        """Floats from a pixel to the one below it."""
        return self.room(self.width) * LANES

    @property
    def plane(self):
        """Floats from one block of channels to the next."""
        return self.room(self.height) * self.row

    def room(self, side):
        """Pixels that whole tiles of a convolution will read for `side` of them, with a border of one or without."""
        return ceil_div(side, LARGEST_TILE) * LARGEST_TILE + 4

    @property
    def image(self):
        """Floats from one image to the next."""
        return self.blocks * self.plane

    @property
    def blocks(self):
        """Blocks of LANES channels, the last filled up with zeros."""
        return ceil_div(self.channels, LANES)

    @property
    def first(self):
        """The first pixel inside the border."""
        return self.row + LANES

    @property
    def floats(self):
        """Floats that the map takes in its region."""
        # A product may read up to ROWS pixels more than there are.
        return self.images * self.image + ROWS * LANES


@dataclass(frozen=True)
class Rows:
    """A row of features an image: a map of one pixel without a border, filled up to whole cache lines with zeros."""

    region: str
    images: int
    channels: int

    border, first, height, width, row, plane = 0, 0, 1, 1, LANES, LANES

    @property
    def shape(self):
        """Of one picture."""
        return (self.channels,)

    @property
    def image(self):
        """Floats from one image to the next."""
        return ceil_div(self.channels, CACHE_LINE) * CACHE_LINE

    @property
    def blocks(self):
        """Blocks of LANES features."""
        return self.image // LANES

    @property
    def floats(self):
        """Floats that the rows take in their region."""
        return self.images * self.image


@dataclass(frozen=True)
class Picture:
    """The pictures as the first convolution reads them, in planes with a border of zeros: (N, C, H+2, W+2)."""

    region: str
    images: int
    channels: int
    height: int
    width: int

    @property
    def row(self):
        """Floats from a pixel to the one below it."""
        return self.width + 2

    @property
    def plane(self):
        """Floats from one channel to the next."""
        return (self.height + 2) * self.row

    @property
    def image(self):
        """Floats from one image to the next."""
        return self.channels * self.plane

    @property
    def floats(self):
        """Floats that the pictures take in their region."""
        # A product reads whole tiles of pixels.
        return self.images * self.image + ROWS


def as_input(x):
    """The fields of a step that reads x."""
    return {"x": (x.region, x.first), "x_image": x.image, "x_plane": x.plane, "x_row": x.row, "inputs": x.blocks,
            "images": x.images, "height": x.height, "width": x.width}


def as_output(y):
    """The fields of a step that writes y."""
    return {"y": (y.region, y.first), "y_image": y.image, "y_plane": y.plane, "y_row": y.row, "outputs": y.blocks,
            "y_height": y.height, "y_width": y.width, "y_border": y.border}
