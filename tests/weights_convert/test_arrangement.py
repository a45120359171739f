"""Other people's layouts, and the way back."""
import numpy as np
import pytest

from weights_convert import arrangement

CASES = {
    "same": (arrangement.same, (5, 3, 2, 4), (), (5, 3, 2, 4)),
    "vector": (arrangement.same, (7,), (), (7,)),
    "as convolution": (arrangement.as_convolution, (5, 3 * 4), (2,), (5, 3, 2, 2)),
    "1×1 convolution": (arrangement.as_convolution, (5, 3), (1,), (5, 3, 1, 1)),
    "channels last": (arrangement.channels_last, (5, 3, 2, 4), (), (2, 4, 3, 5)),
    "transposed": (arrangement.transposed, (5, 12), (), (12, 5)),
    "transposed map": (arrangement.transposed, (5, 3 * 4), (2,), (12, 5)),
}


@pytest.mark.parametrize("form, shape, options, theirs", CASES.values(), ids=CASES)
def test_there_and_back_is_bit_exact(form, shape, options, theirs):
    ours = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    place = form(shape, *options)
    there = place.theirs(ours)
    assert there.shape == place.shape == theirs and there.flags.c_contiguous
    back = place.ours(there, shape)
    assert np.array_equal(back, ours) and back.flags.c_contiguous


def test_a_convolution_with_the_channels_last():
    ours = np.arange(5 * 3 * 2 * 4).reshape(5, 3, 2, 4)
    there = arrangement.channels_last(ours.shape).theirs(ours)
    assert there[1, 2, 0, 3] == ours[3, 0, 1, 2]


def test_a_dense_layer_gives_the_same_answer_to_a_map_flattened_in_the_other_order():
    """Row (i, j, c) of their matrix is column (c, i, j) of ours."""
    rng = np.random.default_rng(1)
    weight, maps = rng.standard_normal((5, 3 * 4)), rng.standard_normal((2, 3, 2, 2))
    theirs = arrangement.transposed(weight.shape, 2).theirs(weight)
    np.testing.assert_allclose(maps.transpose(0, 2, 3, 1).reshape(2, -1) @ theirs, maps.reshape(2, -1) @ weight.T)
