"""npvgg train, evaluate and prepare from end to end."""
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from witnesses import training_data

from npvgg import cli, network, weights
from npvgg.errors import NpvggError

SMALL = ["--model", "vgg11_bn", "--width", "0.03125", "--input-size", "32", "--epochs", "2", "--batch", "8", "--threads", "1"]


def npvgg(*arguments):
    """Run a command here → (status, what it printed, its error)."""
    done = CliRunner().invoke(cli.command, [str(argument) for argument in arguments], standalone_mode=False)
    if isinstance(done.exception, NpvggError):
        return done.exception.exit_code, done.output, str(done.exception)
    if done.exception is not None:
        raise done.exception
    return done.return_value or 0, done.output, ""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training_data.folder(tmp_path_factory.mktemp("data"), 36)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    status, said, _ = npvgg("train", data, *SMALL, "--set", "augmentation.flip='random'", "--out", out)
    assert status == 0, said
    assert "epoch 2/2: loss" in said and "33 pictures of 3 classes" in said and "weights.h5" in said
    return out


def test_what_was_trained_is_evaluated_and_predicts(trained, data):
    status, said, _ = npvgg("evaluate", data, "--model", trained / "weights.h5", "--json")
    facts = json.loads(said)
    assert status == 0 and facts["pictures"] == 36 and facts["top1"] > 0.3 and facts["top5"] is None
    assert npvgg("evaluate", data, "--model", trained / "weights.h5", "--mirror")[1].startswith("top-1")
    status, said, _ = npvgg("predict", next(data.rglob("*.png")), "--model", trained / "weights.h5", "--top", 1)
    assert status == 0 and any(name in said for name in training_data.NAMES)
    assert npvgg("verify", trained / "weights.h5")[0] == 0


def test_fine_tuning_to_other_classes_with_frozen_layers(trained, tmp_path):
    other = training_data.folder(tmp_path / "other", 16)
    (other / "cat").rename(other / "dog")
    status, said, _ = npvgg("train", other, "--from", trained / "weights.h5", "--freeze", "conv1:conv4", "--epochs", 1,
                            "--batch", 8, "--threads", 1, "--out", tmp_path / "run")
    assert status == 0, said
    before, after = network.load_file(trained / "weights.h5"), network.load_file(tmp_path / "run/weights.h5")
    assert after.class_names == ("ant", "bee", "dog")
    for path in ("conv1_1/weight", "conv4_2/bias", "bn4_2/weight"):
        assert np.array_equal(before.parameters[path], after.parameters[path])
    assert not np.array_equal(before.parameters["conv5_1/weight"], after.parameters["conv5_1/weight"])


def test_a_probe_changes_the_last_layer_alone(trained, data, tmp_path):
    status, said, _ = npvgg("train", data, "--from", trained / "weights.h5", "--head", "avg1 flatten classes", "--probe",
                            "--epochs", 20, "--threads", 1, "--out", tmp_path / "run")
    assert status == 0, said
    before, after = network.load_file(trained / "weights.h5"), network.load_file(tmp_path / "run/weights.h5")
    changed = {path for path in after.parameters if not np.array_equal(before.parameters[path], after.parameters[path])}
    assert changed == {"fc6/weight", "fc6/bias"} and "linear probe" in weights.read(tmp_path / "run/weights.h5").notes
    assert json.loads(npvgg("evaluate", data, "--model", tmp_path / "run/weights.h5", "--json")[1])["top1"] > 0.6


def test_pictures_that_cannot_be_read_are_counted_and_listed(tmp_path):
    root = training_data.folder(tmp_path / "data", 12)
    (root / "ant/broken.png").write_bytes(b"no picture")
    status, said, _ = npvgg("train", root, *SMALL[:-2], "--epochs", 1, "--threads", 1, "--val", 0, "--out", tmp_path / "run")
    assert status == 0 and "1 picture cannot be read" in said
    assert "broken.png" in (tmp_path / "run/skipped.txt").read_text()
    status, said, _ = npvgg("evaluate", root, "--model", tmp_path / "run/weights.h5")
    assert status == 8 and "of 12 pictures" in said


@pytest.mark.parametrize("arguments, telling", [
    (["--config", "cifar"], "no recipe 'cifar'"), (["--probe"], "without --from"),
    (["--model", "vgg61"], "did you mean 'vgg16'"),
    (["--set", "training.smoothing"], "SECTION.KEY=VALUE"), (["--set", "training.smooth=1"], "did you mean 'smoothing'"),
    (["--set", "train.smoothing=0.1"], "did you mean 'training'"), (["--head", "avg1 flatten 7", *SMALL], "7 outputs"),
    (["--val", "nowhere"], "there is no nowhere"), (["--freeze", "conv9", *SMALL], "no layer 'conv9'"),
    (["--from", "MODEL", "--width", "0.5"], "--from and --width"),
])
def test_bad_options_are_answered_in_a_sentence(data, tmp_path, trained, arguments, telling):
    arguments = [str(trained / "weights.h5") if argument == "MODEL" else argument for argument in arguments]
    status, _, error = npvgg("train", data, *arguments, "--out", tmp_path / "run")
    assert status != 0 and telling in error


def test_the_same_command_goes_on_only_with_resume(trained, data):
    pytest.importorskip("matplotlib")
    status, _, error = npvgg("train", data, *SMALL, "--out", trained)
    assert status != 0 and "--resume" in error
    before = (trained / "weights.h5").read_bytes()
    again = ["train", data, *SMALL, "--set", "augmentation.flip='random'", "--out", trained, "--resume", "--report"]
    status, said, _ = npvgg(*again)
    assert status == 0 and "report.html shows how it went" in said and (trained / "report.html").stat().st_size > 10_000
    assert weights.read(trained / "weights.h5").parameters.keys() and len(before) == (trained / "weights.h5").stat().st_size


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_checkpoint(data, tmp_path, number):
    command = [sys.executable, "-m", "npvgg", "train", data, *SMALL[:-4], "--epochs", 500, "--threads", 1, "--every", 1e-3,
               "--out", tmp_path / "run"]
    child = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/last.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(number)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130 and b"--resume" in said


def test_prepare_makes_squares(tmp_path):
    (tmp_path / "in/a").mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 80, 3), np.uint8)).save(tmp_path / "in/a/one.png")
    Image.fromarray(rng.integers(0, 256, (90, 50), np.uint8)).save(tmp_path / "in/two.jpg")
    (tmp_path / "in/a/bad.gif").write_bytes(b"GIF89a")
    status, said, _ = npvgg("prepare", tmp_path / "in", tmp_path / "out", "--size", 32)
    assert status == 8 and "2 pictures of 32×32" in said and "bad.gif" in said
    found = {path.relative_to(tmp_path / "out").as_posix(): Image.open(path) for path in (tmp_path / "out").rglob("*.*")}
    assert {name: (picture.size, picture.mode) for name, picture in found.items()} == {
        "a/one.png": ((32, 32), "RGB"), "two.png": ((32, 32), "RGB")}
    middle = Image.open(tmp_path / "in/a/one.png").crop((20, 0, 60, 40)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(found["a/one.png"]), np.asarray(middle))
    assert "exists already" in npvgg("prepare", tmp_path / "in", tmp_path / "out", "--size", 32)[2]
    assert "lies in" in npvgg("prepare", tmp_path / "in", tmp_path / "in/out")[2]
    assert npvgg("prepare", tmp_path / "in", tmp_path / "more", "--fit", "pad", "--format", "jpg")[0] == 8
