"""Maps of networks that forget: which change, and by how much."""
import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg.errors import UsageError
from npvgg.explorer import randomised, sanity
from npvgg.explorer.sanity import rank_correlation


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", width=1 / 16, input_size=32, head="flatten 9 relu 4").using(tier="reference")


def test_layers_from_the_last_down_are_drawn_anew_and_no_others(vgg):
    other = randomised(vgg, "features.15")                                       # conv4_1
    names = [layer.name for layer in vgg.architecture.layers]
    for path in vgg.parameters:
        is_behind = names.index(path.partition("/")[0]) >= names.index("conv4_1")
        assert np.array_equal(vgg.parameters[path], other.parameters[path]) != is_behind, path
    once, again = (randomised(vgg, "fc6", seed=1).parameters["fc7/weight"] for _ in range(2))
    assert np.array_equal(once, again)
    with pytest.raises(UsageError, match="no layer 'fc9'"):
        randomised(vgg, "fc9")


def test_ranks_correlate_as_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, (2, 5, 8))
    stats = pytest.importorskip("scipy.stats")
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(a, a**3) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.zeros_like(a)) == 0


def test_a_map_of_the_network_changes_and_its_layers_come_in_order(vgg):
    found = list(sanity(vgg, photograph(1), "saliency", seed=7))
    weighted = [layer.name for layer in vgg.architecture.layers if layer.op in ("conv2d", "dense")]
    assert [each.layer for each in found] == weighted[::-1] and found[-1].sizes < 0.6
    unit = list(sanity(vgg, photograph(1), "input-gradient", "conv1_1:0,5,5", seed=7))
    assert all(each.signed == pytest.approx(1) for each in unit[:-1]) and unit[-1].signed < 1     # nothing behind it matters
