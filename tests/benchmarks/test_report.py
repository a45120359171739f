"""The README's tables and the plot, from results that nobody measured."""
import json
from pathlib import Path

import pytest

from benchmarks import plot, report, result_file, runtimes
from npvgg.errors import UnsupportedError, UsageError

ROOT = Path(__file__).parents[2]
MACHINE = {"cpu": "Made-up", "cores": 2, "isa": ["AVX2"], "cache_kib": {"L2": 1024},
           "python": "3.11", "numpy": "2", "numba": "0"}
MS = {"npvgg": 36, "pytorch": 160, "onnxruntime": 80, "openvino": 72, "ncnn": 48, "mnn": 60}


def row(network, batch, threads, name, **more):
    """A runtime's row: the made-up time, twice of it on one thread; MNN has none at batch 8."""
    fields = {"network": network, "batch": batch, "threads": threads, "runtime": name}
    if name == "npvgg":
        fields["tier"] = "jit"
    if name == "mnn" and batch == 8:
        return fields | {"left_out": "not installed (MNN)"}
    ms = MS[name] * (2 if threads == 1 else 1)
    return fields | {"version": "1.0", "gap": 2e-6 if batch == 8 else 1e-6, "ms": ms, "runs_ms": [ms],
                     "npvgg_ratio": MS["npvgg"] / MS[name], **more}


def document(kind, rows):
    return {"format": result_file.FORMAT, "kind": kind, "taken": "2026-01-02T03:04:05Z",
            "command": f"python -m benchmarks.{kind}", "machine": MACHINE, "rows": rows}


@pytest.fixture
def peers():
    return document("peers", [row(network, batch, threads, name) for network in ("vgg16", "vgg19_bn") for threads in (1, 2)
                              for batch in (1, 8) for name in runtimes.RUNTIMES])


@pytest.fixture
def cold():
    return document("cold", [row("vgg16", 1, threads, name, **({"peak_mib": 900.4} if name == "ncnn" else {}))
                             for threads in (1, 2) for name in ("npvgg", "ncnn")])


def test_the_first_network_stands_beside_every_runtime(peers):
    text = report.tables(peers)
    lines = text.splitlines()
    assert lines[0] == ("Made-up, 2 cores; AVX2; L2 1 MiB; Python 3.11, NumPy 2, Numba 0; 2026-01-02, "
                        "`python -m benchmarks.peers`.")
    assert "| runtime | batch 1, 1 thread | batch 1, 2 threads | batch 8, 1 thread | batch 8, 2 threads | gap |" in lines
    assert "| npvgg 1.0 (jit) | 72.0 | 36.0 | 72.0 | 36.0 | 2.0e-06 |" in lines
    assert "| ncnn 1.0 | 96.0 (0.75) | 48.0 (0.75) | 96.0 (0.75) | 48.0 (0.75) | 2.0e-06 |" in lines
    assert "| MNN 1.0 | 120 (0.60) | 60.0 (0.60) | — | — | 1.0e-06 |" in lines


def test_the_other_networks_stand_beside_the_fastest(peers):
    lines = report.tables(peers).splitlines()
    assert "| vgg19_bn | 72.0 (0.75 × ncnn) | 36.0 (0.75 × ncnn) | 72.0 (0.75 × ncnn) | 36.0 (0.75 × ncnn) | 2.0e-06 |" in lines


def test_without_a_time_of_npvgg_there_is_a_dash_and_no_number(peers):
    for entry in peers["rows"]:
        if entry["runtime"] == "npvgg" and entry["network"] == "vgg19_bn":
            del entry["ms"]
    assert "| vgg19_bn | — | — | — | — | — |" in report.tables(peers).splitlines()


def test_without_peers_npvgg_stands_alone(peers):
    peers["rows"] = [entry for entry in peers["rows"] if entry["runtime"] == "npvgg"]
    assert "| vgg19_bn | 72.0 | 36.0 | 72.0 | 36.0 | 2.0e-06 |" in report.tables(peers).splitlines()


def test_networks_of_another_file_have_their_own_table_and_command(peers, cold):
    rows = [row("a_lrn", 1, threads, name) for threads in (1, 2) for name in ("npvgg", "pytorch")]
    text = report.tables(peers, document("peers", rows) | {"command": "python -m benchmarks.peers a_lrn"}, cold)
    assert "Other networks, `python -m benchmarks.peers a_lrn`: npvgg's ms an image" in text
    assert "| a_lrn | 72.0 (0.23 × PyTorch) | 36.0 (0.23 × PyTorch) | 1.0e-06 |" in text.splitlines()


def test_cold_starts_are_those_with_the_most_threads(peers, cold):
    lines = report.tables(peers, cold=cold).splitlines()
    assert "| vgg16, batch 1, 2 threads | s | npvgg ÷ | peak MiB | gap |" in lines
    assert lines[-2:] == ["| npvgg 1.0 (jit) | 0.04 | 1.00 | — | 1.0e-06 |", "| ncnn 1.0 | 0.05 | 0.75 | 900 | 1.0e-06 |"]


@pytest.fixture
def errors():
    """The errors of two networks and two layers, with AVX2 a tenth larger."""
    layers = [("seeded", "vgg11", "fc8"), ("seeded", "c", "fc8"), ("published", "vgg16", "relu1_1"),
              ("published", "vgg16", "pool5")]
    rows = [{"weights": weights, "network": network, "layer": layer, "width": 1.0, "pictures": 8, "size": 224,
             "processor": kind, "settings": {}, "auto": 4e-7 * more, "direct": 2e-7 * more, "jit": 3e-7, "pytorch": 16e-7}
            for kind, more in (("avx512", 1), ("avx2", 1.1)) for weights, network, layer in layers]
    made = document("exactness", rows)
    return made | {"machine": made["machine"] | {"torch": "2"}}


def test_errors_stand_beside_pytorchs_for_each_kind_of_processor(errors):
    lines = report.exactness_tables(errors).splitlines()
    assert lines[0] == ("Made-up, 2 cores; AVX2; L2 1 MiB; Python 3.11, NumPy 2, Numba 0, PyTorch 2; 2026-01-02, "
                        "`python -m benchmarks.exactness`. Largest gap to the float64 run over the largest value of the layer, "
                        "the worst of 8 photographs, with AVX-512 and AVX2; in brackets over PyTorch's.")
    assert lines[2] == "Seeded He-scaled weights, the last layer:"
    assert lines[4] == ("| network | auto, AVX-512 | direct | jit | PyTorch | auto, AVX2 | direct | jit | PyTorch |")
    assert lines[6] == ("| vgg11 | 4.0e-7 (0.25) | 2.0e-7 (0.12) | 3.0e-7 (0.19) | 1.6e-6 | "
                        "4.4e-7 (0.28) | 2.2e-7 (0.14) | 3.0e-7 (0.19) | 1.6e-6 |")
    assert [line.split(" | ")[0] for line in lines[7:]] == [
        "| c", "", "VGG-16's published filters, every ReLU and pool5:", "", "| layer", "| ---", "| relu1_1", "| pool5"]


def test_what_was_not_measured_of_errors_is_a_dash_or_left_out(errors):
    rows = [row for row in errors["rows"] if row["weights"] == "seeded"]
    text = report.exactness_tables(errors | {"rows": rows[:-1]})
    assert "| c | 4.0e-7 (0.25) | 2.0e-7 (0.12) | 3.0e-7 (0.19) | 1.6e-6 | — | — | — | — |" in text.splitlines()
    assert "published" not in text


# ------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def folder(tmp_path, peers, cold):
    """A README with the two marks, and results/ with both files."""
    (tmp_path / "results").mkdir()
    for kind, content in (("peers", peers), ("cold", cold)):
        (tmp_path / "results" / f"{kind}.json").write_text(json.dumps(content), encoding="utf-8")
    begin, end = report.SPEED
    (tmp_path / "README.md").write_text(f"above\n{begin}\nold\n{end}\nbelow\n", encoding="utf-8")
    return tmp_path


def run(folder, plot_name="speed.svg"):
    return report.main(["--results", str(folder / "results"), "--readme", str(folder / "README.md"),
                        "--plot", str(folder / plot_name)])


@pytest.mark.parametrize("suffix, magic", [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_command_writes_the_readme_and_the_plot(folder, peers, cold, suffix, magic):
    pytest.importorskip("matplotlib")
    assert run(folder, f"speed{suffix}") == 0
    text = (folder / "README.md").read_text(encoding="utf-8")
    picture, (begin, end) = f"![{plot.TITLE}](speed{suffix})", report.SPEED
    assert text == f"above\n{begin}\n{report.tables(peers, cold=cold)}\n\n{picture}\n{end}\nbelow\n"
    assert (folder / f"speed{suffix}").read_bytes().startswith(magic)
    before = (folder / f"speed{suffix}").read_bytes()
    assert run(folder, f"speed{suffix}") == 0
    assert (folder / "README.md").read_text(encoding="utf-8") == text
    assert (folder / f"speed{suffix}").read_bytes() == before


def test_the_errors_have_marks_of_their_own(folder, errors, monkeypatch):
    monkeypatch.setattr(plot, "draw", lambda peers, suffix: b"a plot")
    (folder / "results/exactness.json").write_text(json.dumps(errors), encoding="utf-8")
    page, (begin, end) = (folder / "README.md").read_text(encoding="utf-8"), report.EXACTNESS
    assert run(folder) == 3 and (folder / "README.md").read_text(encoding="utf-8") == page
    (folder / "README.md").write_text(f"{begin}\nold\n{end}\n{page}", encoding="utf-8")
    assert run(folder) == 0
    assert (folder / "README.md").read_text(encoding="utf-8").startswith(
        f"{begin}\n{report.exactness_tables(errors)}\n{end}\nabove\n{report.SPEED[0]}\n")


@pytest.mark.parametrize("marks", [[], report.SPEED[::-1], [report.SPEED[0], *report.SPEED]], ids=["none", "swapped", "twice"])
def test_a_readme_without_its_marks_is_left_alone(folder, capsys, marks):
    page = "\n".join(["above", *marks, "below"])
    (folder / "README.md").write_text(page, encoding="utf-8")
    assert run(folder) == 3
    assert "put them where the table belongs" in capsys.readouterr().err
    assert (folder / "README.md").read_text(encoding="utf-8") == page and not (folder / "speed.svg").exists()


def test_results_that_are_not_there_are_asked_for(folder, capsys):
    (folder / "results/peers.json").unlink()
    assert run(folder) == 7
    assert "measure first, with the commands in benchmarks/results/README.md" in capsys.readouterr().err


def test_other_pictures_are_refused(peers):
    with pytest.raises(UsageError, match="a plot cannot be written as '.jpg'; give a name that ends in .svg or .png"):
        plot.draw(peers, ".jpg")


def test_without_a_time_there_is_nothing_to_plot(peers):
    pytest.importorskip("matplotlib")
    peers["rows"] = [row("vgg16", 8, 1, "mnn")]
    with pytest.raises(UsageError, match="no runtime has a time for vgg16"):
        plot.draw(peers, ".svg")


def test_without_matplotlib_the_sentence_says_what_to_install(peers, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UnsupportedError, match=r'the plot needs matplotlib.*; install it with `pip install "\.\[bench\]"`'):
        plot.draw(peers, ".svg")


def test_the_readme_shows_the_results_in_the_repository():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(page.count(mark) == 1 for mark in report.SPEED + report.EXACTNESS)
    results = ROOT / "benchmarks/results"
    if not (results / "peers.json").exists():
        pytest.skip("nothing has been measured yet")
    more = [report.optional(results / name, kind) for name, kind in (("networks.json", "peers"), ("cold.json", "cold"))]
    assert report.tables(result_file.read(results / "peers.json", "peers"), *more) in page
    if errors := report.optional(results / "exactness.json", "exactness"):
        assert report.exactness_tables(errors) in page
