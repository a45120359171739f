"""What is refused, and in which words."""
import numpy as np
import pytest

from npvgg.errors import ShapeError, UsageError
from npvgg.kernels import contracts, tiers


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


CONV = zeros(1, 3, 8, 6), zeros(5, 3, 3, 3), zeros(5)
NORM = zeros(1, 3, 8, 6), zeros(3), zeros(3), zeros(3), zeros(3)

REFUSED = {                       # id: (operation, arrays, options, the whole sentence)
    "channels": (
        "conv2d", (zeros(1, 3, 224, 224), zeros(128, 64, 3, 3), zeros(128)), {},
        "conv2d: x (1, 3, 224, 224) has 3 channels but weight (128, 64, 3, 3) expects 64; "
        "give it an x with 64 channels or the weight of another layer"),
    "bias": (
        "conv2d", (*CONV[:2], zeros(4)), {},
        "conv2d: weight (5, 3, 3, 3) has 5 filters but bias (4,) holds 4; give it a bias of shape (5,)"),
    "small picture": (
        "conv2d", (zeros(1, 3, 1, 9), zeros(5, 3, 4, 3), zeros(5)), {},
        "conv2d: x (1, 3, 1, 9) padded by 1 is smaller than the filters of weight (5, 3, 4, 3); "
        "give a larger x or more padding"),
    "missing axis": (
        "conv2d", (zeros(3, 8, 6), *CONV[1:]), {},
        "conv2d: x (3, 8, 6) has 3 axes, expected 4, (N, C, H, W); reshape it or add the missing axis with np.newaxis"),
    "empty axis": (
        "conv2d", (zeros(1, 3, 0, 6), *CONV[1:]), {},
        "conv2d: x (1, 3, 0, 6) is empty along H of (N, C, H, W); give at least 1 there, only N may be 0"),
    "mixed dtypes": (
        "conv2d", (CONV[0], CONV[1].astype(np.float64), CONV[2]), {},
        "conv2d: x is float32 but weight is float64, expected one dtype; "
        "convert one of them, for example with weight.astype(np.float32)"),
    "half precision": (
        "relu", (zeros(2, 3, dtype=np.float16),), {},
        "relu: x is float16, expected float32 or float64; convert it with x.astype(np.float32)"),
    "bytes": (
        "relu", (zeros(2, 3, dtype=np.uint8),), {},
        "relu: x is uint8, expected float32 or float64; convert it with x.astype(np.float32)"),
    "foreign byte order": (
        "relu", (zeros(2, 3, dtype=">f4"),), {},
        "relu: x is >f4, expected float32 or float64; convert it with x.astype(np.float32)"),
    "a list": (
        "relu", ([1.0, -1.0],), {},
        "relu: x is a list, expected a NumPy array; convert it with np.asarray(x, np.float32)"),
    "nothing to mirror": (
        "reflection_pad2d", (zeros(1, 2, 5, 1),), {},
        "reflection_pad2d: x (1, 2, 5, 1) has no 1 pixels beside its border to mirror; give a larger x or a smaller size"),
    "padding": (
        "conv2d", CONV, {"padding": -1},
        "conv2d: padding is -1, expected a whole number of at least 0; change padding"),
    "pool larger than picture": (
        "maxpool2d", (zeros(1, 2, 1, 7),), {},
        "maxpool2d: x (1, 2, 1, 7) is smaller than one window of 2×2; give a larger x or a smaller window"),
    "pool of no size": (
        "maxpool2d", (zeros(1, 2, 4, 7),), {"size": 0},
        "maxpool2d: size is 0, expected a whole number of at least 1; change size"),
    "fractional stride": (
        "maxpool2d", (zeros(1, 2, 4, 7),), {"stride": 1.5},
        "maxpool2d: stride is 1.5, expected a whole number of at least 1; change stride"),
    "statistics": (
        "batchnorm2d", (*NORM[:3], zeros(4), NORM[4]), {},
        "batchnorm2d: x (1, 3, 8, 6) has 3 channels but mean (4,) holds 4; give it a mean of shape (3,)"),
    "negative eps": (
        "batchnorm2d", NORM, {"eps": -1.0},
        "batchnorm2d: eps is -1.0, expected a number of at least 0; change eps"),
    "features": (
        "dense", (zeros(1, 512), zeros(4096, 25088), zeros(4096)), {},
        "dense: x (1, 512) has 512 features but weight (4096, 25088) expects 25088; "
        "give it an x with 25088 features or the weight of another layer"),
    "dense bias": (
        "dense", (zeros(1, 4), zeros(3, 4), zeros(1)), {},
        "dense: weight (3, 4) has 3 outputs but bias (1,) holds 1; give it a bias of shape (3,)"),
    "bias as matrix": (
        "dense", (zeros(1, 4), zeros(3, 4), zeros(3, 1)), {},
        "dense: bias (3, 1) has 2 axes, expected 1, (outputs,); reshape it or add the missing axis with np.newaxis"),
    "window of no channel": (
        "local_response_norm", (zeros(1, 4, 2, 3),), {"size": 0},
        "local_response_norm: size is 0, expected a whole number of at least 1; change size"),
    "alpha is text": (
        "local_response_norm", (zeros(1, 4, 2, 3),), {"alpha": "1e-4"},
        "local_response_norm: alpha is '1e-4', expected a number; change alpha"),
    "no bins": (
        "adaptive_avgpool2d", (zeros(1, 4, 2, 3),), {"size": 0},
        "adaptive_avgpool2d: size is 0, expected a whole number of at least 1; change size"),
    "no classes": (
        "softmax", (zeros(3, 0),), {},
        "softmax: x (3, 0) has no classes along its last axis; give at least one"),
    "a single number": (
        "log_softmax", (zeros(),), {},
        "log_softmax: x () has no classes along its last axis; give at least one"),
    "flat already": (
        "flatten", (zeros(7),), {},
        "flatten: x (7,) has 1 axes, expected at least 2, the first for the images; add one with x[np.newaxis]"),
    "no probability": (
        "dropout", (zeros(7),), {"p": 1.5},
        "dropout: p is 1.5, expected a number from 0 to 1; change p"),
}


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("op, arrays, options, sentence", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(tier, op, arrays, options, sentence):
    with pytest.raises(UsageError) as refusal:
        tiers.choose(tier)[op](*arrays, **options)
    assert str(refusal.value) == sentence
    assert isinstance(refusal.value, ShapeError) or options


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("window, stride, padding", [(1, 1, 0), (2, 2, 0), (2, 3, 0), (3, 1, 1), (3, 2, 0), (5, 4, 2)])
@pytest.mark.parametrize("ceil_mode", [False, True], ids=["floor", "ceil"])
def test_output_size_is_pytorchs(size, window, stride, padding, ceil_mode):
    torch = pytest.importorskip("torch")
    ours = contracts.output_size(size, window, stride, padding, ceil_mode)
    try:
        theirs = torch.nn.functional.max_pool2d(torch.zeros(1, 1, size, 99), (window, 1), (stride, 1), (padding, 0),
                                                ceil_mode=ceil_mode).shape[2]
    except RuntimeError as error:
        assert "too small" in str(error)
        assert ours < 1
    else:
        assert ours == theirs


def test_output_size_keeps_the_size_under_odd_filters_padded_by_half():
    assert [contracts.output_size(size, 2 * half + 1, 1, half) for size in (1, 7, 224) for half in (0, 1, 3)] == [
        1, 1, 1, 7, 7, 7, 224, 224, 224]


def test_the_last_window_starts_inside_the_picture():
    """With stride 3 a third window of 2 would begin behind the seventh pixel's neighbour, outside."""
    assert contracts.output_size(6, 2, 3, ceil_mode=True) == 2
    assert contracts.output_size(7, 2, 3, ceil_mode=True) == 3
