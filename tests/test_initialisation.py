"""Fresh parameters: shapes, seeds and scales."""
import math

import numpy as np
import pytest

from npvgg import initialisation
from npvgg.architecture import architecture
from npvgg.errors import UsageError

NET = architecture("vgg11_bn", width=0.25, num_classes=7, hidden=(96,), pooled_size=2)


@pytest.mark.parametrize("how", initialisation.INITIALISATIONS)
def test_every_parameter_has_its_shape_and_float32(how):
    parameters = initialisation.initial(NET, how=how)
    assert {path: array.shape for path, array in parameters.items()} == NET.parameters
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}


def test_the_seed_decides_every_bit():
    first, again, other = (initialisation.initial(NET, seed=seed)["conv2_1/weight"] for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def deviation(how, path):
    fan_out, fan_in, *kernel = NET.parameters[path]
    field = math.prod(kernel)
    return {"torchvision": math.sqrt(2 / (fan_out * field)) if kernel else 0.01,
            "he": math.sqrt(2 / (fan_in * field)),
            "glorot": math.sqrt(2 / ((fan_in + fan_out) * field)),
            "paper": 0.1, "normal": 0.01}[how]


@pytest.mark.parametrize("path", ["conv4_1/weight", "fc6/weight"])
@pytest.mark.parametrize("how", [how for how in initialisation.INITIALISATIONS if how != "dirac"])
def test_the_spread_is_that_of_its_formula(how, path):
    weight = initialisation.initial(NET, seed=1, how=how)[path]
    assert weight.std() == pytest.approx(deviation(how, path), rel=0.03)       # 49,152 values: 1/√(2n) = 0.3 %
    assert abs(weight.mean()) < 5 * weight.std() / math.sqrt(weight.size)


def test_diracs_first_filters_hand_their_input_on():
    from npvgg.kernels.reference.conv2d import conv2d

    weight = initialisation.initial(NET, how="dirac")["conv2_1/weight"]
    x = np.random.default_rng(0).standard_normal((1, weight.shape[1], 6, 6)).astype(np.float32)
    y = conv2d(x, weight, np.zeros(len(weight), np.float32), padding=1)
    count = min(weight.shape[:2])
    assert np.array_equal(y[0, :count], x[0, :count]) and weight[count:].std() > 0


def test_biases_are_zero_and_batch_norm_is_the_identity():
    parameters = initialisation.initial(NET)
    assert not parameters["conv1_1/bias"].any() and not parameters["fc7/bias"].any()
    assert [parameters[f"bn1_1/{kind}"][0] for kind in ("weight", "bias", "mean", "var")] == [1, 0, 0, 1]


def test_an_unknown_initialisation_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="no initialisation 'zeros'; npvgg has torchvision, he, glorot, paper"):
        initialisation.initial(NET, how="zeros")
