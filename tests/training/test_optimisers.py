"""Optimisers against PyTorch: a step differs by at most one unit in the last place."""
import numpy as np
import pytest

from npvgg.errors import UsageError
from npvgg.training import clipping, optimisers, updates
from npvgg.training.optimisers import SGD, AdamW

torch = pytest.importorskip("torch")

SGDS = [{}, {"momentum": 0.0}, {"nesterov": True, "decay": 5e-4}, {"dampening": 0.5}, {"decay": 0.1}]
ADAMS = [{}, {"decay": 0.0}, {"betas": (0.5, 0.9), "eps": 1e-4}]


def torch_sgd(values, momentum=0.9, nesterov=False, dampening=0.0, decay=0.0):
    return torch.optim.SGD(values, lr=0.1, momentum=momentum, nesterov=nesterov, dampening=dampening, weight_decay=decay)


def torch_adamw(values, decay=0.01, betas=(0.9, 0.999), eps=1e-8):
    return torch.optim.AdamW(values, lr=0.01, weight_decay=decay, betas=betas, eps=eps)


def check_steps(ours, theirs_of, rate, options, shape=(7, 5)):
    """Five steps with the same gradients; before each, both begin with the same numbers."""
    rng = np.random.default_rng(0)
    p = rng.standard_normal(shape)
    tensor = torch.nn.Parameter(torch.tensor(p))
    theirs = theirs_of([tensor], **options)
    mine = {"fc6/weight": p.copy()}
    for _ in range(5):
        g = rng.standard_normal(shape)
        tensor.grad = torch.tensor(g)
        theirs.step()
        ours.step(mine, {"fc6/weight": g}, rate)
        expected = tensor.detach().numpy()
        assert np.abs(mine["fc6/weight"] - expected).max() <= 4 * np.spacing(np.abs(expected).max())
        np.testing.assert_allclose(mine["fc6/weight"], expected, rtol=4e-16, atol=2e-16)
        mine["fc6/weight"][...] = expected


@pytest.mark.parametrize("options", SGDS, ids=str)
def test_sgd_steps_as_pytorch(options):
    check_steps(SGD(**options), torch_sgd, 0.1, options)


@pytest.mark.parametrize("options", ADAMS, ids=str)
def test_adamw_steps_as_pytorch(options):
    check_steps(AdamW(**options), torch_adamw, 0.01, options)


@pytest.mark.parametrize("options", [*SGDS, {"decoupled": True, "decay": 0.1}], ids=str)
def test_the_kernel_of_sgd_computes_its_formula(options):
    check_kernel(SGD(**options), lambda p, g, kept, _: sgd_by_formula(p, g, kept, options))


def sgd_by_formula(p, g, kept, options):
    p, v = optimisers.sgd(p, g, *kept or [None], rate=0.1, **options)
    return p, [v]


@pytest.mark.parametrize("options", ADAMS, ids=str)
def test_the_kernel_of_adamw_computes_its_formula(options):
    def formula(p, g, kept, step):
        settings = {"betas": (0.9, 0.999), "decay": 0.01} | options
        p, m, s = optimisers.adamw(p, g, *kept or [np.zeros_like(p)] * 2, step=step, rate=0.1, **settings)
        return p, [m, s]

    check_kernel(AdamW(**options), formula)


def check_kernel(optimiser, formula):
    """Three steps of float64 arrays, small and of several spans."""
    for size in (3, updates.FEW + 5):
        rng = np.random.default_rng(size)
        p, kept = rng.standard_normal(size), None
        optimiser.buffers, optimiser.steps = {}, 0
        mine = {"a/weight": p.copy()}
        for step in range(1, 4):
            g = rng.standard_normal(size)
            p, kept = formula(p, g, kept, step)
            optimiser.step(mine, {"a/weight": g}, 0.1)
        np.testing.assert_allclose(mine["a/weight"], p, rtol=1e-14, atol=1e-15)


def test_what_does_not_decay_and_learns_at_another_rate():
    optimiser = SGD(momentum=0.0, decay=0.5, decay_of={"a/bias": 0.0}, rate_of={"b/weight": 10.0})
    parameters = {name: np.ones(2, np.float32) for name in ("a/weight", "a/bias", "b/weight")}
    optimiser.step(parameters, {name: np.zeros(2, np.float32) for name in parameters}, 0.1)
    assert [values[0] for values in parameters.values()] == pytest.approx([0.95, 1.0, 0.5])


@pytest.mark.parametrize("make, telling", [
    (lambda: SGD(momentum=0.0, nesterov=True), "nesterov"), (lambda: SGD(momentum=2), "momentum is 2"),
    (lambda: AdamW(betas=0.9), "betas"), (lambda: AdamW(betas=(0.9, 1)), "nothing is learned"),
    (lambda: SGD(decay=-1), "decay is -1"), (lambda: optimisers.optimiser("adam"), "sgd, adamw"),
])
def test_settings_that_make_no_sense(make, telling):
    with pytest.raises(UsageError, match=telling):
        make()


def test_clipping_is_pytorchs():
    rng = np.random.default_rng(0)
    gradients = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(70_000)}
    tensors = [torch.nn.Parameter(torch.zeros(values.shape)) for values in gradients.values()]
    for tensor, values in zip(tensors, gradients.values(), strict=True):
        tensor.grad = torch.tensor(values, dtype=torch.float32)
    norm = clipping.global_norm(gradients)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(tensors, 2.0).item(), rel=1e-6)
    scaled = gradients["a"] * clipping.scale_for(norm, 2.0)
    np.testing.assert_allclose(scaled, tensors[0].grad.numpy(), rtol=1e-5)
    assert clipping.scale_for(1.0, 2.0) == 1.0 == clipping.scale_for(1.0, None)


def test_gradients_of_parts_add_up():
    total = clipping.add(None, {"a": np.ones(2)}, 0.5)
    assert clipping.add(total, {"a": np.full(2, 3.0)}, 0.5)["a"].tolist() == [2.0, 2.0]


def test_sums_of_squares_have_the_same_bits_for_any_number_of_threads():
    from npvgg.kernels.compiling import threads

    values = np.random.default_rng(0).standard_normal(updates.FEW + 3).astype(np.float32)
    sums = []
    for count in {1, threads.most_threads()}:
        with threads.limited(count):
            sums.append(updates.sum_of_squares(values))
    assert len(set(sums)) == 1 and sums[0] == pytest.approx(np.square(values, dtype=np.float64).sum(), rel=1e-13)
