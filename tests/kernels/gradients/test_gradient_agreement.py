"""Every gradient against PyTorch's, against the other tier's, against differences, and as the adjoint of what is linear."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses.gradients import BACKWARD, GRADIENT_CASES, TIERS, WITH_IMAGES, arrays_of, forward, gradients
from witnesses.gradients import gradients_of_torch as theirs
from witnesses.operations import Case, distinct, gap, same_bits

with_torch = pytest.mark.usefixtures("one_torch_thread")
EPS = np.finfo(np.float32).eps
LINEAR = ("conv2d", "avgpool2d", "adaptive_avgpool2d", "reflection_pad2d", "flatten", "dense", "dropout")
each_tier = pytest.mark.parametrize("tier", TIERS)
each_case = pytest.mark.parametrize("case", WITH_IMAGES.values(), ids=WITH_IMAGES)


@with_torch
@each_tier
@each_case
def test_float64_is_pytorchs_float64(case, tier):
    g, arrays = arrays_of(case)
    ours, expected = gradients(case, g, arrays, tier), theirs(case, g, arrays)
    assert ours.keys() == expected.keys()
    for name, gradient in ours.items():
        assert gradient.shape == expected[name].shape and gradient.dtype == np.float64
        assert near(gradient, expected[name], 1e-13), name


@with_torch
@each_tier
@each_case
def test_float32_errs_little_more_than_pytorch(case, tier):
    """Measured against float64; a few roundings are free, for on tiny inputs PyTorch may be exact by luck."""
    g, arrays = arrays_of(case, np.float32)
    ours, expected = gradients(case, g, arrays, tier), theirs(case, g, arrays)
    exact = theirs(case, g.astype(np.float64), [array.astype(np.float64) for array in arrays])
    for name, gradient in ours.items():
        assert gradient.dtype == np.float32
        allowed = max(2 * abs(expected[name] - exact[name]).max(), 6 * EPS * abs(exact[name]).max())
        assert abs(gradient - exact[name]).max() <= allowed, name


@with_torch
@pytest.mark.parametrize("shapes", [((8, 64, 32, 32), (64, 64, 3, 3)), ((32, 128, 8, 8), (96, 128, 3, 3))],
                         ids=["large maps", "small maps"])
def test_long_sums_of_the_jit_tier_err_no_more_than_pytorch(shapes):
    """On activations as they are (not negative) and centred weights; PyTorch in its contiguous format."""
    rng = np.random.default_rng(3)
    x, weight = (rng.standard_normal(shape, np.float32) for shape in shapes)
    g = rng.standard_normal((len(x), len(weight), *x.shape[2:]), np.float32)
    case, arrays = Case("conv2d", (*shapes, (len(weight),))), [np.maximum(x, 0), weight, np.zeros(len(weight), np.float32)]
    ours, expected = gradients(case, g, arrays, "jit"), theirs(case, g, arrays)
    exact = theirs(case, g.astype(np.float64), [array.astype(np.float64) for array in arrays])
    for name, gradient in ours.items():
        assert gap(gradient, exact[name]) <= 2 * gap(expected[name], exact[name]), name
        assert gap(gradient, exact[name]) < 1e-6


@pytest.mark.parametrize("case", GRADIENT_CASES.values(), ids=GRADIENT_CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiers_agree(case, dtype):
    g, arrays = arrays_of(case, dtype, seed=1)
    defined, answer = (gradients(case, g, arrays, tier) for tier in TIERS)
    assert defined.keys() == answer.keys()
    for name, gradient in answer.items():
        assert gradient.shape == defined[name].shape and gradient.dtype == defined[name].dtype == dtype
        assert near(gradient, defined[name], 1e-5 if dtype == np.float32 else 1e-13), name


@each_tier
@each_case
def test_gradients_are_the_slopes_of_differences(case, tier):
    """d/dh Σ g·op(x + h·d) by central differences, along one random direction d of all arguments."""
    g, arrays = arrays_of(case)
    ours = gradients(case, g, arrays, tier)
    learned, rng, h = len(ours), np.random.default_rng(5), 1e-6
    directions = [rng.standard_normal(array.shape) for array in arrays[:learned]]

    def value(step):
        moved = [array + step * direction for array, direction in zip(arrays, directions)] + arrays[learned:]
        return np.vdot(g, forward(case, moved, tier))

    slope = sum(np.vdot(direction, ours[name]) for name, direction in zip(("x", "weight", "bias"), directions))
    scale = sum(np.linalg.norm(direction) * np.linalg.norm(ours[name]) for name, direction in zip(ours, directions))
    assert abs((value(h) - value(-h)) / (2 * h) - slope) <= 1e-7 * max(scale, 1)


@each_tier
@pytest.mark.parametrize("name", [name for name, case in WITH_IMAGES.items() if case.op in LINEAR])
def test_the_gradient_of_what_is_linear_is_its_adjoint(name, tier):
    """⟨op(d), g⟩ = ⟨d, gradient(g)⟩, without the bias, which is not linear but added."""
    case = WITH_IMAGES[name]
    g, arrays = arrays_of(case)
    if len(arrays) == 3:
        arrays[2] = np.zeros_like(arrays[2])
    ours = gradients(case, g, arrays, tier)
    for position, kind in enumerate(("x", "weight")[:len(arrays)]):
        d = distinct(arrays[position].shape, np.random.default_rng(9))
        moved = [*arrays[:position], d, *arrays[position + 1:]]
        expected = np.vdot(forward(case, moved, tier), g)
        np.testing.assert_allclose(np.vdot(d, ours[kind]), expected, rtol=1e-11, atol=1e-11)


@each_tier
@pytest.mark.parametrize("name", [name for name in GRADIENT_CASES if name.endswith("no-image")])
def test_no_image_gives_empty_gradients_and_zeros(name, tier):
    case = GRADIENT_CASES[name]
    g, arrays = arrays_of(case)
    for kind, gradient in gradients(case, g, arrays, tier).items():
        assert not gradient.size if kind == "x" else not gradient.any()


@each_tier
@pytest.mark.parametrize("op", ["conv2d", "dense", "batchnorm2d", "batchnorm1d"])
def test_what_is_not_wanted_is_not_given(op, tier):
    case = WITH_IMAGES[{"conv2d": "conv2d-3x3"}.get(op, op)]
    g, arrays = arrays_of(case)
    whole = gradients(case, g, arrays, tier)
    for wanted in ([], ["x"], ["bias", "weight"], ("weight",)):
        part = BACKWARD[tier][op](g, *arrays, **case.options, wanted=wanted)
        assert part.keys() == set(wanted)
        assert all(same_bits(gradient, whole[name]) for name, gradient in part.items())


@each_tier
@each_case
def test_arguments_are_only_read(case, tier):
    """The same from read-only, strided arrays, and none is changed."""
    g, arrays = arrays_of(case)
    expected = gradients(case, g, arrays, tier)
    copies = [np.repeat(array, 3, axis=-1)[..., ::3] for array in (g, *arrays)]
    for copy in copies:
        copy.flags.writeable = False
    answer = gradients(case, copies[0], copies[1:], tier)
    assert all(near(answer[name], expected[name], 1e-14) for name in expected)
    assert all(same_bits(np.array(copy), array) for copy, array in zip(copies, (g, *arrays)))


@each_tier
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7, 4)])
def test_statistics_are_those_of_numpy_also_where_the_mean_is_large(shape, tier):
    x = distinct(shape, np.random.default_rng(0)).astype(np.float32) + np.float32(1000)
    axes = (0, *range(2, len(shape)))
    mean, var = BACKWARD[tier]["batch_statistics"](x)
    assert mean.dtype == var.dtype == np.float32 and mean.shape == var.shape == shape[1:2]
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axes), rtol=1e-7)
    np.testing.assert_allclose(var, x.astype(np.float64).var(axes), rtol=1e-6)


sizes = st.integers(1, 13)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 3), c=st.integers(1, 5), o=st.integers(1, 7), height=sizes, width=sizes, kh=st.integers(1, 4),
       kw=st.integers(1, 4), padding=st.integers(0, 4), seed=st.integers(0, 99))
def test_convolutions_of_any_shape_agree(n, c, o, height, width, kh, kw, padding, seed):
    if height + 2 * padding < kh or width + 2 * padding < kw:
        return
    case = Case("conv2d", ((n, c, height, width), (o, c, kh, kw), (o,)), {"padding": padding})
    check_tiers(case, seed)


@settings(max_examples=60, deadline=None)
@given(op=st.sampled_from(["maxpool2d", "avgpool2d"]), shape=st.tuples(st.integers(0, 2), st.integers(1, 3), sizes, sizes),
       size=st.integers(1, 4), stride=st.integers(1, 4), ceil_mode=st.booleans(), seed=st.integers(0, 99))
def test_pools_of_any_shape_agree(op, shape, size, stride, ceil_mode, seed):
    if min(shape[2:]) < size:
        return
    options = {"size": size, "stride": stride} | ({"ceil_mode": ceil_mode} if op == "maxpool2d" else {})
    check_tiers(Case(op, (shape,), options), seed)


@settings(max_examples=60, deadline=None)
@given(op=st.sampled_from(["adaptive_maxpool2d", "adaptive_avgpool2d"]), size=st.integers(1, 9),
       shape=st.tuples(st.integers(0, 2), st.integers(1, 3), sizes, sizes), seed=st.integers(0, 99))
def test_adaptive_pools_of_any_shape_agree(op, shape, size, seed):
    check_tiers(Case(op, (shape,), {"size": size}), seed)


def check_tiers(case, seed):
    g, arrays = arrays_of(case, np.float64, seed)
    defined, answer = (gradients(case, g, arrays, tier) for tier in TIERS)
    assert all(near(answer[name], defined[name], 1e-13, least=1) for name in defined)        # a single sum may come to nothing


def near(answer, exact, bound, least=0):
    """Whether the largest difference is at most `bound` of the largest value."""
    return answer.shape == exact.shape and bool((abs(answer - exact) <= bound * abs(exact).max(initial=least)).all())
