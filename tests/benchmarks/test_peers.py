"""The command: what it refuses before the work, and one whole run on a small network."""
import pytest

from benchmarks import machine, peers, result_file, runtimes, subject
from npvgg.kernels.compiling.threads import processors


@pytest.mark.parametrize("arguments, sentence", [
    (["vgg17"], "there is no network called 'vgg17'"),
    (["--threads", "0"], "--threads is 0, but this process may use 1 to "),
    (["--threads", 1, processors() + 1], f"--threads is {processors() + 1}, but this process may use 1 to "),
    (["--batch", "1", "0"], "--batch is 0; give a whole number of at least 1"),
    (["--runs", "0"], "--runs is 0; give a whole number of at least 1"),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "")
def test_what_is_refused(capsys, arguments, sentence):
    assert peers.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("benchmarks.peers: ") and sentence in captured.err and not captured.out


def test_a_photograph_that_is_none_is_refused_before_the_work(capsys, pictures):
    assert peers.main(["--image", pictures / "a.png", pictures / "broken.jpg"]) == 3
    captured = capsys.readouterr()
    assert "broken.jpg" in captured.err and not captured.out


def test_an_output_that_exists_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "peers.json").write_text("mine")
    assert peers.main(["--output", tmp_path / "peers.json"]) == 2
    captured = capsys.readouterr()
    assert "peers.json exists already" in captured.err and not captured.out


def test_peers_that_nobody_knows_are_refused(capsys):
    with pytest.raises(SystemExit) as end:
        peers.main(["--peers", "caffe"])
    assert end.value.code == 2 and "invalid choice: 'caffe'" in capsys.readouterr().err


@pytest.mark.parametrize("flags, kind, batches", [(["--batch", "1", "2"], "peers", [1, 2]), (["--cold"], "cold", [1])],
                         ids=["warm", "cold"])
def test_a_run_prints_and_writes_what_it_measured(tmp_path, capsys, monkeypatch, flags, kind, batches):
    draw = subject.draw
    monkeypatch.setattr(subject, "draw", lambda name, **options: draw(
        name, width=1 / 16, input_size=32, pooled_size=1, hidden=(12,), num_classes=7, **options))
    monkeypatch.setattr(runtimes, "missing", lambda name: ["ncnn"] if name == "ncnn" else [])
    arguments = ["D", "--threads", "1", "--runs", "1", *flags, "--output", tmp_path / "out.json", "--peers", "ncnn"]
    assert peers.main(arguments) == 0
    document = result_file.read(tmp_path / "out.json", kind)
    assert [(row["network"], row["batch"], row["runtime"]) for row in document["rows"]] == [
        ("vgg16", batch, name) for batch in batches for name in ("npvgg", "ncnn")]
    assert all(row["left_out"] == "not installed (ncnn)" for row in document["rows"] if row["runtime"] == "ncnn")
    assert document["command"].startswith("python -m benchmarks.peers D --threads 1")
    printed = capsys.readouterr().out
    assert printed.startswith(machine.line(document["machine"])) and "vgg16, batch 1, 1 thread\n" in printed
    assert "ncnn is left out: not installed (ncnn)" in printed
    ours = document["rows"][0]
    assert f"{ours['ms']:.1f}" in printed and f"{ours['gap']:.1e}" in printed and ("peak MiB" in printed) == (kind == "cold")
