"""Every key once, every shape right."""
import numpy as np
import pytest

from npvgg.errors import BadFileError
from weights_convert import arrangement
from weights_convert.schemes.naming import Place
from weights_convert.verify import placed

SHAPES = {"conv1_1/weight": (2, 3, 3, 3), "conv1_1/bias": (2,)}
MAPPING = {"f.0.weight": Place("conv1_1/weight", arrangement.same((2, 3, 3, 3))),
           "f.0.bias": Place("conv1_1/bias", arrangement.same((2,)))}


def tensors(**changes):
    good = {"f.0.weight": np.ones((2, 3, 3, 3), np.float32), "f.0.bias": np.zeros(2, np.float32)}
    return {key: array for key, array in (good | changes).items() if array is not None}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_everything_in_its_place_becomes_float32(dtype):
    found = placed({key: array.astype(dtype) for key, array in tensors().items()}, MAPPING, SHAPES)
    assert {path: (array.shape, array.dtype.name) for path, array in found.items()} == {
        path: (shape, "float32") for path, shape in SHAPES.items()}


def test_ignorable_keys_may_be_there():
    assert placed(tensors(count=np.array(1)), MAPPING, SHAPES, {"count", "absent"}).keys() == SHAPES.keys()


@pytest.mark.parametrize("changes, text", [
    ({"f.0.bias": None}, r"f.0.bias \(2,\) is missing"),
    ({"extra": np.zeros(4)}, r"extra \(4,\) has no place"),
    ({"f.0.weight": np.ones((3, 2, 3, 3))}, r"f.0.weight has shape \(3, 2, 3, 3\) where \(2, 3, 3, 3\) belongs"),
    ({"f.0.bias": np.zeros(2, int)}, "f.0.bias is int64 where floating point belongs"),
    ({"f.0.bias": np.array([0, np.nan])}, "f.0.bias holds NaN or infinity"),
    ({"f.0.bias": np.array([0, 1e300])}, "f.0.bias holds NaN or infinity"),
    ({f"extra{k}": np.zeros(1) for k in range(5)}, "; .*, and 2 more"),
], ids=["missing", "left over", "misshapen", "integer", "NaN", "too large for float32", "many"])
@pytest.mark.filterwarnings("error")
def test_what_does_not_fit_is_named(changes, text):
    with pytest.raises(BadFileError, match=text) as caught:
        placed(tensors(**changes), MAPPING, SHAPES)
    (table,) = caught.value.__notes__
    assert all(key in table for key in changes)


def test_a_tensor_is_brought_into_our_order():
    weight = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
    places = MAPPING | {"f.0.weight": Place("conv1_1/weight", arrangement.channels_last((2, 3, 3, 3)))}
    found = placed(tensors() | {"f.0.weight": weight}, places, SHAPES)
    assert np.array_equal(found["conv1_1/weight"], weight.transpose(3, 2, 0, 1))
    with pytest.raises(BadFileError, match=r"f.0.weight has shape \(2, 3, 3, 3\) where \(3, 3, 3, 2\) belongs"):
        placed(tensors(), places, SHAPES)
