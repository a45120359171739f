"""The commands of the form `python -m benchmarks.…`, as the documents write them, run small."""
import json
import re
import shlex
import shutil
from importlib import import_module, util
from pathlib import Path

import pytest

from benchmarks import contest, exactness, layers, peak, plot, rounding, subject, training, worker
from npvgg import network
from npvgg.kernels.compiling.threads import processors

pytest.importorskip("skimage")

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/results/README.md")),
         *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = {"width": 1 / 16, "hidden": (12,), "num_classes": 7, "pooled_size": 1, "input_size": 32}


def documented():
    """{the words behind python -m benchmarks.: where they stand first}; options in their order."""
    commands = {}
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
        for line in re.findall(r"python -m benchmarks\.([\w.]+(?: [^`\n]*)?)", text):
            if "-->" not in line:                           # the marks around a table
                commands.setdefault(tuple(shlex.split(line)), page.name)
    return commands


def test_every_program_is_documented():
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\nPROGRAM = " in path.read_text(encoding="utf-8")}
    assert {words[0] for words in documented()} == programs == {"peers", "layers", "exactness", "report", "training"}
    assert len(documented()) >= 10


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_documented_commands_run(words, small, tmp_path, capsys):
    program, *arguments = words
    arguments = small[program](arguments)
    assert import_module(f"benchmarks.{program}").main(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert printed.count("\n") >= 2 or program == "report"
    if "--output" in arguments:
        rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
        assert rows and all(row.get("left_out", "not installed").startswith("not installed") for row in rows)


@pytest.fixture
def small(tmp_path, monkeypatch, one_torch_thread):
    """{program: how its arguments become those of a run that takes a second}, with narrow networks and no other processes."""
    draw, create, exact = subject.draw, network.create, subject.exact
    monkeypatch.setattr(subject, "draw", lambda name, **options: draw(name, **options | SMALL))
    monkeypatch.setattr(layers.network, "create", lambda name, **options: create(name, **options | SMALL))
    monkeypatch.setattr(peak, "REPEATS", 100)
    monkeypatch.setattr(peak, "MEMORY_BYTES", 1 << 20)
    monkeypatch.setattr(subject, "exact", lambda vgg, x: exact(vgg.using(threads=1), x))
    monkeypatch.setattr(contest, "Process", HereInstead)
    monkeypatch.setattr(worker, "falls_asleep", lambda: True)
    monkeypatch.setattr(worker.sys, "stdin", iter(lambda: "\n", None))
    monkeypatch.setattr(exactness, "process", lambda job, settings: rounding.rows(**job))
    row = {"runtime": "npvgg", "threads": 1, "ms": 2.0, "runs_ms": [2.0], "ratio": 0.5, "peak_mib": 300.0, "error": 1e-6}
    monkeypatch.setattr(training, "measured", lambda case, count, runs: [row])         # test_training.py has the real one
    if not util.find_spec("matplotlib"):
        monkeypatch.setattr(plot, "draw", lambda peers, suffix: b"a plot")
    return {"peers": lambda given: [*limited(elsewhere(given, tmp_path)), "--runs", "1", *once(given)],
            "layers": lambda given: [*elsewhere(given, tmp_path), "--runs", "1"],
            "exactness": lambda given: [*elsewhere(given, tmp_path), "--pictures", "1", "--size", "32", "--threads", "1"],
            "training": lambda given: [*elsewhere(given, tmp_path), "--runs", "1", "--threads", "1"],
            "report": lambda given: [*given, *copies(tmp_path)]}


class HereInstead:
    """contest.Process in the process of the test."""

    def __init__(self, job, log):
        job = dict(job)
        self.answers = worker.ACTIONS[job.pop("do")](**job)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.answers.close()

    def answer(self):
        try:
            return json.loads(json.dumps(next(self.answers)))
        except Exception as error:
            raise contest.LeftOut(worker.sentence(error)) from error

    def turn(self):
        return self.answer()["ms"]


def elsewhere(given, folder):
    """The arguments with files in that folder: an output that is not there yet, and filters that are."""
    given = list(given)
    for option, path in (("--output", folder / "out.json"), ("--filters", folder / "filters.onnx")):
        if option in given:
            given[given.index(option) + 1] = str(path)
            if option == "--filters":
                write_filters(path)
    return given


def write_filters(path):
    pytest.importorskip("onnx")
    from weights_convert.formats.onnx import writing

    model = writing.model(subject.draw("vgg16"), writing.DEFAULT_OPSET)
    path.write_bytes(model.SerializeToString())


def once(given):
    """One picture and one thread where the command leaves them open."""
    return [word for option in ("--batch", "--threads") if option not in given for word in (option, "1")]


def limited(given):
    """--threads that this process may use."""
    most = str(processors())
    return [most if word.isdigit() and "--threads" in given[:place] and int(word) > processors() else word
            for place, word in enumerate(given)]


def copies(folder):
    """The arguments of a report into copies of what it changes."""
    shutil.copy(ROOT / "README.md", folder / "README.md")
    return ["--readme", str(folder / "README.md"), "--plot", str(folder / "speed.svg")]


