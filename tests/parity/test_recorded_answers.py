"""Recorded inputs and answers: the right network agrees, wrong ones do not, and damaged files are one sentence."""
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from witnesses.command import npvgg
from witnesses.networks import lively
from witnesses.tensor_proto_builder import tensor_proto

from npvgg import labels, network
from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.parity import recorded_answers, recording, verdicts
from weights_convert.formats import npz

SIZES = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5, "pooled_size": 1, "input_size": 32}


@pytest.fixture(scope="module")
def vgg():
    return lively("vgg11", tier="reference", **SIZES)


@pytest.fixture(scope="module")
def vgg_file(vgg, tmp_path_factory):
    return vgg.save(tmp_path_factory.mktemp("weights") / "small.h5")


def pictures(seed, count=2):
    return np.random.default_rng(seed).standard_normal((count, 3, 32, 41), np.float32)


def answers(vgg, x):
    """In float64, as another runtime would come near them."""
    logits = vgg.using(dtype=np.float64).forward(x.astype(np.float64))
    return vgg.probabilities(logits) if vgg.source_output == "probabilities" else logits


def recorded(folder, x, y, number=0, form="raw"):
    """Write test_data_set_N, in float32 as ONNX Runtime records it."""
    test = folder / f"test_data_set_{number}"
    test.mkdir(parents=True)
    (test / "input_0.pb").write_bytes(tensor_proto(x, form))
    (test / "output_0.pb").write_bytes(tensor_proto(y.astype(x.dtype), form))
    return test


def checked(vgg, folder):
    (test,) = recorded_answers.find(folder)
    return recorded_answers.check(vgg, test)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("form", ["raw", "packed", "one by one"])
def test_the_same_network_agrees(vgg, tmp_path, form, dtype):
    x = pictures(1)
    recorded(tmp_path, x.astype(dtype), answers(vgg, x), form=form)
    outcome = checked(vgg, tmp_path)
    assert (outcome.name, outcome.shape, outcome.bound) == ("test_data_set_0", (2, 3, 32, 41), 1e-4)
    assert outcome.verdict == verdicts.CLOSE and outcome.argmax_flips == 0
    assert 0 < outcome.difference.largest_relative < 1e-5


def test_bit_for_bit_is_equal(vgg, tmp_path):
    recorded(tmp_path, pictures(1), vgg.forward(pictures(1)))
    assert checked(vgg, tmp_path).verdict == verdicts.EQUAL


WRONG = {
    "channels swapped": lambda vgg, x: vgg.forward(np.ascontiguousarray(x[:, ::-1])),
    "one bias left out": lambda vgg, x: replace(
        vgg, parameters=vgg.parameters | {"conv3_1/bias": 0 * vgg.parameters["conv3_1/bias"]}).forward(x),
    "another scale": lambda vgg, x: vgg.forward(x * np.float32(1.01)),
}


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_another_computation_diverges(vgg, tmp_path, wrong, output):
    vgg = with_logits_of_size(replace(vgg, source_output=output), 5)
    logits = wrong(vgg, pictures(1))
    recorded(tmp_path, pictures(1), vgg.probabilities(logits) if output == "probabilities" else logits)
    assert checked(vgg, tmp_path).verdict == verdicts.DIVERGES


@pytest.mark.parametrize("factor, verdict", [(1 + 5e-5, verdicts.CLOSE), (1 + 2e-4, verdicts.DIVERGES)])
def test_on_either_side_of_the_bound(vgg, tmp_path, factor, verdict):
    recorded(tmp_path, pictures(1), vgg.forward(pictures(1)) * np.float32(factor))
    assert checked(vgg, tmp_path).verdict == verdict


def with_logits_of_size(vgg, largest):
    """The last layer scaled so that the largest logit of `pictures(1)` is `largest`, as in a trained network."""
    scale = np.float32(largest / abs(vgg.forward(pictures(1))).max())
    last = {path: array * scale for path, array in vgg.parameters.items() if path.startswith("fc8")}
    return replace(vgg, parameters=vgg.parameters | last)


@pytest.mark.parametrize("largest", [0.5, 20, 300])
def test_probabilities_are_compared_where_the_source_ends_with_them(vgg, tmp_path, largest):
    vgg = with_logits_of_size(replace(vgg, source_output="probabilities"), largest)
    recorded(tmp_path, pictures(1), answers(vgg, pictures(1)))
    outcome = checked(vgg, tmp_path)
    assert outcome.verdict in (verdicts.CLOSE, verdicts.EQUAL)
    assert outcome.bound == pytest.approx(min(1e-2, 2e-4 * largest), rel=1e-3)
    assert outcome.difference.largest_relative < outcome.bound / 10


def test_a_gap_in_the_logits_moves_probabilities_by_no_more_than_the_bound(vgg):
    """The law behind the bound: |Δp| ≤ 2δ · largest p, for logits that are off by δ."""
    rng = np.random.default_rng(0)
    for scale in (0.1, 3, 30):
        logits = scale * rng.standard_normal((50, 40))
        delta = 1e-4 * abs(logits).max()
        moved = logits + delta * rng.choice([-1, 1], logits.shape)
        before, after = vgg.probabilities(logits), vgg.probabilities(moved)
        assert (abs(after - before).max(axis=1) <= 2.01 * delta * before.max(axis=1)).all()


def test_a_gap_in_the_logits_moves_a_sigmoid_by_half_as_much():
    """|Δp| ≤ δ · largest p, over labels that are independent."""
    rng = np.random.default_rng(0)
    for scale in (0.1, 3, 30):
        logits = scale * rng.standard_normal((50, 40))
        delta = 1e-4 * abs(logits).max()
        moved = logits + delta * rng.choice([-1, 1], logits.shape)
        before, after = labels.probabilities(logits, "sigmoid"), labels.probabilities(moved, "sigmoid")
        assert (abs(after - before).max(axis=1) <= 1.01 * delta * before.max(axis=1)).all()


@pytest.mark.parametrize("source_output", ["logits", "probabilities"])
@pytest.mark.parametrize("fields", [{"num_classes": 5, "output": "sigmoid"}, {"num_classes": 1}], ids=["labels", "binary"])
@pytest.mark.parametrize("channels", [1, 4])
def test_sigmoids_and_other_channels(tmp_path, fields, source_output, channels):
    """PyTorch's answers to grey pictures and to pictures with alpha."""
    torch = pytest.importorskip("torch")
    vgg = replace(lively("vgg11", tier="reference", input_channels=channels, **SIZES | fields), source_output=source_output)
    x = np.random.default_rng(1).standard_normal((6, channels, 32, 41), np.float32)
    *_, (_, y) = recording.outputs(torch, vgg.architecture, vgg.parameters, x.astype(np.float64))
    if source_output == "probabilities":
        y = torch.sigmoid(torch.from_numpy(y)).numpy()
    recorded(tmp_path, x, y)
    outcome = checked(vgg, tmp_path)
    assert outcome.verdict == verdicts.CLOSE and outcome.argmax_flips == 0 and outcome.difference.largest_relative < 1e-5
    largest = float(abs(vgg.forward(x)).max())
    assert outcome.bound == pytest.approx(1e-4 * (largest if source_output == "probabilities" else 1))
    recorded(tmp_path / "wrong", x, 1 - y if source_output == "probabilities" else -y)
    wrong = checked(vgg, tmp_path / "wrong")
    assert wrong.verdict == verdicts.DIVERGES and wrong.argmax_flips == 6


@pytest.mark.parametrize("names", [("input", "output"), ("inputs", "outputs")], ids=" ".join)
def test_archives_of_numpy(vgg, tmp_path, names):
    x, y = pictures(1), answers(vgg, pictures(1))
    if names[0] == "inputs":                                           # one input, in a list of inputs
        x, y = x[np.newaxis], y[np.newaxis]
    np.savez(tmp_path / "test_data_0.npz", **dict(zip(names, (x, y))))
    outcome = checked(vgg, tmp_path)
    assert (outcome.name, outcome.verdict, outcome.shape) == ("test_data_0.npz", verdicts.CLOSE, (2, 3, 32, 41))


def test_tests_come_in_the_order_of_their_numbers(vgg, tmp_path):
    for number in (10, 2, 0):
        recorded(tmp_path, pictures(1), answers(vgg, pictures(1)), number)
    assert [path.name for path in recorded_answers.find(tmp_path)] == [f"test_data_set_{n}" for n in (0, 2, 10)]
    assert [path.name for path in recorded_answers.find(tmp_path / "test_data_set_2")] == ["test_data_set_2"]


def test_without_a_classifier_the_pooled_map_is_compared(tmp_path):
    vgg = lively("vgg11", tier="reference", width=1 / 16, num_classes=None)
    x = pictures(2, 1)
    recorded(tmp_path, x, answers(vgg, x))
    outcome = checked(replace(vgg, source_output="probabilities"), tmp_path)
    assert outcome.verdict == verdicts.CLOSE and outcome.argmax_flips is None and outcome.bound == 1e-4


def test_a_folder_without_tests_says_what_is_looked_for(tmp_path):
    with pytest.raises(UsageError, match="holds no test; npvgg looks for test_data_set_0/input_0.pb and output_0.pb, and"):
        recorded_answers.find(tmp_path)
    with pytest.raises(StorageError, match="nowhere is no folder; give one that holds test_data_set_0"):
        recorded_answers.find(tmp_path / "nowhere")


X, Y = pictures(1), np.zeros((2, 5), "f4")
REFUSED = {
    "other classes": (X, np.zeros((2, 7), "f4"), r"\(2, 7\) is recorded as the output where this network gives \(2, 5\)"),
    "other pictures": (X, np.zeros((5, 2), "f4"), r"\(5, 2\) is recorded"),
    "grey": (X[:, :1], Y, r"its input is float32 of shape \(2, 1, 32, 41\); this VGG takes floating point \(N, 3"),
    "a vector": (X[0, 0, 0], Y, "this VGG takes floating point"),
    "NaN": (X * np.float32(np.nan), Y, "it holds NaN or infinity"),
    "too large": (X.astype("f8") * 1e300, Y, "it holds NaN or infinity"),
    "a number": (X, np.zeros((), "f4"), r"its output is float32 of shape \(\); a VGG gives"),
    "whole numbers": (X.astype(np.int64), Y, "its input is int64"),
}


@pytest.mark.parametrize("x, y, text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_test_of_this_network_is_refused(vgg, tmp_path, x, y, text):
    np.savez(tmp_path / "test.npz", input=x, output=y)
    with pytest.raises(BadFileError, match=text) as caught:
        checked(vgg, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'test.npz'}: ")


def test_the_command_prints_a_line_a_test_and_ends_with_1_if_one_fails(vgg, vgg_file, tmp_path):
    x = pictures(1)
    recorded(tmp_path, x, answers(vgg, x))
    arguments = ("verify", vgg_file, "--test-data", tmp_path, "--tier", "reference")
    run = npvgg(*arguments)
    about, _, source, heading, _, line, *left = run.out.splitlines()
    assert " ".join(left).startswith("not covered: ")
    assert run.status == 0 and "tensors match their digests" in about and source == f"{tmp_path}: recorded logits"
    assert heading.split() == ["test", "input", "gap", "÷", "largest", "rms", "÷", "rms", "bound", "top-1", "verdict"]
    assert line.split()[:2] == ["test_data_set_0", "2×3×32×41"] and line.split()[4:] == ["1.0e-04", "equal", "ok"]
    recorded(tmp_path, x, -answers(vgg, x), number=1)
    run = npvgg(*arguments)
    assert run.status == 1 and run.err == ""
    assert [row.split()[-1] for row in run.out.splitlines() if row.startswith("test_data_set")] == ["ok", "DIVERGES"]
    assert "2 of 2 differ" in run.out and max(map(len, run.out.splitlines()[3:])) <= 100


DAMAGED = {
    "cut": (lambda test: os.truncate(test / "output_0.pb", 20), 3, "output_0.pb: it has a"),
    "empty": (lambda test: (test / "input_0.pb").write_bytes(b""), 3, "input_0.pb: it is no TensorProto"),
    "one file only": (lambda test: (test / "output_0.pb").unlink(), 7, "output_0.pb: it cannot be read: No such file"),
    "all gone": (shutil.rmtree, 2, "holds no test; npvgg looks for"),
    "an archive of nothing": (lambda test: np.savez(test.parent / "a.npz", x=np.zeros(2)), 3, "a.npz: it holds x; a test has"),
    "an archive that is none": (lambda test: (test.parent / "a.npz").write_bytes(b"PK no"), 3, "a.npz: "),
}


@pytest.mark.parametrize("damage, status, text", DAMAGED.values(), ids=DAMAGED)
def test_damaged_tests_are_one_line(vgg, vgg_file, tmp_path, damage, status, text):
    damage(recorded(tmp_path, pictures(1), answers(vgg, pictures(1))))
    run = npvgg("verify", vgg_file, "--test-data", tmp_path, "--tier", "reference")
    assert run.status == status and run.err.startswith("npvgg: ") and text in run.err and run.err.count("\n") == 1


def test_it_reads_what_npvgg_itself_writes(vgg, tmp_path):
    npz.write(tmp_path / "mine.npz", {"input": pictures(1), "output": vgg.forward(pictures(1))}, {})
    assert checked(vgg, tmp_path).verdict == verdicts.EQUAL


def test_on_every_tier(vgg_file, vgg, tmp_path):
    recorded(tmp_path, pictures(1), answers(vgg, pictures(1)))
    for tier in ("reference", "jit", "engine"):
        assert checked(network.load_file(vgg_file, tier=tier), tmp_path).verdict == verdicts.CLOSE
