"""16 bits against NumPy's float16 and PyTorch's bfloat16, to the bit."""
import numpy as np
import pytest

from npvgg import network, weights
from npvgg.errors import HashMismatchError, UsageError
from npvgg.storage import half_precision
from npvgg.storage.half_precision import narrowed, widened
from npvgg.weights_page import inspect


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(4000) * 10.0 ** rng.uniform(-9, 4, 4000)).astype(np.float32)
    return np.concatenate([values, np.float32([0, -0.0, 1, 65504, 2**-24, 2**-25, 1 + 2**-11, 1 + 3 * 2**-11])])


def test_bfloat16_is_pytorchs(numbers):
    torch = pytest.importorskip("torch")
    theirs = torch.tensor(numbers).to(torch.bfloat16)
    assert narrowed(numbers, "bfloat16").tobytes() == theirs.view(torch.int16).numpy().tobytes()
    assert np.array_equal(widened(narrowed(numbers, "bfloat16")), theirs.float().numpy())


def test_float16_is_numpys(numbers):
    assert narrowed(numbers, "float16").tobytes() == numbers.astype(np.float16).tobytes()
    assert narrowed(numbers, "float32") is numbers


@pytest.mark.parametrize("store", ["float16", "bfloat16"])
def test_a_number_that_was_rounded_stays(numbers, store):
    once = widened(narrowed(numbers, store))
    assert np.array_equal(widened(narrowed(once, store)), once) and once.dtype == np.float32
    special = np.float32([np.nan, np.inf, -np.inf])
    assert np.array_equal(widened(narrowed(special, store)), special, equal_nan=True)


def test_what_is_too_large_is_refused():
    with pytest.raises(UsageError, match="7e.04 is too large for float16; store it as bfloat16"):
        narrowed(np.float32([7e4]), "float16")
    with pytest.raises(UsageError, match="store is 'half'"):
        narrowed(np.float32([1]), "half")


@pytest.mark.parametrize("store", ["float16", "bfloat16"])
def test_a_weights_file_is_half_as_large_and_says_so(tiny, tmp_path, store):
    half, whole = tiny.save(tmp_path / "half.h5", store=store), tiny.save(tmp_path / "whole.h5")
    dtypes = {tensor.path: tensor.dtype for tensor in inspect(half).tensors}
    assert dtypes["conv1_1/weight"] == store and dtypes["conv1_1/bias"] == dtypes["bn1_1/var"] == "float32"
    many = sum(array.nbytes for array in tiny.parameters.values() if array.ndim > 1)
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(many / 2, abs=64 * len(tiny.parameters))
    vgg = network.load_file(half, verify=True)
    assert vgg.dtype == np.float32 and vgg.run_self_test() < 1e-4 and vgg.run_layer_test() < 1e-9
    for path, array in tiny.parameters.items():
        assert np.array_equal(vgg.parameters[path], widened(narrowed(array, store)) if array.ndim > 1 else array)
    again = vgg.save(tmp_path / "again.h5", store=store)
    assert {path: array.tobytes() for path, array in weights.read(again).parameters.items()} == \
        {path: array.tobytes() for path, array in vgg.parameters.items()}


def test_a_flipped_bit_is_noticed(tiny, tmp_path):
    path = tiny.save(tmp_path / "half.h5", store="float16")
    data, wanted = bytearray(path.read_bytes()), narrowed(tiny.parameters["conv5_2/weight"], "float16").tobytes()
    data[data.index(wanted) + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(HashMismatchError, match="conv5_2/weight"):
        weights.read(path, verify=True)


def test_a_parameter_too_large_is_named(tiny, tmp_path):
    big = tiny.with_parameters({"conv2_1/weight": tiny.parameters["conv2_1/weight"] * np.float32(1e6)})
    with pytest.raises(UsageError, match="conv2_1/weight: .* is too large for float16"):
        big.save(tmp_path / "half.h5", store="float16")
    assert not list(tmp_path.iterdir())


def test_a_network_of_halves_travels(tiny, tmp_path):
    import pickle

    vgg = network.load_file(tiny.save(tmp_path / "half.h5", store="bfloat16"))
    x = np.ones((1, 3, 32, 32), np.float32)
    assert np.array_equal(pickle.loads(pickle.dumps(vgg))(x * 0.5), vgg(x * 0.5))
    assert vgg.using(dtype=np.float64).dtype == np.float64


def test_the_converter_stores_so(tiny_file, tmp_path):
    from weights_convert.convert import convert

    convert(tiny_file, tmp_path / "half.h5", store="float16")
    assert network.load_file(tmp_path / "half.h5").class_names == ("ant", "bee", "cat", "dog")
    assert half_precision.STORES == ("float32", "float16", "bfloat16")
    with pytest.raises(UsageError, match="--store"):
        convert(tiny_file, tmp_path / "half.npz", store="float16")
