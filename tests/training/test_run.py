"""A training can be stopped anywhere and goes on bit for bit."""
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from witnesses import training_data
from witnesses.training_data import arrays, bits, recipe

from npvgg import network, weights
from npvgg.cli import training as command
from npvgg.errors import BadFileError, UsageError
from npvgg.training import history, losses, pictures, run, settings
from npvgg.training.learner import Learner, NotFiniteError, fit
from npvgg.training.teacher import Teacher


def train(*arguments, threads=1, **options):
    """On one thread: two for a network this small wait for one another."""
    return run.run(*arguments, threads=threads, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody stopped, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return train(recipe(), arrays(), arrays(12, 1), folder), folder


def stopped_after(steps):
    """A function that says stop after so many steps."""
    seen = []

    def is_stopped():
        seen.append(None)
        return len(seen) == steps
    return is_stopped


@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_stopped_anywhere_it_ends_with_the_bits_of_the_run_that_was_not(whole, tmp_path, steps):
    with pytest.raises(run.Stopped):
        train(recipe(), arrays(), arrays(12, 1), tmp_path, is_stopped=stopped_after(steps))
    again = train(recipe(), arrays(), arrays(12, 1), tmp_path, resume=True)
    assert bits(again) == bits(whole[0])
    rows, others = history.read(tmp_path), history.read(whole[1])
    assert [{**row, "seconds": 0, "images_per_s": 0} for row in rows] == \
        [{**row, "seconds": 0, "images_per_s": 0} for row in others]


def test_the_bits_do_not_depend_on_threads_and_workers(whole, tmp_path):
    assert bits(train(recipe(), arrays(), arrays(12, 1), tmp_path, threads=None, workers=3)) == bits(whole[0])


def test_another_seed_gives_other_bits(whole, tmp_path):
    assert bits(train(recipe(training={"seed": 4}), arrays(), None, tmp_path)) != bits(whole[0])


def command_line(data, out):
    return [data, "--val", "0.2", "--model", "vgg11_bn", "--width", 1 / 32, "--input-size", 32, "--epochs", 3, "--batch", 4,
            "--rate", 0.05, "--set", "optimiser.average=0.9", "--every", 1e-4, "--out", out, "--threads", 1]


def train_here(data, out):
    from click.testing import CliRunner

    from npvgg import cli

    done = CliRunner().invoke(cli.command, ["train", *map(str, command_line(data, out)), "--resume"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return weights.read(out / run.RESULT).parameters


def check_kills(tmp_path, count):
    x, y = training_data.levels(60)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    expected = train_here(tmp_path / "data.npz", tmp_path / "whole")
    for number in range(count):
        out = tmp_path / f"killed{number}"
        training_data.killed(command_line(tmp_path / "data.npz", out), random.Random(number).random() * 0.5, out / run.LAST)
        found = train_here(tmp_path / "data.npz", out)
        assert {path: values.tobytes() for path, values in found.items()} == \
            {path: values.tobytes() for path, values in expected.items()}


def test_killed_at_a_random_moment_it_ends_with_the_same_bits(tmp_path):
    check_kills(tmp_path, 1)


@pytest.mark.heavy
def test_killed_ten_times(tmp_path):
    check_kills(tmp_path, 10)


def test_what_is_written_can_predict(whole):
    vgg, folder = whole
    x, _ = training_data.levels(3)
    assert vgg.class_names == training_data.NAMES
    assert len(network.load_file(folder / run.RESULT).predict(x[0], 1)) == 1
    assert weights.read(folder / run.BEST).class_names == training_data.NAMES
    notes = weights.read(folder / run.RESULT).notes
    assert "top-1" in notes and "40 pictures, 2 epochs" in notes
    assert vgg.run_self_test() < 1e-4


def test_the_history_has_a_line_an_epoch(whole):
    rows = history.read(whole[1])
    assert [row["epoch"] for row in rows] == [1, 2] and [row["step"] for row in rows] == [5, 10]
    lines = (whole[1] / "history.csv").read_text().splitlines()
    assert lines[0].split(",") == list(history.COLUMNS) and len(lines) == 3


def test_a_history_is_cut_where_its_end_is_none(tmp_path):
    row = dict.fromkeys(history.COLUMNS, 1.5)
    for epoch in (1, 2, 3):
        history.append(tmp_path, {**row, "epoch": epoch})
    with open(tmp_path / "history.jsonl", "a") as file:
        file.write('{"epoch": 4, "st')
    assert [kept["epoch"] for kept in history.cut(tmp_path, 2)] == [1, 2]
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3
    (tmp_path / "history.jsonl").write_text('{"epoch"\n{}\n')
    with pytest.raises(BadFileError, match="line 1 of"):
        history.read(tmp_path)


def test_a_folder_with_a_training_is_not_begun_again(whole):
    with pytest.raises(UsageError, match="holds a training already.*resume"):
        train(recipe(), arrays(), None, whole[1])


@pytest.mark.parametrize("change, telling", [
    ({"recipe": recipe(training={"smoothing": 0.1})}, "recipe.training.smoothing = 0.0 and not 0.1"),
    ({"pictures": arrays(seed=5)}, "other pictures:"), ({"val": None}, "other pictures to validate on"),
    ({"pictures": replace(arrays(), class_names=("x", "y", "z"))}, "other classes"),
    ({"recipe": recipe(network={"width": 1 / 16})}, "another network"),
], ids=["recipe", "data", "validation", "classes", "network"])
def test_another_training_does_not_go_on_here(whole, change, telling):
    arguments = {"recipe": recipe(), "pictures": arrays(), "val": arrays(12, 1)} | change
    with pytest.raises((UsageError, BadFileError), match=telling):
        train(*arguments.values(), whole[1], resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path):
    wild = recipe(model="vgg11", optimiser={"rate": 1e12, "average": 0.0}, schedule={"warm_up": 0}, epochs=3)
    with pytest.raises(NotFiniteError, match=r"step \d+"):
        train(wild, arrays(), None, tmp_path, every_steps=1)
    saved = run.checkpoints.read(tmp_path / run.LAST, wild.network.architecture(3, 3))
    assert all(np.isfinite(values).all() for values in saved.arrays["parameters"].values())


def test_the_culprit_is_named():
    vgg = network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3", threads=1)
    learner = Learner(vgg, threads=1)
    learner.parameters["bn2_1/weight"][:] = np.inf
    with pytest.raises(NotFiniteError, match="step 0 .* bn2_1/weight is not finite"):
        learner.step(np.ones((2, 3, 32, 32), np.float32), lambda z: losses.cross_entropy(z, np.array([0, 1])), 0.1)


def test_early_stopping_keeps_the_best(tmp_path):
    stopping = recipe(epochs=9, optimiser={"rate": 1e-9, "average": 0.0}, training={"early_stopping": 2})
    train(stopping, arrays(), arrays(12, 1), tmp_path)
    rows = history.read(tmp_path)
    best = max(row["val_top1"] for row in rows)
    assert len(rows) < 9 and rows[-3]["val_top1"] == best
    assert bits(network.load_file(tmp_path / run.BEST)) == bits(network.load_file(tmp_path / run.RESULT))


@pytest.mark.parametrize("sections", [
    {"optimiser": {"accumulate": 2}}, {"optimiser": {"name": "adamw", "rate": 1e-3, "clip": 1.0}},
    {"augmentation": {"mixup": 0.2, "cutmix": 1.0}}, {"schedule": {"name": "plateau", "patience": 1, "warm_up": 0}},
    {"training": {"class_weights": "balanced", "sizes": [[1, 32]], "calm": 1}},
    {"schedule": {"name": "one-cycle", "warm_up": 0}},
], ids=["accumulate", "adamw", "mixing", "plateau", "weights", "one-cycle"])
def test_every_kind_of_state_is_in_the_checkpoint(tmp_path, sections):
    made = recipe(**sections)
    expected = bits(train(made, arrays(), arrays(12, 1), tmp_path / "whole"))
    with pytest.raises(run.Stopped):
        train(made, arrays(), arrays(12, 1), tmp_path / "parts", is_stopped=stopped_after(2))
    assert bits(train(made, arrays(), arrays(12, 1), tmp_path / "parts", resume=True)) == expected


def test_several_labels(tmp_path):
    x, classes = training_data.levels(40)
    rows = np.eye(3)[classes]
    rows[::2, 2] = 1
    labelled = pictures.of_arrays(x, rows, training_data.NAMES)
    vgg = train(recipe(training={"class_weights": "balanced"}), labelled, labelled, tmp_path)
    assert vgg.architecture.output == "sigmoid" and history.read(tmp_path)[-1]["val_top1"] > 0.3


def test_dropout_leaves_out_other_numbers_at_every_step(tmp_path):
    made = recipe(network={"head": "avg1 flatten 8 relu drop classes"})
    expected = bits(train(made, arrays(), None, tmp_path / "whole"))
    with pytest.raises(run.Stopped):
        train(made, arrays(), None, tmp_path / "parts", is_stopped=stopped_after(3))
    assert bits(train(made, arrays(), None, tmp_path / "parts", resume=True)) == expected


def test_a_loop_of_ones_own():
    x, classes = training_data.levels(24)
    vgg = network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3")
    z, seen = vgg.prepare(x), []
    trained = fit(vgg, lambda epoch: [(z[i:i + 8], classes[i:i + 8]) for i in range(0, 24, 8)], losses.cross_entropy, epochs=4,
                  rate=0.05, threads=1, callback=lambda learner, epoch, step: seen.append(step.loss))
    assert len(seen) == 12 and seen[-1] < seen[0] and bits(trained) != bits(vgg)


def test_stages_follow_one_another(tmp_path):
    from npvgg.training.recipe import of_tables

    data = training_data.folder(tmp_path / "data", 24)
    (tmp_path / "two.toml").write_text(
        '[network]\nwidth = 0.03125\ninput_size = 32\n[training]\nepochs = 1\nbatch = 8\nval = 0.25\n'
        '[[stages]]\nnetwork = {model = "vgg11"}\n[[stages]]\nnetwork = {model = "vgg13", start = "previous"}\n')
    assert len(of_tables({"stages": [{}, {}]}).staged()) == 2
    choices = dict.fromkeys(command.PLACES)
    status = command.train(data, None, str(tmp_path / "two.toml"), None, (), tmp_path / "out", resume=False, every=60,
                           workers=1, store="float32", freeze=None, is_probe=False, is_reported=False, threads=1, tier="engine",
                           choices=choices, notes="")
    assert status == 0 and (tmp_path / "out/1-vgg11/weights.h5").exists() and (tmp_path / "out/2-vgg13/weights.h5").exists()
    found = json.loads(run.checkpoints.read(tmp_path / "out/2-vgg13/last.h5",
                                               network.load_file(tmp_path / "out/2-vgg13/weights.h5").architecture)
                          .settings["architecture"])
    assert found["name"] == "vgg13"


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    from npvgg.errors import StorageError
    from npvgg.storage import atomic_file

    with pytest.raises(run.Stopped):
        train(recipe(), arrays(), None, tmp_path, is_stopped=stopped_after(3))
    before, write = (tmp_path / run.LAST).read_bytes(), atomic_file.os.fsync

    def full(descriptor):
        write(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_file.os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written .*free some space"):
        train(recipe(), arrays(), None, tmp_path, resume=True, every_steps=1)
    monkeypatch.undo()
    assert (tmp_path / run.LAST).read_bytes() == before and not list(tmp_path.glob("*.tmp"))
    train(recipe(), arrays(), None, tmp_path, resume=True)


def test_batches_of_one_picture(tmp_path):
    made = recipe(batch=1, epochs=1, optimiser={"rate": 1e-4, "average": 0.0})
    train(made, arrays(4), None, tmp_path / "maps")
    with pytest.raises(UsageError, match="batch norms need two"):
        train(made.with_("network", head="avg1 flatten bn classes"), arrays(4), None, tmp_path / "features")
    train(made.with_("network", head="avg1 flatten bn classes").with_("training", batch=2), arrays(5), None, tmp_path / "two")
    assert history.read(tmp_path / "two")[0]["step"] == 2                  # the fifth picture is left out


def test_a_class_that_no_file_can_name_is_refused_at_once(tmp_path):
    x, classes = training_data.levels(6)
    with pytest.raises(UsageError, match="control character"):
        train(recipe(), pictures.of_arrays(x, classes, ("a", "b\n", "c")), None, tmp_path)


def test_a_teachers_answers_are_a_part_of_the_targets(whole, tmp_path):
    taught = recipe(training={"teacher": str(whole[1] / run.RESULT), "trust": 0.75, "temperature": 2.0})
    expected = bits(train(taught, arrays(), None, tmp_path / "whole", vgg=replaced_preset(whole[0])))
    with pytest.raises(run.Stopped):
        train(taught, arrays(), None, tmp_path / "parts", vgg=replaced_preset(whole[0]), is_stopped=stopped_after(3))
    resumed = train(taught, arrays(), None, tmp_path / "parts", vgg=replaced_preset(whole[0]), resume=True)
    assert bits(resumed) == expected
    teacher = Teacher.of(taught, whole[0])
    x = whole[0].prepare(training_data.levels(4)[0])
    mixed = teacher.mixed(x, np.array([0, 1, 2, 0]))
    z = whole[0].forward(x).astype(np.float64) / 2
    answers = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert mixed == pytest.approx(0.25 * np.eye(3)[[0, 1, 2, 0]] + 0.75 * answers, abs=1e-6)
    with pytest.raises(UsageError, match="other classes"):
        Teacher.of(taught, network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3"))
    with pytest.raises(UsageError, match="wants mean"):
        Teacher.of(taught, network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3",
                                              class_names=training_data.NAMES))


def replaced_preset(vgg):
    """Fresh parameters under the same preset."""
    return network.create(vgg.architecture, seed=9, preset=vgg.preset, class_names=vgg.class_names)


def test_a_checkpoint_that_lacks_newer_settings_goes_on(whole):
    mine = run.Training(recipe(), arrays(), None, whole[1], None, None, 1, 1, "engine", "", "float32").settings()
    older = json.loads(json.dumps(mine))
    del older["teacher"], older["recipe"]["training"]["teacher"], older["recipe"]["optimiser"]["norm_momentum"]
    settings.refuse_other(older, mine, whole[1])
    with pytest.raises(UsageError, match="norm_momentum = 0.1 and not 0.2"):
        settings.refuse_other(older, mine | {"recipe": recipe(optimiser={"norm_momentum": 0.2}).to_json()}, whole[1])


@pytest.mark.parametrize("sections", [{"schedule": {"name": "plateau"}}, {"training": {"early_stopping": 2}}])
def test_what_goes_by_a_validation_is_refused_without_one(tmp_path, sections):
    with pytest.raises(UsageError, match="go by a validation"):
        train(recipe(**sections), arrays(), None, tmp_path)


def test_a_damaged_checkpoint_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(run.Stopped):
        train(recipe(), arrays(), None, tmp_path, is_stopped=stopped_after(2))
    data = bytearray((tmp_path / run.LAST).read_bytes())
    saved = run.checkpoints.read(tmp_path / run.LAST, recipe().network.architecture(3, 3))
    data[data.index(saved.arrays["momentum"]["conv5_2/weight"].tobytes()) + 5] ^= 1
    (tmp_path / run.LAST).write_bytes(data)
    with pytest.raises(BadFileError, match="last.h5 is damaged.*remove it to begin anew"):
        train(recipe(), arrays(), None, tmp_path, resume=True)
    (tmp_path / run.LAST).write_bytes(data[:1000])
    with pytest.raises(BadFileError):
        train(recipe(), arrays(), None, tmp_path, resume=True)
