"""Plans against the network layer by layer: the same answer, sooner."""
import gc
import threading
import weakref

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import network, plan
from npvgg.architecture import NAMES
from npvgg.errors import ShapeError, TierWarning, UsageError
from npvgg.kernels import tiers
from npvgg.parity import difference

SIZES = {"width": 3 / 32, "hidden": (21, 13), "pooled_size": 3, "num_classes": 5, "input_size": 64}


def picture(n=2, height=64, width=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3, height, width)).astype(np.float32)


@pytest.fixture(scope="module", params=NAMES)
def vgg(request):
    return lively(request.param, **SIZES)


@pytest.mark.parametrize("height, width", [(32, 32), (33, 70), (97, 41), (64, 62)], ids=str)
@pytest.mark.parametrize("algorithm", tiers.ALGORITHMS)
def test_every_network_at_ragged_sizes(vgg, algorithm, height, width):
    x = picture(3, height, width)
    exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    gap = difference.measure(vgg.using(algorithm=algorithm).forward(x), exact).largest_relative
    assert gap <= (2e-6 if algorithm == "direct" else 8e-6)


def test_the_bits_are_the_same_alone_in_a_batch_and_on_one_thread(vgg):
    x = picture(5, 45, 52)
    together = vgg.forward(x)
    for n in range(5):
        assert np.array_equal(vgg.using(threads=1).forward(x[n:n + 1])[0], together[n])
    assert np.array_equal(vgg.forward(x[::-1])[::-1], together)


def test_a_trace_ends_in_the_same_bits_where_the_plan_computes_nothing_otherwise(vgg):
    """A folded batch norm rounds elsewhere, and the plan takes t^¾ by square roots."""
    x = picture(2, 45, 52)
    *_, last = vgg.trace(x).values()
    if vgg.architecture.has_batch_norm or vgg.architecture.name == "a_lrn":
        assert difference.measure(last, vgg.forward(x)).within(1e-5)
    else:
        assert np.array_equal(last, vgg.forward(x))


def test_a_large_batch_is_run_in_pieces(monkeypatch):
    vgg = lively("vgg11", **SIZES)
    x = picture(7, 33, 40)
    together = vgg.forward(x)
    monkeypatch.setattr(plan, "MOST_IMAGES", 3)
    assert np.array_equal(vgg.forward(x), together)
    assert vgg.forward(x[:0]).shape == (0, 5)


def test_features_without_a_classifier_come_out_as_a_map():
    vgg = lively("vgg13_bn", **{**SIZES, "num_classes": None})
    x = picture(2, 50, 70)
    exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    assert vgg.forward(x).shape == exact.shape == (2, 48, 3, 3)
    assert difference.measure(vgg.forward(x), exact).within(1e-5)


def test_features_are_those_of_the_network_layer_by_layer(vgg):
    x = picture(2, 50, 70)
    exact = vgg.using(dtype=np.float64).trace(x.astype(np.float64))
    names = [layer.name for layer in vgg.architecture.layers if vgg.runner.plan.keeps(layer.name)]
    assert {"relu1_1", "pool3", "avgpool", "flatten", "fc6", "relu7", "fc8"} <= set(names)
    together = vgg.features(x, names)
    assert list(together) == names
    for name in names:
        assert together[name].shape == exact[name].shape
        assert difference.measure(together[name], exact[name]).within(1e-5), name
        assert np.array_equal(vgg.features(x, name)[name], together[name]), name
    assert np.array_equal(together["fc8"], vgg.forward(x))
    assert vgg.runner.plan.features(x[:0], ["relu1_1"])["relu1_1"].shape == (0, *together["relu1_1"].shape[1:])


def test_what_exists_in_no_program_is_computed_layer_by_layer():
    vgg = lively("vgg11_bn", **SIZES)
    x = picture(2, 50, 70)
    exact = vgg.using(dtype=np.float64).trace(x.astype(np.float64))
    for name, array in vgg.features(x, ["conv3_1", "bn3_1", "relu3_1"]).items():
        assert difference.measure(array, exact[name]).within(1e-5), name


def test_layers_behind_the_last_one_asked_for_are_not_computed():
    vgg = lively("vgg11", **SIZES)
    vgg.features(picture(), ["relu2_1"])
    assert set(vgg.runner.plan.packed) == {("conv1_1", "first"), ("conv2_1", "F(4×4)")}


def test_weights_are_packed_once_for_all_sizes_and_threads():
    vgg = lively("vgg11", **SIZES)
    vgg.forward(picture())
    packed = dict(vgg.runner.plan.packed)
    vgg.forward(picture(3, 80, 64))
    vgg.using(threads=1).forward(picture())
    assert vgg.using(threads=1).runner.plan is vgg.runner.plan
    assert all(vgg.runner.plan.packed[key] is operation for key, operation in packed.items())


def test_other_parameters_give_another_answer():
    vgg = lively("vgg11_bn", **SIZES)
    x = picture()
    before = vgg.forward(x)
    vgg = vgg.with_parameters({"bn3_1/bias": vgg.parameters["bn3_1/bias"] + 1})
    exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    assert not np.allclose(vgg.forward(x), before)
    assert difference.measure(vgg.forward(x), exact).within(1e-5)


def test_programs_are_kept_for_few_sizes():
    vgg = lively("vgg11", **SIZES)
    for n in range(1, plan.PROGRAMS + 4):
        vgg.forward(picture(n, 32, 32))
    assert len(vgg.runner.plan.programs) == plan.PROGRAMS


def test_memory_is_released_with_the_model():
    vgg = lively("vgg11", **SIZES)
    vgg.forward(picture())
    left = weakref.ref(vgg.runner.plan), weakref.ref(next(iter(vgg.runner.plan.programs.values())))
    del vgg
    gc.collect()
    assert [reference() for reference in left] == [None, None]


def test_the_first_call_may_come_from_many_threads_at_once():
    vgg = lively("vgg11_bn", **SIZES)
    x, answers = picture(), []
    start = threading.Barrier(8)

    def call():
        start.wait()
        answers.append(vgg.forward(x))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 8 and all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_network_with_layers_the_engine_does_not_know_runs_layer_by_layer():
    vgg = lively("vgg11", padding_mode="reflect", **SIZES)
    x = picture()
    with pytest.warns(TierWarning, match="^the engine does not know pad1_1, so this vgg11 runs on the jit tier"):
        assert vgg.runner.plan is None
    exact = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    assert difference.measure(vgg.forward(x), exact).within(1e-5)
    assert vgg.features(x, "relu3_1")["relu3_1"].shape == (2, 24, 16, 16)


def test_nan_in_one_picture_stays_in_its_logits(vgg):
    x = picture(3)
    x[1, 0, 30, 30] = np.nan
    logits = vgg.forward(x)
    assert np.isnan(logits[1]).all() and not np.isnan(logits[[0, 2]]).any()


@pytest.mark.parametrize("wrong, error, sentence", [
    (np.zeros((2, 4, 64, 64), np.float32), ShapeError, r"takes \(N, 3, H, W\)"),
    (np.zeros((2, 3, 64, 64), np.float64), ShapeError, "x is float64 and the network float32"),
], ids=["channels", "dtype"])
def test_what_does_not_fit_is_refused_like_anywhere(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        lively("vgg11", **SIZES).forward(wrong)


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(UsageError, match="^there is no algorithm 'fft'; choose one of auto, winograd, direct$"):
        network.create("vgg11", algorithm="fft", **SIZES)


@pytest.mark.parametrize("threads", [0, -1, 10_000, True, 1.5], ids=repr)
def test_an_impossible_number_of_threads_is_refused(threads):
    with pytest.raises(UsageError, match=f"^threads is {threads!r}; this process can use 1 to"):
        network.create("vgg11", threads=threads, **SIZES).forward(picture())
