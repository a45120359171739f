"""What `npvgg train` does, step by step: recipe, data, network, run."""
import os
import re
import signal
import sys
import time
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from npvgg import classify, text, weights
from npvgg.architecture import canonical_name
from npvgg.cli import progress
from npvgg.errors import INTERRUPTED, UsageError
from npvgg.storage import atomic_file
from npvgg.training import evaluation, pictures, probe, recipe, report, run, selection, sources, transfer

FINE_TUNING = "fine-tune"               # the recipe for networks that have learned something
WAIT_S = 60                             # between lines within an epoch, where there is no terminal
PLACES = {"model": "network", "width": "network", "head": "network", "input_size": "network",
          "epochs": None, "batch": "training", "teacher": "training", "seed": "training", "rate": "optimiser"}


def train(data, val, config, source, assignments, out, *, resume, every, workers, freeze, is_probe, is_reported, store,
          threads, tier, choices, notes):
    """The command → its exit status."""
    if is_reported:
        report.require()
    refuse_contradictions(source, config, is_probe, freeze, choices)
    chosen = chosen_recipe(config or (FINE_TUNING if source else None), assignments, choices)
    for _, folder in stages(chosen, Path(out)):
        run.is_begun_in(folder, resume)                                 # refused now rather than after the data was read
    vgg = classify.load(source, threads=threads, tier=tier, progress=progress.DownloadBar()) if source else None
    mode = vgg.preset.mode if vgg is not None else chosen.preset.mode if chosen.preset else "RGB"
    begin = time.perf_counter()
    train_set = sources.read(data, mode=mode, threads=threads or os.cpu_count() or 1)
    pictures.check_classes(train_set, text.shown(data))
    if config is None and source is None and choices["input_size"] is None:
        chosen = chosen.with_("network", input_size=size_for(train_set))
    train_set, val_set = parted(train_set, val, chosen, mode, threads)
    told(data, train_set, val_set, time.perf_counter() - begin)
    tell_skipped(Path(out), [*train_set.skipped, *(val_set.skipped if val_set is not None else ())])
    if vgg is not None:
        output = "sigmoid" if train_set.is_multi_label else "softmax"
        head = recipe.filled(chosen.network.head, len(train_set.class_names)) if choices["head"] else ""
        vgg = transfer.with_classes(vgg, train_set.class_names, head=head, output=output, seed=chosen.training.seed)
        if choices["input_size"]:
            vgg = replace(vgg, architecture=replace(vgg.architecture, input_size=choices["input_size"]),
                          preset=vgg.preset.resized(choices["input_size"]))
    if is_probe:
        result = probe.run(chosen, vgg, train_set, val_set, out, notes=notes, store=store, is_again=resume)
        return done(result, Path(out), val_set, is_reported)
    with asked_to_stop() as is_stopped:
        try:
            for number, (stage, folder) in enumerate(stages(chosen, Path(out)), 1):
                if number > 1 and stage.network.start == "previous":
                    net = stage.network.architecture(len(train_set.class_names), vgg.architecture.input_channels,
                                                     train_set.is_multi_label)
                    vgg = transfer.from_shallower(net, vgg, seed=stage.training.seed)
                elif number > 1:
                    vgg = None
                trained = None if freeze is None else unfrozen(freeze, vgg, stage, train_set)
                with shown(stage.network.model if vgg is None else vgg.architecture.name) as watch:
                    vgg = run.run(stage, train_set, val_set, folder, vgg=vgg, trained=trained, resume=resume, threads=threads,
                                  workers=workers, tier=tier, every=every, notes=notes, store=store, watch=watch,
                                  is_stopped=is_stopped)
        except run.Stopped:
            progress.say(f"stopped; {folder / run.LAST} has everything until now, and the same command with --resume goes on",
                         progress.ERROR)
            return INTERRUPTED
    return done(vgg, folder, val_set, is_reported)


def refuse_contradictions(source, config, is_probe, freeze, choices):
    """UsageError for options that do not go together."""
    if is_probe and not source:
        raise UsageError("--probe was given without --from, whose features it would learn from; add a trained network")
    if is_probe and freeze:
        raise UsageError("--probe and --freeze were given; --probe freezes everything but the last layer by itself")
    for name in ("model", "width"):
        if source and choices[name] is not None:
            raise UsageError(f"--from and --{name} were given, but the network that it begins with has its own; leave one out")
    if choices["model"] is not None:
        canonical_name(choices["model"])


def chosen_recipe(config, assignments, choices):
    """The recipe, with what was chosen on the command line in the place of its own."""
    chosen = recipe.recipe(config) if config else recipe.DEFAULT
    if chosen.stages and any(choices[name] is not None for name in ("model",)):
        raise UsageError(f"{chosen.name} trains several networks one after the other, so --model cannot be given; leave it out")
    if choices["epochs"] is not None:
        chosen = replace(chosen.scaled(choices["epochs"]),
                         stages=tuple(without_epochs(stage) for stage in chosen.stages))
    for name, section in PLACES.items():
        if section and choices[name] is not None:
            chosen = recipe.merged(chosen, {section: {name: choices[name]}}, "the command line", keep_stages=True)
    for assignment in assignments:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", assignment, re.S)
        if not match:
            raise UsageError(f"--set {text.shown(assignment, 60)!r} is no SECTION.KEY=VALUE; write --set "
                             "training.smoothing=0.1")
        section, key, value = match.groups()
        chosen = recipe.merged(chosen, {section: {key: toml_value(value)}}, "--set", keep_stages=True)
    return chosen


def without_epochs(stage):
    """A stage that lasts as long as the command line says."""
    return {**stage, "training": {key: value for key, value in stage["training"].items() if key != "epochs"}} \
        if "training" in stage else stage


def toml_value(words):
    """'0.1' → 0.1, '[1, 2]' → [1, 2]; what is no TOML is text."""
    try:
        return tomllib.loads(f"value = {words}")["value"]
    except tomllib.TOMLDecodeError:
        return words


def size_for(data):
    """The input size for pictures of any sizes: theirs, to the next multiple of 32 pixels, at most 224."""
    smallest = int(data.sizes.min(axis=1).max())
    return min(224, max(32, round(smallest / 32) * 32))


def parted(train_set, val, chosen, mode, threads):
    """The data → what is trained on, and what it is judged by, None for nothing."""
    share = chosen.training.val if val is None else fraction(val)
    if share is None:
        val_set = sources.read(val, class_names=train_set.class_names, mode=mode, threads=threads or os.cpu_count() or 1)
        if val_set.is_multi_label != train_set.is_multi_label:
            raise UsageError(f"{text.shown(val)} and the data have different kinds of labels; give one class a picture in "
                             "both, or several in both")
        return train_set, val_set
    return (train_set, None) if share == 0 else pictures.split(train_set, share, chosen.training.seed)


def fraction(words):
    """'0.1' → 0.1; None for what is no number, and so a path."""
    try:
        return float(words)
    except ValueError:
        return None


def told(data, train_set, val_set, seconds):
    """Say what was read."""
    held = "no validation" if val_set is None else f"{len(val_set):,} to validate on"
    stay = "in memory" if train_set.levels is not None else "decoded when they are needed"
    progress.say(f"{text.shown(data)}: {len(train_set):,} pictures of {len(train_set.class_names)} classes to train on, "
                 f"{held}, {stay} ({seconds:.1f} s)")


def tell_skipped(out, skipped):
    """Count the files that were left out, and list them in RUN/skipped.txt."""
    if not skipped:
        return
    out.mkdir(parents=True, exist_ok=True)
    atomic_file.write(out / "skipped.txt", "".join(f"{text.shown(reason)}\n" for _, reason in skipped), force=True)
    progress.say(f"{text.counted(len(skipped), 'picture')} cannot be read and {'is' if len(skipped) == 1 else 'are'} left out, "
                 f"listed in {out / 'skipped.txt'}; the first: {skipped[0][1]}", progress.ERROR)


def stages(chosen, out):
    """(recipe, folder) of each stage; of one stage the folder itself."""
    recipes = chosen.staged()
    if len(recipes) == 1:
        return [(recipes[0], out)]
    return list(zip(recipes, (out / name for name in recipe.names_of(recipes)), strict=True))


def unfrozen(freeze, vgg, stage, train_set):
    """The layers that learn."""
    net = vgg.architecture if vgg is not None else stage.network.architecture(len(train_set.class_names), 3)
    frozen = set(selection.layers_of(net, freeze))
    return [layer.name for layer in net.layers if layer.shapes and layer.name not in frozen]


@contextmanager
def asked_to_stop():
    """A function that says whether Ctrl-C or SIGTERM came; a second Ctrl-C ends at once."""
    came = []

    def stop(number, frame):
        if came:
            raise KeyboardInterrupt
        came.append(number)
        progress.say("stopping after this step; once more ends at once", progress.ERROR)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shown(name):
    """A function that shows the progress: a bar on a terminal, otherwise a line an epoch, and one a minute within it."""
    lines = Lines(name)
    if not (progress.is_said(progress.NOTE) and sys.stderr.isatty()):
        yield lines.watch
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"),
                  console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(name, total=None, told="")

        def watch(at):
            if at.row is not None:
                bar.console.print(f"npvgg: {epoch_line(at)}", markup=False, highlight=False)
            bar.update(task, description=f"epoch {at.epoch + 1}/{at.epochs}", completed=at.batch, total=at.batches,
                       told=step_line(at))

        yield watch


class Lines:
    """Progress as lines."""

    def __init__(self, name):
        self.name, self.last = name, time.monotonic()

    def watch(self, at):
        """Say an epoch that is over, and every minute where it stands."""
        if at.row is not None:
            progress.say(epoch_line(at))
        elif time.monotonic() - self.last >= WAIT_S:
            progress.say(f"epoch {at.epoch + 1}/{at.epochs}, batch {at.batch}/{at.batches}: {step_line(at)}")
        else:
            return
        self.last = time.monotonic()


def step_line(at):
    """Loss, accuracy, pace and time left of an epoch that is under way."""
    left = (at.batches - at.batch + at.batches * (at.epochs - at.epoch - 1)) * at.seconds / max(at.batch, 1)
    return f"loss {at.loss:.4f}, top-1 {100 * at.top1:.1f} %, {at.images_per_s:.0f} pictures/s, {duration(left)} left"


def epoch_line(at):
    """An epoch that is over."""
    row = at.row
    val = "" if row["val_top1"] is None else f", validation loss {row['val_loss']:.4f}, top-1 {100 * row['val_top1']:.2f} %"
    top5 = "" if row["val_top5"] is None else f", top-5 {100 * row['val_top5']:.2f} %"
    left = row["seconds"] * (at.epochs - row["epoch"])
    share = 100 * at.waiting / max(at.seconds, 1e-9)
    waited = f", {share:.1f} % of it waiting for pictures" if progress.is_said(progress.DETAIL) else ""
    return (f"epoch {row['epoch']}/{at.epochs}: loss {row['train_loss']:.4f}, top-1 {100 * row['train_top1']:.1f} "
            f"%{val}{top5}, rate {row['lr']:.3g}, {row['images_per_s']:.0f} pictures/s, {duration(row['seconds'])}{waited}, "
            f"{duration(left)} left")


def duration(seconds):
    """3725 → '1 h 02 min'."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def done(vgg, folder, val_set, is_reported):
    """Say what came out, and print where it is."""
    if is_reported:
        notes = weights.read(folder / run.RESULT).notes
        progress.say(f"{report.write(folder, vgg, val_set, notes)} shows how it went")
    if val_set is not None:
        judged = evaluation.evaluate(vgg, val_set)
        top5 = "" if judged.top5 is None else f", top-5 {100 * judged.top5:.2f} %"
        progress.say(f"top-1 {100 * judged.top1:.2f} %{top5} of {len(val_set):,} pictures that it was not trained on")
    print(text.file_name(folder / run.RESULT))
    return 0
