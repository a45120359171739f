"""A whole training in a folder, which can be stopped and gone on with at any moment, bit for bit.

    run(recipe, pictures, val, "RUN")        → the trained VGG

    RUN/last.h5             checkpoint: written every few minutes, at the end of each epoch, and when it is stopped
    RUN/best.h5             weights of the epoch that answered best so far
    RUN/history.csv, .jsonl one line an epoch
    RUN/weights.h5          the result, for `npvgg predict --model RUN/weights.h5`

What a step computes depends on the recipe, the data and the step's number alone.  So a run that was killed goes on from its
last checkpoint and ends with the bits of one that was not, whatever the number of threads, on one kind of processor.
"""
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from npvgg import network, projections, weights
from npvgg.architecture import Architecture
from npvgg.counting import describe
from npvgg.errors import StorageError, UsageError
from npvgg.network import VGG
from npvgg.parameters import sealed
from npvgg.storage import atomic_file, file_lock
from npvgg.text import shown
from npvgg.training import checkpoints, class_weights, history, losses
from npvgg.training.averaging import Average
from npvgg.training.evaluation import evaluate, hits
from npvgg.training.feeding import Batch, Feed
from npvgg.training.learner import Learner
from npvgg.training.measured_preset import preset_for
from npvgg.training.pictures import Pictures, check_classes
from npvgg.training.recipe import Recipe
from npvgg.training.settings import refuse_other
from npvgg.training.teacher import Teacher

LAST, BEST, RESULT = "last.h5", "best.h5", "weights.h5"
LONGEST = 8000                  # characters of notes, and twice as many of the history in the result
MEASURED = 4096                 # pictures on which averaged weights get their batch norms measured


class Stopped(Exception):
    """The training was asked to stop; its checkpoint is written."""


@dataclass
class Progress:
    """Where a training stands, for who watches it."""

    epoch: int                      # from 0
    epochs: int
    batch: int                      # batches of this epoch that are done
    batches: int
    step: int
    rate: float
    loss: float                     # means over this epoch's pictures so far
    top1: float
    images_per_s: float
    seconds: float
    waiting: float                  # of these, those in which no batch was ready
    row: dict[str, Any] | None = None       # the epoch's line of the history, when it is over


@dataclass
class State:
    """The numbers of a training that cannot be computed again."""

    epoch: int = 0
    batch: int = 0                  # the next one of the epoch
    loss_sum: float = 0.0
    hit_sum: float = 0.0
    seen: int = 0                   # pictures of the epoch
    seconds: float = 0.0
    best: float | None = None       # the validation's top-1, or without validation nothing
    best_epoch: int = 0
    waited: int = 0                 # epochs since then
    plateau: list | None = None
    is_over: bool = False
    notes: str = ""                 # those of the first command, which the result will carry


def run(recipe: Recipe, pictures: Pictures, val: Pictures | None, folder: str | os.PathLike, *, vgg: VGG | None = None,
        trained: list[str] | None = None, resume: bool = False, threads: int | None = None, workers: int = 1,
        tier: str = "engine", every: float = 300.0, every_steps: int | None = None, notes: str = "", store: str = "float32",
        watch: Callable[[Progress], None] | None = None, is_stopped: Callable[[], bool] | None = None) -> VGG:
    """Train as the recipe says, on `pictures`, judged by `val` after every epoch, in `folder` → the network.

    `vgg` is what it begins with, by default fresh parameters; `trained` names the layers that learn.  A checkpoint is written
    every `every` seconds, or every `every_steps` steps, and at the end of each epoch.  `watch` is told after every step;
    `is_stopped` is asked after every step, and True ends the training with a checkpoint and Stopped.  `notes` go into the
    file of the result, which is stored as `store` says.

    UsageError where the folder holds a training and not `resume`, or another one than this; NotFiniteError where the loss is;
    StorageError where something cannot be written: what was written before stays.
    """
    check_classes(pictures, "the data")
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(atomic_file.sentence(folder, error)) from None
    is_begun = is_begun_in(folder, resume)
    with file_lock.held(folder / ".lock", f"{shown(folder)} is being trained by another process; waiting until it is done"):
        one = Training(recipe, pictures, val, folder, vgg, trained, threads, workers, tier, notes, store)
        if is_begun:
            one.restore()
        else:
            history.cut(folder, 0)
        return one.go_on(every, every_steps, watch or (lambda progress: None), is_stopped or (lambda: False))


def is_begun_in(folder: Path, resume: bool) -> bool:
    """Whether the folder holds a training; UsageError where it does and not `resume`."""
    is_begun = (folder / LAST).exists()
    if is_begun and not resume:
        raise UsageError(f"{shown(folder)} holds a training already; go on with it with --resume (in Python resume=True), or "
                         "give another --out")
    return is_begun


class Training:
    """One run: what it is made of, and the state that moves."""

    def __init__(self, recipe, pictures, val, folder, vgg, trained, threads, workers, tier, notes, store):
        self.recipe, self.folder, self.store = recipe, folder, store
        preset = preset_for(recipe, pictures) if vgg is None else vgg.preset
        self.pictures = pictures.in_mode(preset.mode)
        self.val = None if val is None else val.in_mode(preset.mode)
        if vgg is None:
            net = recipe.network.architecture(len(pictures.class_names), preset.channels, pictures.is_multi_label)
            vgg = network.create(net, seed=recipe.training.seed, how=recipe.network.start, preset=preset,
                                 class_names=pictures.class_names, tier=tier, threads=threads)
        if vgg.architecture.num_classes != len(pictures.class_names):
            raise UsageError(f"the network has {vgg.architecture.num_classes} classes and the data "
                             f"{len(pictures.class_names)}; give it a new head, vgg.with_head(…)")
        self.vgg = vgg.using(tier=tier, threads=threads)
        net, own = vgg.architecture, recipe.optimiser
        self.learner = Learner(self.vgg, own.optimiser(net), trained=trained, clip=own.clip, average=own.average or None,
                               norm_momentum=own.norm_momentum, seed=recipe.training.seed, tier=tier, threads=threads)
        weights.label_array(pictures.class_names, net)                  # refused now rather than after the training
        sizes = {preset.crop, *(side for _, side in recipe.training.sizes)}
        least = max(pictures_needed(net, size) for size in sizes)
        self.feed = Feed(self.pictures, preset, recipe.training.batch, recipe.training.seed, workers, least)
        if not self.feed.count:
            raise UsageError(f"batches of {min(len(pictures), recipe.training.batch)} picture cannot train {net.name}, whose "
                             "batch norms need two; give more pictures, or a larger --batch")
        self.steps_an_epoch = max(1, self.feed.count // own.accumulate)
        self.plateau = recipe.schedule.plateau()
        if val is None and (self.plateau or recipe.training.early_stopping or recipe.training.keep == "best"):
            raise UsageError("a plateau, early stopping and keeping the best epoch go by a validation, and there is none; give "
                             "--val, or another schedule")
        self.class_weights = class_weights.of_classes(recipe.training.class_weights, pictures)
        self.trained = trained
        self.teacher = Teacher.of(recipe, self.vgg) if recipe.training.teacher else None
        self.state = State(notes=notes[:LONGEST])

    # --------------------------------------------------------------------------------------------- the loop

    def go_on(self, every, every_steps, watch, is_stopped) -> VGG:
        """From where it stands to its end."""
        saved, epochs = time.monotonic(), self.recipe.training.epochs
        while self.state.epoch < epochs and not self.state.is_over:
            begin, before = time.monotonic(), self.state.seconds
            groups, self.waiting = self.groups(), 0.0
            while True:
                asked = time.monotonic()
                if (parts := next(groups, None)) is None:
                    break
                self.waiting += time.monotonic() - asked
                self.step(parts)
                self.state.seconds = before + time.monotonic() - begin
                watch(self.progress())
                is_due = self.learner.steps % every_steps == 0 if every_steps else time.monotonic() - saved >= every
                if is_stopped():
                    self.save()
                    raise Stopped
                if is_due:
                    self.save()
                    saved = time.monotonic()
            progress = self.progress()
            progress.row = self.end_epoch()
            watch(progress)
            saved = time.monotonic()
            if is_stopped() and not self.is_finished:
                raise Stopped
        return self.finish()

    @property
    def is_finished(self):
        """Whether every epoch is done."""
        return self.state.is_over or self.state.epoch >= self.recipe.training.epochs

    def groups(self) -> Iterator[list[Batch]]:
        """The batches of the epoch that are left, as many together as make one step."""
        epoch, count = self.state.epoch, self.recipe.optimiser.accumulate
        batches = self.feed.batches(epoch, self.recipe.augmentation_of(epoch), self.recipe.size_of(epoch), self.state.batch)
        while len(group := list(islice(batches, count))) == count or (group and self.state.batch == 0):
            yield group

    def step(self, parts: list[Batch]) -> None:
        """One step of the optimiser."""
        rate, momentum = self.rate(self.learner.steps)
        pairs = [(part.x, partial(self.loss, targets=self.targets(part))) for part in parts]
        taken = self.learner.step_of_parts(pairs, rate, momentum=momentum)
        targets = parts[0].targets if len(parts) == 1 else np.concatenate([part.targets for part in parts])
        state, count = self.state, len(targets)
        state.loss_sum += taken.loss * count
        state.hit_sum += hits(taken.output, targets, self.pictures.is_multi_label)
        state.seen += count
        state.batch += len(parts)

    def progress(self) -> Progress:
        """Where it stands."""
        state = self.state
        rate, _ = self.rate(self.learner.steps - 1)
        return Progress(state.epoch, self.recipe.training.epochs, state.batch, self.feed.count, self.learner.steps, rate,
                        state.loss_sum / state.seen, state.hit_sum / state.seen, state.seen / max(state.seconds, 1e-9),
                        state.seconds, self.waiting)

    def rate(self, step: int) -> tuple[float, float | None]:
        """The learning rate and the momentum of a step, from 0."""
        schedule, own = self.recipe.schedule, (step, self.steps_an_epoch, self.recipe.training.epochs)
        factor = schedule.factor_at(*own) * (self.plateau.factor if self.plateau else 1.0)
        return self.recipe.optimiser.rate * factor, schedule.momentum_at(*own)

    def targets(self, part: Batch) -> np.ndarray:
        """What a batch should be answered with: its own targets, mixed with the teacher's answers if there is a teacher."""
        return part.targets if self.teacher is None else self.teacher.mixed(part.x, part.targets)

    def loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss of a batch and its gradient."""
        if self.pictures.is_multi_label:
            return losses.binary_cross_entropy(logits, targets, positive_weights=self.class_weights)
        return losses.cross_entropy(logits, targets, smoothing=self.recipe.training.smoothing, weights=self.class_weights)

    # --------------------------------------------------------------------------------------------- ends of epochs

    def end_epoch(self) -> dict[str, Any]:
        """Judge the network, write its line and the checkpoint → the line."""
        state, begin = self.state, time.monotonic()
        vgg, judged = self.network(), None
        rate, _ = self.rate(self.learner.steps - 1)
        if self.val is not None:
            judged = evaluate(vgg, self.val, workers=self.feed.workers)
            is_better = state.best is None or judged.top1 > state.best
            if is_better:
                state.best, state.best_epoch, state.waited = judged.top1, state.epoch + 1, 0
                self.write_weights(vgg, BEST, "")
            else:
                state.waited += 1
            if self.plateau:
                self.plateau.observe(judged.loss)
        patience = self.recipe.training.early_stopping
        state.is_over = bool(patience) and state.waited >= patience
        loss, top1 = state.loss_sum / state.seen, state.hit_sum / state.seen
        pace = state.seen / max(state.seconds, 1e-9)
        seconds = state.seconds + time.monotonic() - begin
        row = {"epoch": state.epoch + 1, "step": self.learner.steps, "lr": rate, "train_loss": loss, "train_top1": top1,
               "val_loss": judged and judged.loss, "val_top1": judged and judged.top1, "val_top5": judged and judged.top5,
               "images_per_s": round(pace, 1), "seconds": round(seconds, 2)}
        history.append(self.folder, row)
        state.epoch, state.batch, state.seen = state.epoch + 1, 0, 0
        state.loss_sum = state.hit_sum = state.seconds = 0.0
        self.save()
        return row

    @property
    def keeps_best(self) -> bool:
        """Whether the result is the best epoch's network."""
        return self.recipe.training.keep == "best" or bool(self.recipe.training.early_stopping)

    def network(self) -> VGG:
        """The network as it would be saved now."""
        batches = Feed(self.pictures, self.feed.preset, self.feed.batch, self.feed.seed, self.feed.workers).batches(0)
        return self.learner.network(batch.x for batch in islice(batches, max(1, MEASURED // self.feed.batch)))

    def write_weights(self, vgg: VGG, name: str, notes: str) -> None:
        """Write a weights file without a self-test, which the final one gets."""
        weights.write(self.folder / name, vgg.parameters, architecture=vgg.architecture, preset=vgg.preset,
                      class_names=vgg.class_names, source_name=vgg.source, notes=notes, force=True)

    def finish(self) -> VGG:
        """Write the result → it."""
        vgg, rows = self.network(), history.read(self.folder)
        if self.keeps_best and (self.folder / BEST).exists():
            parameters = weights.read(self.folder / BEST, verify=True).parameters
            vgg = self.vgg.with_parameters({path: sealed(np.array(values)) for path, values in parameters.items()})
        vgg.save(self.folder / RESULT, notes=self.whole_notes(rows), store=self.store, force=True,
                 source_name=f"trained by npvgg, {self.recipe.name or 'no recipe'}")
        return network.load_file(self.folder / RESULT)

    def whole_notes(self, rows: list[dict[str, Any]]) -> str:
        """How the result was made: what was given as notes, its accuracy, and every epoch's."""
        lines = [self.state.notes] if self.state.notes else []
        if rows and rows[-1]["val_top1"] is not None:
            row = rows[self.state.best_epoch - 1] if self.keeps_best else rows[-1]
            top5 = "" if row["val_top5"] is None else f", top-5 {100 * row['val_top5']:.2f} %"
            lines.append(f"validation: top-1 {100 * row['val_top1']:.2f} %{top5} of {len(self.val)} pictures that were held "
                         f"out (epoch {row['epoch']})")
        hours = sum(row["seconds"] for row in rows) / 3600
        lines.append(f"trained on {len(self.pictures)} pictures, {len(rows)} epochs, {hours:.2f} h")
        step = -(-len(rows) // (LONGEST // 20))
        told = "; ".join(f"{row['epoch']}: {row['train_loss']:.4g} {row['train_top1']:.4f}"
                         + ("" if row["val_top1"] is None else f" {row['val_top1']:.4f}") for row in rows[::-step][::-1])
        lines.append(f"history, epoch: training loss, training top-1{'' if self.val is None else ', validation top-1'}: {told}")
        return "\n".join(lines)

    # --------------------------------------------------------------------------------------------- checkpoints

    def settings(self) -> dict[str, Any]:
        """Which training this is."""
        return {"recipe": self.recipe.to_json(), "data": self.pictures.digest, "pictures": len(self.pictures),
                "teacher": None if self.teacher is None else self.teacher.vgg.file.identity.digest,
                "val": None if self.val is None else [self.val.digest, len(self.val)],
                "classes": projections.digest_of(self.pictures.class_names), "trained": self.trained,
                "architecture": self.vgg.architecture.to_json()}

    def save(self) -> None:
        """Write the checkpoint.  NotFiniteError, and the old one stays, where a parameter is not finite."""
        learner, state = self.learner, self.state
        learner.require_finite()
        arrays = {"parameters": learner.parameters, **learner.optimiser.buffers}
        if learner.average is not None:
            arrays["average"] = learner.average.arrays
        state.plateau = self.plateau.state() if self.plateau else None
        values = {**vars(state), "steps": learner.steps, "average": learner.average and learner.average.count,
                  "held": checkpoints.held(arrays)}
        checkpoints.write(self.folder / LAST, self.settings(), values, arrays)

    def restore(self) -> None:
        """Go back to the checkpoint.  UsageError where it is that of another training."""
        learner = self.learner
        found = checkpoints.read(self.folder / LAST, learner.architecture)
        refuse_other(found.settings, self.settings(), self.folder)
        learner.parameters = found.arrays["parameters"]
        values = dict(found.state)
        learner.optimiser.steps, count = values.pop("steps"), values.pop("average")
        values.pop("held")
        learner.optimiser.buffers = {part: found.arrays[part] for part in ("momentum", "squares") if found.arrays[part]}
        if learner.average is not None:
            learner.average = Average(learner.average.decay, found.arrays["average"], count)
        self.state = State(**values | {"notes": values.get("notes") or self.state.notes})
        if self.plateau:
            self.plateau.restore(self.state.plateau)
        history.cut(self.folder, self.state.epoch)


def pictures_needed(net: Architecture, size: int) -> int:
    """How many pictures of this side a batch needs at least: 2 where a batch norm sees one value of each."""
    norms = [row for row in describe(net, size) if row.layer.op.startswith("batchnorm")]
    return 2 if any(row.input_elements == row.input_shape[0] for row in norms) else 1
