"""How a network is run: options checked where they are given, one path for forward, features and trace."""
import subprocess
import sys
import threading
import warnings
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import classify, network
from npvgg.errors import ShapeError, TierWarning, UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import number_of
from npvgg.runner import Options, Runner

ROOT = Path(__file__).parents[1]
SIZES = {"width": 1 / 16, "hidden": (10, 7), "num_classes": 5, "pooled_size": 2, "input_size": 64}


def picture(n=2, height=64, width=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3, height, width)).astype(np.float32)


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11_bn", **SIZES)


NUMBER = "this process can use 1 to"
IMPOSSIBLE = {
    "tier": ({"tier": "cuda"}, "there is no kernel tier 'cuda'; choose one of reference, jit, engine"),
    "no tier": ({"tier": None}, "there is no kernel tier None"),
    "a list": ({"tier": ["jit"]}, r"there is no kernel tier \['jit'\]"),
    "none": ({"threads": 0}, f"threads is 0; {NUMBER}"),
    "negative": ({"threads": -1}, f"threads is -1; {NUMBER}"),
    "too many": ({"threads": 10_000}, f"threads is 10000; {NUMBER}"),
    "text": ({"threads": "2"}, f"threads is '2'; {NUMBER}"),
    "a fraction": ({"threads": 1.5}, f"threads is 1.5; {NUMBER}"),
    "a truth": ({"threads": True}, f"threads is True; {NUMBER}"),
    "NumPy's": ({"threads": np.True_}, f"threads is .*True.*; {NUMBER}"),
    "an array": ({"tier": np.zeros(2)}, r"there is no kernel tier array\(\[0., 0.\]\)"),
    "algorithms": ({"algorithm": np.zeros(2)}, r"there is no algorithm array\(\[0., 0.\]\)"),
    "algorithm": ({"algorithm": "fft"}, "there is no algorithm 'fft'; choose one of auto, winograd, direct"),
    "empty": ({"algorithm": ""}, "there is no algorithm ''"),
    "no algorithm": ({"algorithm": None}, "there is no algorithm None"),
}


@pytest.mark.parametrize("options, sentence", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_is_not_possible_is_refused_where_it_is_given(vgg, tiny_file, options, sentence):
    for give in (Options, vgg.using, lambda **options: network.load_file(tiny_file, **options),
                 lambda **options: classify.load(tiny_file, **options), lambda **options: network.create("vgg11", **options)):
        with pytest.raises(UsageError, match=f"^{sentence}"):
            give(**options)


def test_an_option_is_refused_before_a_file_is_looked_for():
    with pytest.raises(UsageError, match="no kernel tier"):
        classify.load("vgg16", tier="cuda", offline=True)
    with pytest.raises(UsageError, match="threads is"):
        network.load_file("/nowhere.h5", threads=0)


def test_options_are_a_value():
    assert Options("jit", np.int64(1)) == Options(tier="jit", threads=1)
    assert type(Options(threads=np.uint8(1)).threads) is int
    with pytest.raises(FrozenInstanceError):
        Options().tier = "jit"
    with pytest.raises(UsageError):
        replace(Options(), threads=0)


def test_threads_go_back_to_all(vgg):
    one = vgg.using(threads=1)
    assert one.options.threads == 1 and one.using(tier="jit").options.threads == 1
    assert one.using(threads=None).options.threads is None
    assert number_of(one.using(threads=None).options.threads) == number_of(None)


def test_the_engine_gets_threads_and_algorithm(vgg, monkeypatch):
    from npvgg.plan import Plan

    run, seen = Plan.run, []

    def noted(self, x, names, threads=None, algorithm="auto"):
        seen.append((threads, algorithm))
        return run(self, x, names, threads, algorithm)

    monkeypatch.setattr(Plan, "run", noted)
    for options in ({}, {"threads": 1}, {"algorithm": "direct"}, {"threads": 1, "algorithm": "winograd"}):
        vgg.using(**options).forward(picture(1))
    assert seen == [(None, "auto"), (1, "auto"), (None, "direct"), (1, "winograd")]


@pytest.mark.parametrize("threads", [1, None])
@pytest.mark.parametrize("options", [{"tier": "jit"}, {"dtype": np.float64}], ids=["jit", "float64"])
def test_numbas_threads_are_as_many_as_asked_for(vgg, threads, options):
    numba = pytest.importorskip("numba")
    runner, seen, before = vgg.using(threads=threads, **options).runner, set(), numba.get_num_threads()
    relu = runner.kernels["relu"]

    def noted(x):
        seen.add(numba.get_num_threads())
        return relu(x)

    runner.chosen = {**runner.kernels, "relu": noted}
    runner.forward(picture(1).astype(vgg.using(**options).dtype))
    assert seen == {number_of(threads) if threads else before} and numba.get_num_threads() == before


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_features_and_trace_are_one_path(vgg, tier, dtype):
    runner, x = vgg.using(tier=tier, dtype=dtype).runner, picture(3, 33, 47).astype(dtype)
    trace = runner.trace(x)
    assert list(trace) == [layer.name for layer in vgg.architecture.layers]
    assert np.array_equal(runner.forward(x), trace["fc8"])
    assert np.array_equal(runner.forward(x, last="features.3"), trace["pool1"])
    some = runner.features(x, ["fc1", "conv2_1", "relu6", "conv2_1"])
    assert list(some) == ["conv2_1", "relu6"]
    assert all(np.array_equal(array, trace[name]) for name, array in some.items())


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_no_pictures_give_no_answers(vgg, tier):
    runner = vgg.using(tier=tier).runner
    trace = runner.trace(picture(1)[:0])
    assert runner.forward(picture(1)[:0]).shape == (0, 5)
    assert all(array.shape == (0, *one.shape[1:]) for array, one in zip(trace.values(), runner.trace(picture(1)).values()))


WRONG = {
    "a list": (lambda x: x.tolist(), r"^x is a list and no NumPy array; convert it with np.array\(x, np.float32\), or give"),
    "a masked array": (np.ma.array, "^x is a MaskedArray and no NumPy array"),
    "one picture": (lambda x: x[0], r"^x has shape \(3, 64, 64\) and this vgg11_bn takes \(N, 3, H, W\); give pictures"),
    "channels last": (lambda x: x.transpose(0, 2, 3, 1), r"^x has shape \(2, 64, 64, 3\) and this vgg11_bn takes"),
    "grey": (lambda x: x[:, :1], r"^x has shape \(2, 1, 64, 64\)"),
    "float64": (lambda x: x.astype(np.float64), r"^x is float64 and the network float32; convert it with x.astype"),
    "whole numbers": (lambda x: x.astype(np.int64), "^x is int64 and the network float32"),
    "truths": (lambda x: x > 0, "^x is bool and the network float32"),
    "byte order": (lambda x: x.astype(x.dtype.newbyteorder()), "^x is [<>]f4 and the network float32"),
    "small": (lambda x: x[:, :, :31], "^a picture of 31×64 vanishes in 5 poolings; give at least 32×32"),
}


@pytest.mark.parametrize("change, sentence", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("tier", tiers.LADDER)
def test_an_input_that_does_not_fit_is_refused(vgg, tier, change, sentence):
    runner = vgg.using(tier=tier).runner
    for call in (runner.forward, runner.trace, lambda x: runner.features(x, ["pool1"])):
        with pytest.raises(ShapeError, match=sentence):
            call(change(picture()))


def test_a_head_of_fixed_size_refuses_other_pictures():
    vgg = network.create("vgg11", width=1 / 32, input_size=64, head="flatten 5")
    with pytest.raises(ShapeError, match="give pictures of 64×64, or a head that pools to a fixed side"):
        vgg.forward(picture(1, 64, 96))


@pytest.mark.parametrize("last", ["conv9_9", "fc9", 3, None.__class__, ["fc8"]], ids=str)
def test_a_layer_that_does_not_exist_is_refused(vgg, last):
    with pytest.raises(UsageError, match="^vgg11_bn has no layer .*; it has conv1_1, bn1_1"):
        vgg.forward(picture(), last=last)


# ------------------------------------------------------------------------------------------------- what is shared


def test_runs_of_the_same_parameters_share_what_was_packed(vgg):
    plan = vgg.runner.plan
    assert plan is not None
    assert vgg.using(threads=1).runner.plan is plan and vgg.using(tier="jit").using(tier="engine").runner.plan is plan
    assert vgg.using(tier="jit").runner.plan is None and vgg.using(dtype=np.float64).runner.plan is None
    assert vgg.with_parameters({"fc8/bias": np.zeros(5, np.float32)}).runner.plan is not plan


def test_threads_that_come_at_once_get_one_runner_and_one_plan():
    vgg, seen, start = lively("vgg11", **SIZES), [], threading.Barrier(8)

    def call():
        start.wait()
        seen.append((vgg.runner, vgg.runner.plan))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(seen) == 8 and len(set(seen)) == 1


def test_a_layer_that_the_engine_lacks_puts_the_network_on_the_tier_below_and_is_said_once(monkeypatch):
    from npvgg import plan

    monkeypatch.setattr(plan, "refused", lambda net: "relu1_1")
    vgg, x = lively("vgg11", **SIZES), picture()
    with pytest.warns(TierWarning, match="^the engine does not know relu1_1, so this vgg11 runs on the jit tier, which is "
                                         "slower; choose tier='jit' where that is meant$") as said:
        answer = vgg.forward(x)
    assert len(said) == 1 and said[0].filename == __file__
    assert np.array_equal(answer, vgg.using(tier="jit")(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vgg.forward(x), vgg.using(threads=1).trace(x), vgg.using(tier="jit").forward(x)


def test_the_reference_tier_runs_without_numba_on_any_number_of_threads():
    code = """
import sys
sys.modules["numba"] = None                   # importing it fails
import numpy as np
from npvgg.architecture import architecture
from npvgg.initialisation import initial
from npvgg.runner import Options, Runner
net = architecture("vgg11_bn", width=1 / 32, hidden=(), num_classes=3, pooled_size=1, input_size=32)
print(Runner(net, initial(net), Options("reference", threads=1)).forward(np.zeros((1, 3, 32, 32), np.float32)).shape)
"""
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert child.stdout == "(1, 3)\n", child.stderr


def test_a_runner_needs_no_vgg(vgg):
    x = picture()
    assert np.array_equal(Runner(vgg.architecture, vgg.parameters).forward(x), vgg.forward(x))


@pytest.mark.parametrize("options", [{}, {"tier": "reference"}, {"dtype": "float64", "tier": "reference"}], ids=str)
@pytest.mark.parametrize("name, fields", [
    ("vgg11_bn", {"head": "avg2 bn flatten 9 bn relu drop 4"}), ("a_lrn", {"head": "max1"}),
    ("vgg11", {"padding_mode": "reflect", "pooling": "avg", "head": "flatten 3"}),
])
def test_a_run_may_begin_at_any_layer(name, fields, options):
    made = lively(name, width=1 / 8, input_size=32, **fields).using(**options)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(made.dtype)
    trace = made.trace(x)
    names = list(trace)
    for before, layer in zip(names, names[1:]):
        assert np.array_equal(made.run_from(layer, trace[before]), trace[names[-1]]), layer
    behind = names[names.index("pool1") + 1]
    assert np.array_equal(made.run_from(behind, trace["pool1"], "pool3"), trace["pool3"])


@pytest.mark.parametrize("first, change, last, words", [
    ("conv9", None, None, "no layer 'conv9'"), ("pool2", None, "conv1_1", "conv1_1 lies before pool2"),
    ("conv2_1", lambda x: x[:, :3], None, "channels"), ("conv2_1", lambda x: x.astype(float), None, "float64"),
    ("conv2_1", lambda x: x.tolist(), None, "no NumPy array"), ("conv2_1", lambda x: x[0], None, "shape"),
    ("conv2_1", lambda x: x[:, :, :2, :2], None, "smaller than one window"),
])
def test_what_a_run_cannot_begin_with_is_refused(vgg, first, change, last, words):
    x = vgg.features(np.zeros((1, 3, 32, 32), np.float32), "pool1")["pool1"]
    with pytest.raises(UsageError, match=words):
        vgg.run_from(first, change(x) if change else x, last)
