"""Receptive fields: exactly the pixels whose change would change the number."""
import numpy as np
import pytest
from witnesses.networks import lively

from npvgg.architecture import architecture
from npvgg.counting import describe

# (step, border before the first, side) of VGG-16, from the recurrences of Araujo et al.
VGG16 = {"conv1_1": (1, 1, 3), "conv1_2": (1, 2, 5), "pool1": (2, 2, 6), "conv2_1": (2, 4, 10), "conv2_2": (2, 6, 14),
         "pool2": (4, 6, 16), "conv3_1": (4, 10, 24), "conv5_3": (16, 90, 196), "pool5": (32, 90, 212)}


def test_steps_and_starts_of_vgg16():
    rows = {row.layer.name: row for row in describe(architecture("vgg16"))}
    assert {name: (rows[name].stride, -rows[name].start[0], rows[name].receptive_field[0]) for name in VGG16} == VGG16
    assert rows["pool5"].field(6, 0) == (102, -90, 314, 122) and rows["fc6"].start is None
    assert rows["fc8"].field(0, 0) == (-90, -90, 314, 314)


@pytest.mark.parametrize("fields", [{}, {"padding_mode": "reflect"}, {"head": "avg3 flatten 2"}, {"head": "avg1"}], ids=str)
def test_a_field_holds_the_pixels_with_a_gradient_and_no_others(fields):
    vgg = lively("vgg13", width=1 / 32, input_size=64, pooling="avg", **({"head": ""} | fields))
    vgg = vgg.using(tier="reference", dtype="float64")
    vgg = vgg.with_parameters({path: abs(array) + 0.01 for path, array in vgg.parameters.items()})   # nothing cancels
    size, rng = (64, 97), np.random.default_rng(0)
    x = rng.uniform(0.5, 1, (1, 3, *size))
    trace, rows = vgg.runner.trace(x), describe(vgg.architecture, size)
    for row in rows:
        if row.layer.op in ("relu", "reflection_pad2d"):
            continue
        g = np.zeros_like(trace[row.layer.name])
        place = tuple(int(rng.integers(side)) for side in g.shape[1:])
        g[0][place] = 1
        if row.layer.op == "flatten":
            place = np.unravel_index(place[0], row.input_shape)
        at = place[1:] if len(place) == 3 else (0, 0)
        top, left, bottom, right = row.field(*at)
        expected = np.zeros(size, bool)
        expected[max(0, top):bottom, max(0, left):right] = True
        found = vgg.gradients(x, {row.layer.name: g})["input"][0, 0] != 0
        assert np.array_equal(found, expected), row.layer.name
