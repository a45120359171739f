"""The other commands, and the manners of all of them."""
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from witnesses import small_weights
from witnesses.command import npvgg

import npvgg as npvgg_package
from npvgg import cli, hub, images, text_table
from npvgg.architecture import NAMES, architecture
from npvgg.counting import describe, operations
from npvgg.errors import EXIT_STATUSES, INTERRUPTED, PARTIAL_SUCCESS, NpvggError, UsageError
from npvgg.kernels import tiers
from npvgg.parity import traces
from weights_convert import catalog

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name):
    run = npvgg(name, "--help")
    assert run.status == 0 and run.out.startswith(f"Usage: npvgg {name}")


def test_help_lists_every_command_with_a_sentence():
    lines = [line.split(maxsplit=1) for line in npvgg("--help").out.split("Commands:")[1].split("\n\n")[0].strip().splitlines()]
    assert [line[0] for line in lines] == list(cli.COMMANDS)
    assert all(line[1].endswith(".") for line in lines)


def test_an_unknown_command_is_answered_with_the_known_ones():
    run = npvgg("clasify")
    assert run.status == 2 and "there is no command 'clasify'; npvgg has predict, demo, models" in run.err


@pytest.mark.parametrize("arguments, words", [
    (["sumary", "vgg16"], "there is no command 'sumary' (did you mean 'summary'?)"),
    (["models", "--jason"], "--json"),
    (["summary", "vgg61"], "there is no network called 'vgg61' (did you mean 'vgg16'?)"),
    (["download", "vgg16_featurs"], "there is no model called 'vgg16_featurs' (did you mean 'vgg16_features'?)"),
    (["download", "vgg16@kears"], "(did you mean 'vgg16@keras'?)"),
])
def test_the_closest_name_is_offered(arguments, words):
    run = npvgg(*arguments)
    assert run.status == 2 and words in run.err


@pytest.mark.parametrize("wrong, meant", [
    (lambda vgg: vgg.features("a.png", ["cnv5_1"]), "conv5_1"),
    (lambda vgg: vgg.features("a.png", ["block5_pol"]), "block5_pool"),
    (lambda _: npvgg_package.create("vgg16", num_clases=3), "num_classes"),
    (lambda _: npvgg_package.create("vgg16", pooling="maxx"), "max"),
    (lambda _: npvgg_package.create("vgg16", preset="torchvison"), "torchvision"),
    (lambda _: npvgg_package.create("vgg16", how="torchvison"), "torchvision"),
    (lambda vgg: vgg.using(tier="engin"), "engine"), (lambda vgg: vgg.using(algorithm="winogard"), "winograd"),
])
def test_the_library_offers_the_closest_name_too(tiny, wrong, meant):
    with pytest.raises(UsageError, match=re.escape(f"(did you mean {meant!r}?)")):
        wrong(tiny)


@pytest.mark.parametrize("line, completions", [
    ("npvgg su", ["summary"]), ("npvgg predict --ti", ["--tier"]), ("npvgg predict --tier e", ["engine"]),
    ("npvgg summary vgg16_", [*(name for name in catalog.CHECKPOINTS if name.startswith("vgg16_")), "vgg16_"]),
    ("npvgg predict ca", ["ca"]), ("npvgg nothing x", []),
])
def test_a_shell_completes_commands_options_values_models_and_files(monkeypatch, line, completions):
    monkeypatch.setenv("_NPVGG_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    run = npvgg()
    assert run.status == 0 and [line.partition(",")[2] for line in run.out.splitlines() if line] == completions


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(monkeypatch, shell):
    monkeypatch.setenv("_NPVGG_COMPLETE", f"{shell}_source")
    run = npvgg()
    assert run.status == 0 and f"_NPVGG_COMPLETE={shell}_complete" in run.out


def test_the_exit_statuses_stand_in_help_and_in_the_documents():
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    shown = npvgg("--help").out.partition("Exit status:")[2]
    assert [line.split(maxsplit=1) for line in shown.strip().splitlines()] == [[str(k), v] for k, v in EXIT_STATUSES.items()]
    assert re.findall(r"^\| (\d+) \| (.*) \|$", page, re.M) == [(str(k), v) for k, v in EXIT_STATUSES.items()]
    kinds = [NpvggError, *NpvggError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} | {0, PARTIAL_SUCCESS, INTERRUPTED} <= set(EXIT_STATUSES)


def test_quiet_leaves_errors_and_verbose_says_more(pictures):
    arguments = ["predict", pictures / "a.png", pictures / "broken.jpg"]
    usual, quiet, verbose = npvgg(*arguments), npvgg(*arguments, "-q"), npvgg(*arguments, "-v")
    assert usual.out == quiet.out == verbose.out == npvgg("-q", *arguments).out
    assert "no --model given" in usual.err and "no --model given" not in quiet.err
    assert quiet.err.count("\n") == 2 and "broken.jpg" in quiet.err and "1 of 2 pictures could not be classified" in quiet.err
    assert npvgg("-q", *arguments).err == quiet.err
    assert re.search(r"VGG vgg13_bn at width .* engine tier in float32.* \d+ threads\n", verbose.err)
    assert re.search(r"2 pictures in \d+\.\d\d s, \d+\.\d ms each\n$", verbose.err)


def test_version_names_what_shows_in_the_numbers():
    assert npvgg("-V").out == npvgg("--version").out
    assert [line.split()[0] for line in npvgg("--version").out.splitlines()] == ["npvgg", "numpy", "numba", "llvmlite", "h5py",
                                                                                 "pillow"]


@pytest.mark.parametrize("name", NAMES)
def test_summary_ends_in_parameters_and_macs(name):
    rows = describe(architecture(name))
    last = npvgg("summary", name).out.splitlines()[-1]
    assert last == f"{sum(row.parameters for row in rows):,} parameters, {operations(rows):,} MACs"


def test_summary_of_vgg16_ends_in_the_published_numbers():
    assert npvgg("summary", "vgg16").out.splitlines()[-1] == "138,357,544 parameters, 15,470,264,320 MACs"


def test_summary_of_a_file_and_of_another_size(tiny_file):
    assert "bn1_1" in npvgg("summary", tiny_file).out
    assert "conv1_1  64×64×64" in npvgg("summary", "D", "--input-size", 64).out


def test_models_lists_the_bundled_and_the_published_ones():
    lines = [json.loads(line) for line in npvgg("models", "--json").out.splitlines()]
    states = {line["name"]: line["state"] for line in lines}
    assert states[hub.DEFAULT] == "bundled" and states["vgg16"] == "downloadable"
    assert {line["name"]: line["top1"] for line in lines}["vgg16"] == 71.592
    assert len(lines) == 1 + len(catalog.CHECKPOINTS)
    (keras,) = [line for line in lines if line["name"] == "vgg16@keras"]
    assert (keras["publisher"], keras["checked_by"], keras["preset"], keras["path"]) == ("keras", "MD5", "caffe", None)
    assert keras["url"].startswith("https://") and keras["accuracy_source"] == "keras-applications, README.md"


def test_models_are_grouped_by_publisher_within_80_columns():
    usual, all_of_them = npvgg("models").out.splitlines(), npvgg("models", "--all").out.splitlines()
    assert usual[0].split() == ["name", "state", "MiB", "classes", "top-1", "top-5", "checked", "by"]
    assert usual[2].startswith("npvgg: ") and usual[4].startswith("torchvision: ")
    assert usual[-1] == "32 more of timm, mmpretrain, onnx, keras, caffe: npvgg models --all"
    assert max(map(len, [*usual, *all_of_them])) <= 80
    groups = [line.partition(":")[0] for line in all_of_them if ":" in line]
    assert groups == ["npvgg", *catalog.PUBLISHERS]
    assert [line.split()[0] for line in all_of_them if "downloadable" in line] == list(catalog.CHECKPOINTS)


def test_models_of_a_pattern_are_listed_whoever_publishes_them():
    rows = [line.split() for line in npvgg("models", "vgg16@*").out.splitlines() if "downloadable" in line]
    assert [row[0] for row in rows] == [name for name in catalog.CHECKPOINTS if name.startswith("vgg16@")]
    run = npvgg("models", "vgg61")
    assert run.status == 2 and "no name fits 'vgg61' (did you mean 'vgg16'?)" in run.err


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("command", ["models", "models --all", "summary vgg19", "summary FILE", "inspect FILE", "parity"])
def test_tables_fit_the_terminal_and_leave_nothing_out(monkeypatch, tiny_file, pictures, tmp_path, command, width):
    arguments = [tiny_file if word == "FILE" else word for word in command.split()]
    if command == "parity":
        arguments += [tmp_path / "a.h5"] * 2
        assert npvgg("trace", pictures / "a.png", "-o", tmp_path / "a.h5", "--model", tiny_file).status == 0
    whole = npvgg(*arguments).out
    monkeypatch.setattr(text_table, "terminal_width", lambda stream=None: width)
    narrow = npvgg(*arguments).out
    assert sorted(narrow.replace("─", "").split()) == sorted(whole.replace("─", "").split())
    paths = (str(tiny_file), str(tmp_path))                    # words that are wider than the terminal stay whole
    wide = [line for line in narrow.splitlines() if len(line) > width and len(line.split()) > 1 and not any(
        path in line for path in paths)]
    assert wide == []


def test_what_is_cached_is_listed_without_all(tmp_path, monkeypatch):
    monkeypatch.setenv("NPVGG_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg16@caffe.h5").write_bytes(b"x")
    assert [line.split()[:2] for line in npvgg("models").out.splitlines() if "@" in line] == [["vgg16@caffe", "cached"]]


def test_inspect_shows_header_and_tensors(tiny_file):
    out = npvgg("inspect", tiny_file).out
    assert "made by the tests" in out and "conv1_1/weight" in out and "vgg11_bn" in out and "cat" in out


def test_verify_runs_digests_and_self_test(tiny_file):
    run = npvgg("verify", tiny_file)
    assert run.status == 0 and "tensors match their digests; the self-test is off by" in run.out


def test_verify_says_what_it_cannot_see(tiny, tiny_file, tmp_path):
    """Another preset and other labels, written into a file of their own, pass."""
    other = replace(tiny, preset=images.preset("caffe").resized(32), class_names=tiny.class_names[::-1])
    run = npvgg("verify", other.save(tmp_path / "other.h5"))
    assert run.status == 0
    said = " ".join(run.out.split())
    assert "a seeded picture is prepared as it was when the file was written, and the class names are those of then" in said
    assert "not covered: changes of the weights that stay below the bound of the self-test (--thorough)" in said
    assert "were written in the first place (--test-data)" in said
    assert "written wrong agrees with itself" in " ".join(npvgg("verify", "--help").out.split())


def test_verify_compares_every_layer_where_asked(tiny_file):
    run = npvgg("verify", tiny_file, "--thorough")
    assert run.status == 0 and "layers of a float64 run are as recorded" in run.out
    assert "not covered: whether the right weights" in run.out


def test_verify_says_that_an_older_file_has_no_record():
    older = ROOT / "tests/golden/0.1.0-vgg11_bn.h5"
    run = npvgg("verify", older)
    assert run.status == 0 and "an older file without a record of a run" in run.out and "prepared as it was" not in run.out
    run = npvgg("verify", older, "--thorough")
    assert run.status == 4 and run.err.count("\n") == 1
    assert "carries no record of its layers; convert or save it again" in run.err


def test_verify_finds_a_small_change_under_right_digests(tiny, tiny_file, tmp_path):
    """conv3_1 × 1.00001 passes the self-test in float32."""
    scaled = small_weights.rewritten(tiny_file, tmp_path / "scaled.h5", {
        "conv3_1/weight": tiny.parameters["conv3_1/weight"] * np.float32(1.00001)})
    assert npvgg("verify", scaled).status == 0
    run = npvgg("verify", scaled, "--thorough")
    assert run.status == 5 and "differs from its record, first at conv3_1, by" in run.err and run.err.count("\n") == 1


def test_verify_finds_one_flipped_bit(tiny, tiny_file, tmp_path):
    damaged = tmp_path / "damaged.h5"
    data = bytearray(Path(tiny_file).read_bytes())
    data[data.index(tiny.parameters["conv3_1/weight"].tobytes()) + 100] ^= 1
    damaged.write_bytes(data)
    run = npvgg("verify", damaged)
    assert run.status == 5 and run.err.count("\n") == 1
    assert "damaged.h5" in run.err and "conv3_1/weight" in run.err


def test_trace_and_parity_find_no_gap_between_tiers(tiny_file, pictures, tmp_path):
    for tier in tiers.LADDER:
        run = npvgg("trace", pictures / "a.png", "-o", tmp_path / f"{tier}.h5", "--model", tiny_file, "--tier", tier)
        assert (run.status, run.out.strip()) == (0, str(tmp_path / f"{tier}.h5"))
    trace = traces.read(tmp_path / "jit.h5")
    assert len(trace.pictures_sha256) == 1 and images.Preset.from_json(trace.preset_json).crop == 32
    for tier in tiers.LADDER[1:]:
        run = npvgg("parity", tmp_path / f"{tier}.h5", tmp_path / "reference.h5")
        assert run.status == 0 and "conv1_1" in run.out
    assert json.loads(npvgg("parity", tmp_path / "jit.h5", tmp_path / "reference.h5", "--json").out)["diverges"] is False


def test_parity_takes_arrays_of_other_programs(tiny, tmp_path):
    arrays = tiny.trace(np.zeros((1, 3, 32, 32), np.float32))
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **arrays | {"fc8": arrays["fc8"] + 1})
    run = npvgg("parity", tmp_path / "b.npz", tmp_path / "a.npz", "--json")
    found = json.loads(run.out)
    assert (run.status, found["verdict"], found["first"]) == (1, "diverge", "fc8")


def test_parity_of_two_pictures_ends_with_1(tiny_file, pictures, tmp_path):
    for name in ("a.png", "b.jpg"):
        npvgg("trace", pictures / name, "-o", tmp_path / f"{name}.h5", "--model", tiny_file)
    assert npvgg("parity", tmp_path / "a.png.h5", tmp_path / "b.jpg.h5").status == 1


@pytest.mark.parametrize("arguments, status", [
    (["inspect", "README.md"], 3), (["verify", "nowhere.h5"], 7), (["summary", "resnet"], 2), (["download", "c"], 4),
    (["parity", "README.md", "README.md"], 3), (["trace", "nowhere.png", "-o", "x.h5"], 2),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_bad_files_and_names_are_one_line(monkeypatch, arguments, status):
    monkeypatch.chdir(ROOT)
    run = npvgg(*arguments)
    assert run.status == status and run.out == ""
    assert run.err.startswith("npvgg: ") and run.err.count("\n") == 1


def test_demo_classifies_photographs():
    pytest.importorskip("skimage")
    run = npvgg("demo")
    assert run.status == 0 and run.out.count(".png") + run.out.count(".jpg") == 5


def test_a_closed_pipe_ends_quietly(tiny_file):
    code = "from npvgg.cli import main; import sys; sys.argv = ['npvgg', 'summary', 'vgg19']; main()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0


def test_a_bug_is_reported_as_one(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("npvgg.summary.table", broken)
    run = npvgg("summary", "vgg11")
    assert run.status == 1
    assert "a bug in npvgg (ZeroDivisionError: planted); set NPVGG_DEBUG=1" in run.err and "Traceback" not in run.err


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("NPVGG_DEBUG", "1")
    assert "Traceback" in npvgg("summary", "resnet").err


def test_ctrl_c_ends_with_130(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("npvgg.summary.table", interrupted)
    run = npvgg("summary", "vgg11")
    assert (run.status, run.err) == (130, "npvgg: interrupted\n")


def test_warnings_of_pillow_are_not_printed():
    code = ("import sys, warnings; from npvgg import cli, summary\n"
            "planted = lambda *_: warnings.warn_explicit('planted', UserWarning, 'x.py', 1, module='PIL.TiffImagePlugin')\n"
            "summary.table = planted\n"
            "sys.argv = ['npvgg', 'summary', 'vgg11']; cli.main()")
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


def test_bench_prints_a_time_and_an_error_for_each_batch(tiny_file):
    run = npvgg("bench", "--model", tiny_file, "--batch", 1, "--batch", 3, "--runs", 2)
    assert run.status == 0
    lines = run.out.splitlines()
    assert lines[0].startswith("vgg11_bn on 32×32, engine tier, ")
    for line, batch in zip(lines[3:], (1, 3), strict=True):
        size, median, fastest, rate, error = line.split()
        assert int(size) == batch and 0 < float(fastest) <= float(median) and float(rate) > 0 and 0 <= float(error) < 1e-4


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_after_warmup_nothing_is_compiled(tier, tmp_path, tiny_file, pictures):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, "-m", "npvgg"]
    warm = subprocess.run([*command, "warmup", "--tier", tier], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert warm.returncode == 0 and warm.stdout.strip() == str(tmp_path / "kernels"), warm.stderr
    assert ("compiling" in warm.stderr) == (tier != "reference")
    for arguments in (["predict", pictures / "a.png"], ["trace", pictures / "a.png", "-o", tmp_path / "trace.h5"]):
        run = subprocess.run([*command, *map(str, arguments), "--model", str(tiny_file), "--tier", tier], env=environment,
                             capture_output=True, text=True, cwd=ROOT)
        assert run.returncode == 0 and "compiling" not in run.stderr, run.stderr


STEP = """
import numpy as np
from npvgg import create
from npvgg.training import losses
from npvgg.training.learner import Learner

for name, head in (("vgg13_bn", "avg1 flatten 3"), ("vgg11", "avg2 flatten 5 relu drop 3")):
    learner = Learner(create(name, width=1 / 16, input_size=32, head=head, seed=0))
    learner.step(np.ones((2, 3, 40, 32), np.float32), lambda z: losses.cross_entropy(z, np.array([0, 1])), 0.1)
    learner.network().gradients(np.ones((1, 3, 32, 32), np.float32), {"logits": np.ones((1, 3), np.float32)})
"""


@pytest.mark.heavy
def test_after_warmup_for_training_a_step_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    for command in (["-m", "npvgg", "warmup", "--training"], ["-W", "error", "-c", STEP]):
        run = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, cwd=ROOT)
        assert run.returncode == 0 and ("compiling" in run.stderr) == ("warmup" in command), run.stderr


def test_messages_are_one_line_in_a_pipe_and_cut_between_words_on_a_terminal(monkeypatch):
    (whole,) = npvgg("summary", "resnet").err.splitlines()
    monkeypatch.setattr(text_table, "terminal_width", lambda stream=None: 40)
    first, *others = npvgg("summary", "resnet").err.splitlines()
    assert " ".join([first, *map(str.strip, others)]) == whole and max(map(len, [first, *others])) <= 40


@pytest.mark.parametrize("columns", [40, 50, 80, 200])
@pytest.mark.parametrize("name", [None, *cli.COMMANDS])
def test_help_fits_the_terminal_but_for_command_lines_to_copy(monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = npvgg(*filter(None, [name]), "--help").out.splitlines()
    assert [line for line in lines if len(line) > columns and not re.match(r"  (npvgg|find|curl) ", line)] == []


def test_parity_names_the_mistake_and_writes_a_page(tiny, tiny_file, pictures, tmp_path):
    x = tiny.prepare(pictures / "inner/c.png")
    right = {"input": x} | tiny.trace(x)
    wrong = {"input": x} | tiny.with_parameters({"fc8/bias": tiny.parameters["fc8/bias"] + np.float32(1)}).trace(x)
    np.savez(tmp_path / "a.npz", **wrong)
    np.savez(tmp_path / "b.npz", **right)
    arguments = ("parity", tmp_path / "a.npz", tmp_path / "b.npz", "--model", tiny_file, "--html", tmp_path / "page.html")
    run = npvgg(*arguments, "--json")
    found = json.loads(run.out)
    assert run.status == 1 and (found["first"], found["run"]) == ("fc8", "A")
    assert "fc8" in (tmp_path / "page.html").read_text(encoding="utf-8")
    again = npvgg(*arguments)
    assert again.status not in (0, 1) and "page.html" in again.err
    assert npvgg(*arguments, "--force").status == 1


def test_parity_takes_the_picture(tiny, tiny_file, pictures, tmp_path):
    x = tiny.prepare(pictures / "a.png")
    np.savez(tmp_path / "a.npz", input=x[:, ::-1])
    np.savez(tmp_path / "b.npz", input=x)
    run = npvgg("parity", tmp_path / "a.npz", tmp_path / "b.npz", "--model", tiny_file, "--picture", pictures / "a.png")
    assert run.status == 1 and "A has its input" in run.out and "(BGR for RGB) after normalising" in run.out
    two = npvgg("parity", tmp_path / "a.npz", tmp_path / "b.npz", "--model", tiny_file,
                *("--picture", pictures / "a.png") * 2)
    assert two.status not in (0, 1) and "hold 1 picture and 2 were given" in two.err
