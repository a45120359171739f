"""Colours that mean the same everywhere, a heat map where it belongs, a sheet on one scale."""
import numpy as np
import pytest
from PIL import Image

from npvgg.explorer import channels, colours, drawings


@pytest.mark.parametrize("name, is_signed", [("viridis", False), ("RdBu_r", True)])
def test_colours_are_matplotlibs(name, is_signed):
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(-1 if is_signed else 0, 1, 256)
    expected = np.rint(matplotlib.colormaps[name](np.arange(256))[:, :3] * 255)
    assert abs(colours.coloured(values, is_signed=is_signed, most=1) - expected).max() <= 1


def test_scales_end_at_the_largest_size_and_what_is_no_number_is_grey():
    values = np.array([-2.0, 0, 1, np.nan, np.inf])
    assert colours.limit(values) == 2 and colours.limit(np.zeros(3)) == 1
    signed = colours.coloured(values, is_signed=True)
    assert [tuple(colour) for colour in signed[[0, 1, 3]]] == [(5, 48, 97), (247, 247, 247), colours.NO_NUMBER]
    assert tuple(signed[4]) == (103, 0, 31) and tuple(colours.coloured(values, is_signed=False)[0]) == tuple(colours.VIRIDIS[0])


def test_a_heat_map_lies_where_the_network_looked_and_nowhere_else():
    photograph = Image.new("RGB", (400, 300), "white")
    values = np.zeros((4, 4))
    values[1, 2] = 1
    drawn = np.asarray(drawings.overlay(photograph, values, (0, 50, 300, 350), is_signed=False)).astype(int)
    changed = np.argwhere((drawn != 255).any(2))
    (top, left), (bottom, right) = changed.min(0), changed.max(0) + 1
    assert drawn.shape == (300, 400, 3) and left >= 50 and right <= 350
    middle = (top + bottom) / 2, (left + right) / 2
    assert middle == pytest.approx((1.5 / 4 * 300, 50 + 2.5 / 4 * 300), abs=2)
    assert drawings.overlay(Image.new("L", (20, 40)), values, (0, 0, 40, 20), is_signed=True).size == (256, 512)


def test_one_large_number_does_not_hide_the_rest():
    values = np.full(100, 1.0)
    assert drawings.heavy_end(values) == 1
    values[0] = 1e-9
    assert drawings.heavy_end(np.array([0, 0, 5.0])) == 5 and drawings.heavy_end(np.zeros((2, 2))) == 1
    assert drawings.heavy_end(np.append(np.full(1000, 1.0), 10)) == 1


@pytest.mark.parametrize("shape, tile", [((5, 7, 3), 49), ((64, 56, 56), 56), ((1, 1, 1), 48)])
def test_a_sheet_shows_every_map_on_one_scale(shape, tile):
    maps = np.random.default_rng(0).random(shape)
    page = np.asarray(drawings.sheet(maps, is_signed=False, title="maps"))
    colour = tuple(colours.coloured(maps[0, :1, :1], is_signed=False, most=maps.max())[0, 0])
    assert tuple(page[drawings.MARGIN, drawings.MARGIN]) == colour and page.shape[1] >= 240
    last = colours.coloured(maps[-1, -1, -1:], is_signed=False, most=maps.max())[0]
    assert (page == last).all(2).any() and min(page.shape[:2]) > tile


def test_channels_are_listed_by_their_mean():
    maps = np.zeros((3, 2, 4), np.float32)
    maps[1, 1, 2], maps[2] = 5, 1
    found = channels.strongest(maps)
    assert [each.channel for each in found] == [2, 1, 0]
    assert found[1] == channels.Channel(1, 5 / 8, 5.0, 1, 2, 7 / 8)
    assert channels.strongest(np.array([1.0, 3.0]))[0] == channels.Channel(1, 3.0, 3.0, 0, 0, 0.0)
