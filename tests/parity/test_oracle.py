import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg.kernels import tiers
from npvgg.parity import oracle


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", width=1 / 16, hidden=(24, 20), num_classes=10, pooled_size=1, input_size=41)


@pytest.fixture(scope="module")
def x(vgg):
    return vgg.prepare([photograph(0), photograph(2)])


def judged(vgg, x, **runs):
    return [(layer.name, errors) for layer, errors in
            oracle.errors(vgg.architecture.layers, x, exact=oracle.steps(vgg, "reference"), runs=runs)]


def test_every_layer_is_judged_once_in_order(vgg, x):
    assert [name for name, _ in judged(vgg, x, jit=oracle.steps(vgg))] == [layer.name for layer in vgg.architecture.layers]


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_rounding_is_small_in_each_layer_and_grows_along_the_network(vgg, x, tier):
    found = dict(judged(vgg, x, run=oracle.steps(vgg, tier)))
    for name, errors in found.items():
        assert errors["run"].local.within(1e-6) and errors["run"].cumulative.within(1e-5), name
    assert found["fc8"]["run"].cumulative.rms_relative > found["conv1_1"]["run"].cumulative.rms_relative > 0
    assert found["fc8"]["run"].argmax_flips == 0 and found["relu7"]["run"].argmax_flips is None


OTHERS = [
    {"head": "max2 relu flatten bn 24 bn relu 1", "pooling": "avg", "bias": False, "eps": 1e-3, "input_channels": 1},
    {"head": "avg2 flatten 12 relu drop 7", "output": "sigmoid", "input_channels": 4, "padding_mode": "reflect"},
    {"head": "", "bias": False},
]


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("fields", OTHERS, ids=["binary", "labels", "maps"])
def test_heads_and_channels_of_other_kinds(fields, tier):
    vgg = lively("vgg11_bn", width=1 / 16, input_size=64, **fields)
    x = np.random.default_rng(2).standard_normal((3, vgg.architecture.input_channels, 55, 49), np.float32)
    by_name = dict(judged(vgg, x, run=oracle.steps(vgg, tier)))
    assert list(by_name) == [layer.name for layer in vgg.architecture.layers]
    for name, errors in by_name.items():                     # a single output near 0 has lost more digits than a row of them
        assert errors["run"].local.within(2e-6) and errors["run"].cumulative.within(5e-5), name
        assert errors["run"].argmax_flips in (0, None) and (errors["run"].argmax_flips is None) != name.startswith("fc")


def test_one_output_flips_where_its_sign_changes():
    vgg = lively("vgg11", width=1 / 16, input_size=32, num_classes=1)
    step, x = oracle.steps(vgg, "reference"), np.random.default_rng(0).standard_normal((5, 3, 32, 32), np.float32)

    def turned(layer, x):
        return -step(layer, x) if layer.name == "fc8" else step(layer, x)

    assert judged(vgg, x, run=step)[-1][1]["run"].argmax_flips == 0
    assert judged(vgg, x, run=turned)[-1][1]["run"].argmax_flips == 5


def test_layers_that_only_select_have_no_error_of_their_own(vgg, x):
    for name, errors in judged(vgg, x, run=oracle.steps(vgg)):
        if name.startswith(("relu", "pool", "flatten", "drop")):
            assert errors["run"].local.unequal == 0, name


def test_the_oracle_has_no_error_against_itself(vgg, x):
    vgg = vgg.using(dtype=np.float64)
    for _, errors in judged(vgg, x.astype(np.float64), run=oracle.steps(vgg, "reference")):
        assert errors["run"].local.unequal == 0 and errors["run"].cumulative.unequal == 0


def test_a_wrong_kernel_is_seen_locally_in_its_layer_alone_and_cumulatively_from_there_on(vgg, x):
    step = oracle.steps(vgg)

    def wrong(layer, x):
        return step(layer, x) * np.float32(1.01 if layer.name == "conv3_1" else 1)

    found = judged(vgg, x, run=wrong)
    assert [name for name, errors in found if not errors["run"].local.within(1e-4)] == ["conv3_1"]
    spoilt = [name for name, errors in found if not errors["run"].cumulative.within(1e-4)]
    names = [name for name, _ in found]
    assert spoilt == names[names.index("conv3_1"):]
