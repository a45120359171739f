"""Random networks beside their twins in PyTorch: any table, width, head, picture, batch, tier, algorithm, kept layers.

NPVGG_FUZZ_SECONDS lengthens the run; NPVGG_FUZZ_SEED sets the first network, and a failure names its own.

Laws, against the twin in float64, of the largest gap ÷ the size of the layer:

    kept        at most max(3 × PyTorch's in float32, 2e-6), and at most 5e-6
    logits      so, too, and whatever a network ends in; besides, in all but one of a hundred networks, at most
                max(2 × PyTorch's, 1e-6).  Of few numbers the largest error is a matter of chance, ours and PyTorch's: of 2347
                networks four were above, by 0.2 to 20 %
    float64     at most 1e-12
    bits        any number of threads, split of the batch and set of kept layers gives the same; of the reference tier, whose
                matrix products are NumPy's, any set of kept layers
    data        names, parameters and shapes are the twin's; the architecture comes back from its JSON
    gradients   of all parameters and of the pictures, at inference and in training, by the reference and jit tiers in float64:
                at most 1e-9 of the largest number of the tensor, or 1e-12 of the largest of all: what is smaller is rounding
"""
import math
import os
import time
import traceback
from typing import NamedTuple

import numpy as np
import pytest
from witnesses.networks import stirred

from npvgg import images, initialisation, network
from npvgg.architecture import CHANNELS, NAMES, POOLINGS, Architecture
from npvgg.counting import describe
from npvgg.differentiation import Backward
from npvgg.errors import UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.tiers import ALGORITHMS
from npvgg.runner import Options

torch = pytest.importorskip("torch")

SECONDS = float(os.environ.get("NPVGG_FUZZ_SECONDS", 5))
FIRST_SEED = int(os.environ.get("NPVGG_FUZZ_SEED", 0))

USUALLY, ALWAYS, MOST = (2, 1e-6), (3, 2e-6), 5e-6       # times PyTorch's, or at least
RARE = 100                      # networks, one of which may be above USUALLY
FEW = 32                        # numbers a picture; of fewer all may happen to be small
LARGE_EVERY = 12                # networks
# Multiply–adds of a batch: most networks take a tenth of a second, and one in LARGE_EVERY up to three.
LIMITS = {"engine": (5e7, 3e9), "jit": (3e7, 2e8), "reference": (1e7, 5e7), "gradients": 3e6}
LARGEST_HEAD = 4_000_000        # parameters


class Case(NamedTuple):
    """One network, its pictures, and what is asked of it."""

    net: Architecture
    parameters: dict
    x: np.ndarray
    options: Options
    kept: list


def test_fuzz_random_networks_against_their_twins(one_torch_thread):
    end, seed, wrong, large = time.monotonic() + SECONDS, FIRST_SEED, [], []
    while seed == FIRST_SEED or time.monotonic() < end:
        try:
            wrong += violations(seed, large)
        except Exception:
            wrong.append(f"seed {seed}: {traceback.format_exc()}")
        seed += 1
    count = seed - FIRST_SEED
    print(f"{count} networks", *large, sep="\n")
    assert not wrong, "\n".join(wrong)
    assert len(large) <= 1 + count // RARE, "\n".join(large)


def test_fuzz_gradients_of_random_networks_against_their_twins(one_torch_thread):
    end, seed, wrong = time.monotonic() + SECONDS / 2, FIRST_SEED, []
    while seed == FIRST_SEED or time.monotonic() < end:
        try:
            wrong += wrong_gradients(np.random.default_rng(seed), seed)
        except Exception:
            wrong.append(f"seed {seed}: {traceback.format_exc()}")
        seed += 1
    print(f"gradients of {seed - FIRST_SEED} networks")
    assert not wrong, "\n".join(wrong)


def wrong_gradients(rng, seed):
    """The gradients of the network of that seed that are not PyTorch's, a sentence each."""
    from witnesses.torch_training import LearningTwin

    net, shape = next(fit for fit in (fitting(rng, LIMITS["gradients"], False) for _ in range(1000)) if fit)
    initial = stirred(initialisation.initial(net, seed=seed, how="he"), seed)
    parameters = {path: array.astype(np.float64) for path, array in initial.items()}
    x = pictures(rng, (1 + shape[0] % 5, *shape[1:]))
    rows = describe(net, shape[2:])
    is_training = rng.random() < 0.5 and net.eps > 0 and all(
        len(x) * math.prod(row.output_shape[1:]) > 1 for row in rows if row.layer.op.startswith("batchnorm"))
    masks = {row.layer.name: rng.random((len(x), *row.output_shape)) < 0.6 for row in rows
             if row.layer.op == "dropout" and is_training}
    twin, inputs = LearningTwin(net, parameters, is_training), torch.tensor(x, requires_grad=True)
    answer = twin.logits(inputs, masks)
    g = rng.standard_normal(answer.shape)
    answer.backward(torch.tensor(g))
    exact = {path: parameter.grad.numpy() for path, parameter in twin.learned().items()} | {"input": inputs.grad.numpy()}
    largest = max(np.abs(gradient).max() for gradient in exact.values())
    for tier in tiers.LADDER[:2]:
        found = Backward(net, tier)(parameters, x, {net.layers[-1].name: g}, training=is_training, masks=masks or None,
                                    of=list(exact), checkpoint=bool(rng.random() < 0.3)).gradients
        for path, gradient in exact.items():
            if not np.abs(found[path] - gradient).max() <= max(1e-9 * np.abs(gradient).max(), 1e-12 * largest):
                yield (f"seed {seed}: {net} on {x.shape}, {tier} tier, training {is_training}: the gradient of {path} is off "
                       f"by {np.abs(found[path] - gradient).max() / np.abs(gradient).max():.1e}")


def violations(seed, large):
    """What the network of that seed does against the laws, a sentence each; of logits above USUALLY one is added to `large`."""
    case = drawn(np.random.default_rng(seed), seed)
    vgg = network.VGG(case.net, case.parameters, images.default_preset(case.net), options=case.options)
    told = f"seed {seed}: {case.net} on {case.x.shape} {case.x.dtype}, {case.options}"
    if Architecture.from_json(case.net.to_json()) != case.net:
        yield f"{told}: JSON"
    answers = vgg.runner.features(case.x, case.kept)
    twins, sizes = twin_runs(case)
    for name, answer in answers.items():
        exact = twins["exact"][name]
        if answer.shape != exact.shape or answer.dtype != case.x.dtype:
            yield f"{told}: {name} is {answer.shape} {answer.dtype} instead of {exact.shape}"
        elif answer.size:
            gap, theirs = (np.abs(found - exact).max() / sizes[name] for found in (answer, twins["rounded"][name]))
            sentence = f"{told}: {name} is off by {gap:.2e}, PyTorch by {theirs:.2e}"
            if not gap <= (1e-12 if case.x.dtype == np.float64 else bound(ALWAYS, theirs)):
                yield sentence
            elif name == case.net.layers[-1].name and not gap <= bound(USUALLY, theirs):
                large.append(sentence)
    for name, other in otherwise(np.random.default_rng(seed), vgg, case):
        if not np.array_equal(other, answers[name], equal_nan=True):
            yield f"{told}: {name} has other bits"


def bound(factor_and_least, theirs):
    factor, least = factor_and_least
    return min(max(factor * theirs, least), MOST)


def twin_runs(case):
    """{"exact" | "rounded": {layer: array}} by PyTorch in float64 and float32, and the size of each layer."""
    from witnesses.torch_twin import Twin

    twin = Twin(case.net, case.parameters)
    assert list(twin.steps) == [layer.name for layer in case.net.layers]
    assert twin.paths == list(case.net.parameters)
    runs = {}
    for run, dtype in (("rounded", torch.float32), ("exact", torch.float64)):
        answers = twin.to(dtype)(torch.from_numpy(case.x).to(dtype))
        runs[run] = {name: answer.numpy() for name, answer in answers.items()}
    return runs, sizes_of(twin, case.x, runs["exact"])


def sizes_of(twin, x, exact):
    """{layer: the largest value in it; behind a layer of few numbers, what it could have been if these all happen to be small}.

    Weights w make numbers of the size ‖w‖ · rms(x) of inputs x, and batch norm multiplies by |γ| / √(σ² + ε).  Where ten
    numbers are left and a ReLU makes nine of them 0, what was rounded before is large beside the one that passes.
    """
    sizes, typical, is_narrow = {}, rms(x), False
    for name, module in twin.steps.items():
        gain = 1.0
        if hasattr(module, "running_var"):
            gain = (module.weight.abs() / (module.running_var + module.eps).sqrt()).max().item()
        elif hasattr(module, "weight"):
            gain = module.weight.flatten(1).norm(dim=1).max().item()
        y = exact[name]
        is_narrow = is_narrow or math.prod(y.shape[1:]) < FEW
        typical = max(rms(y), gain * typical if is_narrow else 0)
        sizes[name] = max(np.abs(y).max(initial=0), typical if is_narrow else 0, np.finfo(np.float32).tiny)
    return sizes


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def otherwise(rng, vgg, case):
    """(layer, its output) of the same network, asked in other ways."""
    names = [layer.name for layer in case.net.layers]
    other = vgg.using(threads=int(rng.integers(1, number_of(None) + 1)))
    more = sorted({*case.kept[:1], *rng.choice(names, rng.integers(1, 4))}, key=names.index)
    for name, answer in other.runner.features(case.x, more).items():
        if name in case.kept:
            yield name, answer
    if case.options.tier == tiers.LADDER[0]:
        return
    cuts = sorted(rng.integers(0, len(case.x) + 1, rng.integers(1, 3)))
    pieces = [other.runner.features(piece, case.kept) for piece in np.split(case.x, cuts)]
    for name in case.kept:
        yield name, np.concatenate([piece[name] for piece in pieces])


# ------------------------------------------------------------------------------------------------- drawing one


def drawn(rng, seed):
    """A random Case; one in LARGE_EVERY may be large."""
    is_large = seed % LARGE_EVERY == LARGE_EVERY - 1
    tier = rng.choice(tiers.LADDER, p=(0.1, 0.2, 0.7))
    options = Options(str(tier), int(rng.integers(1, min(8, number_of(None)) + 1)), str(rng.choice(ALGORITHMS)))
    dtype = np.float64 if rng.random() < 0.1 else np.float32
    net, shape = next(fit for fit in (fitting(rng, LIMITS[tier][is_large], is_large) for _ in range(1000)) if fit)
    parameters = stirred(initialisation.initial(net, seed=seed, how="he"), seed)
    names = [layer.name for layer in net.layers]
    kept = {*rng.choice(names, rng.integers(0, 5)), names[-1] if rng.random() < 0.9 else rng.choice(names)}
    return Case(net, {path: array.astype(dtype) for path, array in parameters.items()},
                pictures(rng, shape).astype(dtype), options, sorted(map(str, kept), key=names.index))


def fitting(rng, limit, is_large):
    """An Architecture and the shape (N, C, H, W) of pictures whose multiply–adds are within the limit, or None."""
    side = int(rng.choice((32, 33, 40, 47, 48, 64, 65, 96, rng.integers(32, 401))))
    width = 2 ** rng.uniform(-4, 1 if is_large else -1) if rng.random() < 0.5 else 2.0 ** rng.integers(-4, 2 if is_large else 0)
    head = random_head(rng)
    try:
        net = Architecture(
            str(rng.choice(NAMES)), width=width, input_size=side, head=head,
            output=some(rng, (None, "softmax", "sigmoid", "none")), input_channels=some(rng, CHANNELS),
            pooling=some(rng, tuple(POOLINGS)), bias=bool(rng.random() < 0.7), eps=some(rng, (1e-5, 1e-3, 0.1, 0)),
            padding_mode=some(rng, ("zeros", "zeros", "reflect")))
    except UsageError:                                     # a head whose last numbers cannot mean that
        return None
    is_any_size = "flatten" not in head or any(layer.op.startswith("adaptive") for layer in net.layers)
    size = (side, int(rng.integers(32, side + 33))) if is_any_size else (side, side)
    rows = describe(net, size)
    macs = sum(row.macs for row in rows)
    if macs > limit or sum(row.parameters for row in rows if row.layer.op == "dense") > LARGEST_HEAD:
        return None
    count = min(some(rng, (0, 1, 1, 1, 2, 3, 4, 5, 8, 9, 17, 33, 64, 65, 70)), int(limit // macs))
    return net, (count, net.input_channels, *size)


def random_head(rng):
    """The paper's kind of head, or any words in any order that make sense."""
    if rng.random() < 0.2:
        pooled, *outputs = rng.integers(1, (8, 60, 60, 30))
        return f"avg{pooled} flatten " + " relu drop ".join(map(str, outputs))
    either = ("relu", "drop", "drop0.3", "bn", "bn0.01")
    maps = [some(rng, (*either, *(f"{kind}{rng.integers(1, 8)}" for kind in ("avg", "avg", "max", "max"))))
            for _ in range(rng.integers(0, 4))]
    flat = [some(rng, (*either, *(str(rng.integers(1, 80)) for _ in range(4)))) for _ in range(rng.integers(0, 7))]
    return " ".join(maps if rng.random() < 0.2 else [*maps, "flatten", *flat])


def some(rng, choices):
    return choices[rng.integers(len(choices))]


def pictures(rng, shape):
    """Noise, or waves whose neighbours are alike, of the size of one preset or another."""
    x = rng.standard_normal(shape)
    if rng.random() < 0.5:
        i, j = np.mgrid[:shape[2], :shape[3]] / 20
        phases = rng.uniform(0, 6, (*shape[:2], 1, 1))
        x = np.sin(i + phases) * np.cos(j * 0.7 - phases) + (i > j) + 0.1 * x
    return x * some(rng, (1, 1, 60))
