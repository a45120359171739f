"""Each tier against PyTorch, against the others, and against an exact answer."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses.operations import CASES, Case, gap, pytorch, same_bits

from npvgg.kernels import tiers

TIERS = {tier: tiers.choose(tier) for tier in tiers.LADDER}
each_tier = pytest.mark.parametrize("tier", tiers.LADDER)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

EPS = np.finfo(np.float32).eps


@each_tier
@each_case
def test_float64_is_pytorchs_float64(case, tier):
    pytest.importorskip("torch")
    arrays = case.arrays(np.float64)
    answer, theirs = TIERS[tier][case.op](*arrays, **case.options), pytorch(case, arrays)
    assert answer.shape == theirs.shape and answer.dtype == np.float64
    assert gap(answer, theirs) < 1e-14


@each_tier
@each_case
def test_float32_errs_little_more_than_pytorch(case, tier):
    """Measured against float64; a few roundings are free, for on tiny inputs PyTorch may be exact by luck.

    Winograd's transforms round too, which a sum of few products does not hide; what it costs a whole network is measured in
    tests/test_plan.py.
    """
    pytest.importorskip("torch")
    arrays = case.arrays()
    answer, theirs = TIERS[tier][case.op](*arrays, **case.options), pytorch(case, arrays)
    exact = pytorch(case, [array.astype(np.float64) for array in arrays])
    assert answer.shape == theirs.shape and answer.dtype == np.float32
    times, roundings = (4, 8) if tier == "engine" else (2, 4)
    assert gap(answer, exact) <= max(times * gap(theirs, exact), roundings * EPS)


LONG_SUMS = {
    "conv2d-K-4608": Case("conv2d", ((1, 512, 14, 13), (19, 512, 3, 3), (19,))),
    "dense-K-25088": Case("dense", ((3, 25088), (41, 25088), (41,))),
}


@pytest.mark.parametrize("case", LONG_SUMS.values(), ids=LONG_SUMS)
def test_long_sums_of_the_jit_tier_err_no_more_than_pytorch(case):
    """On activations as they are (not negative) and centred weights; the largest error and the rms."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(shape, np.float32) for shape in case.shapes]
    arrays[0] = np.maximum(arrays[0], 0)
    answer, theirs = TIERS["jit"][case.op](*arrays, **case.options), pytorch(case, arrays)
    exact = pytorch(case, [array.astype(np.float64) for array in arrays])

    def rms(y):
        return np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact ** 2))

    assert gap(answer, exact) <= 2 * gap(theirs, exact)
    assert rms(answer) <= 2 * rms(theirs)
    assert rms(answer) < 3e-7                       # what cutting the sum buys; one chain of 4608 products has 8e-7


@each_case
def test_tiers_agree(case):
    arrays = case.arrays(np.float64, seed=1)
    defined, *answers = (TIERS[tier][case.op](*arrays, **case.options) for tier in tiers.LADDER)
    for answer in answers:
        assert answer.shape == defined.shape
        assert gap(answer, defined) < 1e-14


@each_tier
@each_case
def test_arguments_are_only_read(case, tier, tmp_path):
    """The same from arrays that are read-only, mapped from a file, strided or misaligned, and none is changed."""
    arrays = case.arrays()
    expected = TIERS[tier][case.op](*arrays, **case.options)
    for form in (locked, mapped, strided, misaligned):
        copies = [form(array, tmp_path) for array in arrays]
        answer = TIERS[tier][case.op](*copies, **case.options)
        if tier != "reference":
            assert same_bits(answer, expected), form
        else:                                       # BLAS may sum in another order where the strides are others
            assert gap(answer, expected) <= 1e-6, form
        assert all(same_bits(np.array(array), before) for array, before in zip(copies, arrays)), form


def locked(array, _):
    array = array.copy()
    array.flags.writeable = False
    return array


def mapped(array, folder):
    if not array.size:
        return array
    path = folder / f"{len(list(folder.iterdir()))}.raw"           # one each: a mapped file must not be written again
    array.tofile(path)
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def strided(array, _):
    return np.repeat(array, 3, axis=-1)[..., ::3]


def misaligned(array, _):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LOOPS = ("reference", "jit")           # in float64, which the engine leaves to them
sizes = st.integers(1, 20)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 3), c=st.integers(1, 6), o=st.integers(1, 9), height=sizes, width=sizes, kh=st.integers(1, 4),
       kw=st.integers(1, 4), padding=st.integers(0, 2), seed=st.integers(0, 99))
def test_convolutions_of_any_shape_agree(n, c, o, height, width, kh, kw, padding, seed):
    if height + 2 * padding < kh or width + 2 * padding < kw:
        return
    arrays = Case("conv2d", ((n, c, height, width), (o, c, kh, kw), (o,))).arrays(np.float64, seed)
    defined, answer = (TIERS[tier]["conv2d"](*arrays, padding=padding) for tier in LOOPS)
    assert answer.shape == defined.shape == (n, o, height + 2 * padding - kh + 1, width + 2 * padding - kw + 1)
    assert gap(answer, defined) < 1e-14


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(0, 2), st.integers(1, 3), sizes, sizes), size=st.integers(1, 4),
       stride=st.integers(1, 4), ceil_mode=st.booleans(), seed=st.integers(0, 99))
def test_pools_of_any_shape_agree(shape, size, stride, ceil_mode, seed):
    if min(shape[2:]) < size:
        return
    x, = Case("maxpool2d", (shape,)).arrays(np.float64, seed)
    defined, answer = (TIERS[tier]["maxpool2d"](x, size=size, stride=stride, ceil_mode=ceil_mode)
                       for tier in LOOPS)
    assert same_bits(answer, defined)


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(0, 2), st.integers(1, 3), sizes, sizes), size=st.integers(1, 9),
       seed=st.integers(0, 99))
def test_adaptive_pools_of_any_shape_agree(shape, size, seed):
    x, = Case("adaptive_avgpool2d", (shape,)).arrays(np.float64, seed)
    defined, answer = (TIERS[tier]["adaptive_avgpool2d"](x, size=size) for tier in LOOPS)
    assert answer.shape == defined.shape
    assert abs(answer - defined).max(initial=0) < 1e-14


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 4), inputs=st.integers(1, 400), outputs=st.integers(1, 9), seed=st.integers(0, 99))
def test_dense_layers_of_any_shape_agree(n, inputs, outputs, seed):
    arrays = Case("dense", ((n, inputs), (outputs, inputs), (outputs,))).arrays(np.float64, seed)
    defined, answer = (TIERS[tier]["dense"](*arrays) for tier in LOOPS)
    assert answer.shape == defined.shape
    assert abs(answer - defined).max(initial=0) < 1e-13 * inputs
