"""Several runtimes on one network: those that are installed, and made-up ones that misbehave."""
import os
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import contest, runtimes, subject, worker
from npvgg import network

SIZES = {"width": 1 / 8, "input_size": 64, "pooled_size": 2, "hidden": (40, 30), "num_classes": 10}
EVERYBODY = tuple(runtimes.RUNTIMES)


# ------------------------------------------------------------------------------------------------- the real ones


@pytest.fixture(scope="module", params=["vgg11_bn", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("a_lrn", "c"))])
def rows(request, session_cache):
    """{runtime: row} of two pictures out of three, on one thread."""
    vgg = subject.draw(request.param, **SIZES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPVGG_CACHE", str(session_cache))
        with contest.opened(vgg, EVERYBODY, pictures=3) as this:
            return {row["runtime"]: row for row in this.turns(batch=2, threads=1, runs=2)}


@pytest.mark.parametrize("name", EVERYBODY)
def test_logits_agree_with_float64_in_every_runtime(rows, name):
    if runtimes.missing(name):
        pytest.skip(f"{name} is not installed")
    row = rows[name]
    assert "left_out" not in row, row["left_out"]
    assert 0 < row["gap"] < 1e-5
    assert row["ms"] == pytest.approx(sum(row["runs_ms"]) / 2) and min(row["runs_ms"]) > 0 and row["npvgg_ratio"] > 0
    assert row["version"] and (row["batch"], row["threads"]) == (2, 1)


@pytest.mark.parametrize("name", EVERYBODY)
def test_who_is_not_installed_is_left_out_by_name(rows, name):
    absent = runtimes.missing(name)
    assert rows[name].get("left_out") == (f"not installed ({', '.join(absent)})" if absent else None)


def test_cold_starts_carry_time_memory_and_gap():
    with contest.opened(subject.draw("vgg11", **SIZES), ("npvgg",)) as this:
        (row,) = this.cold_starts(threads=1, runs=1)
        folder = this.folder
    assert row["ms"] == row["runs_ms"][0] > 0 and row["npvgg_ratio"] == 1 and 0 < row["gap"] < 1e-5
    assert row["tier"] == network.create("vgg11", **SIZES).options.tier
    assert not os.path.exists("/proc/self/status") or 10 < row["peak_mib"] < 4096
    assert not folder.exists()


def test_a_missing_runtime_costs_no_process(monkeypatch):
    monkeypatch.setattr(runtimes, "missing", lambda name: ["one", "two"])
    with contest.opened(subject.draw("vgg11", **SIZES), ("ncnn", "mnn")) as this:
        rows = this.turns(batch=1, threads=1, runs=1)
    assert [(row["runtime"], row["left_out"]) for row in rows] == [("ncnn", "not installed (one, two)"),
                                                                   ("mnn", "not installed (one, two)")]


@pytest.mark.parametrize("do, reason", [("write", "ModuleNotFoundError: No module named 'benchmarks.runtimes.nonesuch'"),
                                        ("run", "FileNotFoundError: .*pictures.npy")])
def test_what_a_runtime_raises_is_the_reason(tmp_path, do, reason):
    subject.save(subject.draw("vgg11", **SIZES), tmp_path)
    job = {"do": do, "runtime": "nonesuch", "folder": str(tmp_path)}
    if do == "run":
        job |= {"shape": [1, 3, 64, 64], "threads": 1, "options": {}}
    with pytest.raises(contest.LeftOut, match=reason), contest.Process(job, tmp_path / "log") as process:
        process.answer()


# ------------------------------------------------------------------------------------------------- made-up ones

FAKE = '''
import json, os, sys, time
job = json.loads(sys.argv[1])
name, answer = job["runtime"], lambda **fields: print(json.dumps(fields), flush=True)
logits = [[1.0, -2.0]] * job["shape"][0]
if name == "killed":
    os.kill(os.getpid(), 9)
if name == "ends":
    print("cannot allocate", file=sys.stderr)
    sys.exit(3)
if name == "hangs":
    time.sleep(60)
if name == "wrong":
    logits = [[1.0, -1.9]] * job["shape"][0]
if name == "nan":
    logits = [[1.0, float("nan")]] * job["shape"][0]
if name == "flat":
    logits = logits[0]
if name == "fewer":
    logits = logits[:1]
answer(logits=logits, peak_bytes=3 << 20)
ms = {"npvgg": [90, 2, 6, 10], "ncnn": [1, 8, 8, 8]}.get(name, [4] * 4)
for number, _ in enumerate(sys.stdin):
    if name == "dies" and number == 2:
        sys.exit(1)
    answer(ms=ms[number], asleep=name != "spins")
'''


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """names → a Contest of two pictures between processes that only play runtimes."""
    (tmp_path / "fake_worker.py").write_text(FAKE)
    monkeypatch.setattr(contest, "WORKER", "fake_worker")
    monkeypatch.setattr(runtimes, "version", lambda name: "1.0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(*names):
        return contest.Contest(tmp_path, "vgg11", "jit", names, (2, 3, 64, 64), np.array([[1.0, -2.0]] * 2))

    return make


def test_the_first_round_is_not_counted_and_ratios_are_taken_within_a_round(made_up):
    ours, theirs = made_up("npvgg", "ncnn").turns(batch=2, threads=1, runs=3)
    assert ours == {"network": "vgg11", "batch": 2, "threads": 1, "runtime": "npvgg", "tier": "jit", "version": "1.0",
                    "gap": 0, "ms": 3, "runs_ms": [1, 3, 5], "npvgg_ratio": 1}
    assert theirs["runs_ms"] == [4, 4, 4] and theirs["npvgg_ratio"] == 3 / 4
    assert "tier" not in theirs


@pytest.mark.parametrize("name, reason", [
    ("killed", "was ended by SIGKILL; it printed nothing"),
    ("ends", "ended with status 3; its last line was: cannot allocate"),
    ("hangs", "gave no answer within 1 s"),
    ("wrong", "disagrees with the float64 run by 5.0e-02 of the largest logit"),
    ("nan", "disagrees with the float64 run by inf of the largest logit"),
    ("flat", "its logits have the shape (2,) instead of (2, 2)"),
    ("fewer", "its logits have the shape (1, 2) instead of (2, 2)"),
    ("spins", "its threads spin for more than 3 s after a run, which slows the others"),
    ("dies", "ended with status 1; it printed nothing"),
])
def test_who_misbehaves_is_left_out_and_the_others_go_on(made_up, monkeypatch, name, reason):
    monkeypatch.setattr(contest, "PATIENCE_S", 1 if name == "hangs" else 60)
    monkeypatch.setattr(contest, "GRACE_S", 1)
    ours, theirs = made_up("npvgg", name).turns(batch=2, threads=1, runs=3)
    assert theirs["left_out"] == reason and "ms" not in theirs
    assert ours["ms"] == 3


def test_without_npvgg_there_are_times_but_no_ratios(made_up):
    this = made_up("npvgg", "ncnn")
    this.left_out["npvgg"] = "on holiday"
    ours, theirs = this.turns(batch=1, threads=1, runs=1)
    assert ours["left_out"] == "on holiday" and theirs["ms"] == 8 and theirs["npvgg_ratio"] is None


def test_cold_memory_is_in_mebibytes_and_wrong_logits_get_none(made_up):
    ours, theirs = made_up("npvgg", "nan").cold_starts(threads=1, runs=2)
    assert ours["peak_mib"] == 3 and len(ours["runs_ms"]) == 2
    assert "disagrees" in theirs["left_out"] and "peak_mib" not in theirs


def test_everybody_begins_a_round_in_turn():
    assert ["".join(contest.in_turn(list("abc"), number)) for number in range(4)] == ["abc", "bca", "cab", "abc"]
    assert contest.in_turn([], 5) == []


@pytest.mark.parametrize("used, asleep", [([0.0, 0.001], True), ([0.0, 0.04, 0.0, 0.0], True), ([0.03] * 200, False)],
                         ids=["quiet at once", "quiet after a while", "never quiet"])
def test_a_process_sleeps_when_it_uses_no_processor(monkeypatch, used, asleep):
    spent, clock = iter(np.cumsum(used)), iter(np.arange(0, 60, 0.05))
    monkeypatch.setattr(worker, "time", SimpleNamespace(process_time=lambda: next(spent), monotonic=lambda: next(clock),
                                                        sleep=lambda seconds: None))
    assert worker.falls_asleep() is asleep


# ------------------------------------------------------------------------------------------------- the subject


def test_the_subject_is_the_same_every_time_and_has_no_trivial_parameter():
    one, two = (subject.draw("vgg11_bn", **SIZES) for _ in range(2))
    assert all(np.array_equal(one.parameters[path], two.parameters[path]) for path in one.parameters)
    assert all(array.dtype == np.float32 and array.std() > 0.05 for array in one.parameters.values())
    variances = np.concatenate([array for path, array in one.parameters.items() if path.endswith("/var")])
    assert 0.5 <= variances.min() < variances.max() <= 1.5


def test_photographs_are_taken_in_turn(pictures):
    vgg = subject.draw("vgg11", **SIZES)
    x = subject.pictures(vgg, 3, [pictures / "a.png", pictures / "b.jpg"])
    assert x.shape == (3, 3, 64, 64) and x.dtype == np.float32
    assert np.array_equal(x[0], x[2]) and not np.array_equal(x[0], x[1])
