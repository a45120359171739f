"""A VGG: what it is, what it has learned and how it is run, as one value that nothing changes.

    vgg = network.load_file("vgg16.h5")                or  network.create("vgg16", seed=0)
    vgg(x)                                             (N, 3, H, W) → (N, classes) logits
    vgg.features("cat.jpg", ["relu5_3", "fc7"])        → {"relu5_3": (1, 512, 14, 14), "fc7": (1, 4096)}
    vgg.trace("cat.jpg")                               → every intermediate array under its paper name
    vgg.gradients(x, {"fc8": g}, of=["input"])         → {"input": ∂L/∂x, (N, 3, H, W)} where g is ∂L/∂fc8
    vgg.explain("cat.jpg", "conv4_3", 17, 5, 9)        → the products behind one number, and their sum
    vgg.why("cat.jpg", "cat")                          → what the last layer's inputs give to a class
    vgg.predict("cat.jpg", top=3)                      → [Prediction(label, probability, logit, index), …]
    vgg.with_parameters({"fc8/bias": array})           another VGG
    vgg.with_head("avg7 flatten 4096 relu drop 10")    another VGG: its features, and a head of fresh parameters
    vgg.using(tier="jit", threads=2)                   another VGG, of the same parameters

The work is done by a Runner, made at the first call.  For other processes and machines `pickle` packs a VGG as the path and
identity of its weights file, which is mapped again there, or by value where there is no file, or none any more.
"""
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npvgg import images, initialisation, labels, projections, summary, weights
from npvgg.architecture import BLOCKS, Architecture, architecture
from npvgg.checks import check_choice, refuse_unknown
from npvgg.counting import describe
from npvgg.differentiation import Backward, Loss
from npvgg.errors import BadFileError, HashMismatchError, UnsupportedError, UsageError
from npvgg.explorer import Attribution, Decision, Explanation, ablate, attribute, explain, why
from npvgg.gap import FLOAT32_BOUND, relative_gap
from npvgg.kernels import tiers
from npvgg.layer_names import PROBABILITIES, asked_for, canonical_layer
from npvgg.parameters import checked, sealed
from npvgg.runner import Options, Runner
from npvgg.storage import half_precision, hdf5_writing
from npvgg.storage.identity import FileIdentity, MappedFile, mapped_file


class Unchanged(Enum):
    """The value of an argument of `VGG.using` that was not given."""

    UNCHANGED = "as it is"


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, eq=False, repr=False)
class VGG:
    """One network.  UsageError for fields that make no sense or do not fit together.

    `parameters` maps "conv1_1/weight" to a read-only array, float32 or float64, see `parameters.checked`; `preset` says how a
    picture becomes the input; `class_names` name the logits; `options` say how it is run.  Nothing here changes when the
    network runs, so one object may serve many calls, from several threads too.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    preset: images.Preset
    class_names: tuple[str, ...] | None = None
    options: Options = Options()
    source: str = ""                      # where the parameters come from, for people
    self_test: weights.SelfTest | None = None
    source_output: str = "logits"         # what the last layer gives where the parameters come from; here always logits
    # The weights file from which another process makes the same network, None where there is none; and every file that this one
    # depends on: that, and those in which a parameter lies.
    file: MappedFile | None = field(default=None, init=False)
    files: tuple[MappedFile, ...] = field(default=(), init=False)

    def __post_init__(self):
        for name, kind in (("architecture", Architecture), ("preset", images.Preset), ("options", Options)):
            if not isinstance(getattr(self, name), kind):
                raise UsageError(f"{name} is {getattr(self, name)!r:.80}; give a {kind.__module__}.{kind.__name__}")
        if not isinstance(self.self_test, weights.SelfTest | None):
            raise UsageError(f"self_test is {self.self_test!r:.80}; give a weights.SelfTest or None")
        if not isinstance(self.source, str):
            raise UsageError(f"source is {self.source!r:.80}; give text that says where the parameters come from")
        check_choice("source_output", self.source_output, weights.OUTPUTS)
        images.check_channels(self.preset, self.architecture)
        put(self, "class_names", checked_names(self.class_names, self.architecture))
        put(self, "parameters", checked(self.architecture, self.parameters))
        put(self, "files", tuple(set(map(mapped_file, self.parameters.values())) - {None}))

    # --------------------------------------------------------------------------------------------- running

    @property
    def runner(self) -> Runner:
        """What runs it; it is made at the first call and not packed."""
        runner = self.__dict__.get("kept_runner")
        if runner is None:                # setdefault: all threads get the one that the first of them has made
            made = Runner(self.architecture, self.parameters, self.options, self.files)
            runner = self.__dict__.setdefault("kept_runner", made)
        return runner

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: that of the parameters, of the input and of every answer."""
        return next(iter(self.parameters.values())).dtype

    def check_file(self) -> None:
        """BadFileError where the weights file was changed, cut short or replaced since it was opened."""
        for file in self.files:
            file.check()

    def __call__(self, inputs: Any) -> np.ndarray:
        """Pictures → logits (N, classes).  `inputs`: whatever `images.batch` takes.

        A network that ends elsewhere gives what its last layer gives, without a head the map (N, C, H/32, W/32).
        """
        return self.forward(self.prepare(inputs))

    def prepare(self, inputs: Any) -> np.ndarray:
        """Pictures → (N, C, H, W) in the network's dtype, through the preset of its weights."""
        return images.batch(inputs, self.preset, dtype=self.dtype)

    def forward(self, x: np.ndarray, last: str | None = None) -> np.ndarray:
        """(N, C, H, W) in the network's dtype → the output of the layer called `last`, by default of the final one.

        Layers behind it are not computed.  ShapeError where x does not fit, UsageError for a layer that does not exist,
        BadFileError where the weights file was changed.
        """
        return self.runner.forward(x, last)

    def features(self, inputs: Any, names: str | Iterable[str]) -> dict[str, np.ndarray]:
        """Pictures → {name as asked for: array}; layers behind the last one asked for are not computed.

        Paper names, and torchvision's ("features.28"), Caffe's and Keras' ("block5_conv3") as aliases; "prob" is what
        `probabilities` makes of the logits.  Errors: those of `forward`, of `images.batch` and of `probabilities`.
        """
        wanted = {name: self.layer_of(name) for name in asked_for(names)}
        arrays = self.runner.features(self.prepare(inputs), wanted.values())
        return {name: self.probabilities(arrays[layer]) if name in PROBABILITIES else arrays[layer]
                for name, layer in wanted.items()}

    def layer_of(self, name: str) -> str:
        """A name of a layer → the paper's; "prob" → the layer that gives the logits."""
        if name not in PROBABILITIES:
            return canonical_layer(self.architecture, name)
        self.require_classifier()
        return self.architecture.layers[-1].name

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(N, classes) logits → (N, classes) probabilities, as `architecture.output` says.

            softmax    p[k] = exp(x[k]) / Σ_l exp(x[l])              one class of several
            sigmoid    p[k] = 1 / (1 + exp(−x[k]))                   each label by itself

        UnsupportedError for a network whose output is "none".
        """
        self.require_classifier()
        if self.architecture.output == "sigmoid":
            return labels.probabilities(logits, "sigmoid").astype(logits.dtype)
        return self.runner.kernels["softmax"](logits)

    def run_from(self, first: str, x: np.ndarray, last: str | None = None) -> np.ndarray:
        """What the layer called `first` is given → the output of the layer called `last`, by default of the final one.

        vgg.run_from("conv5_1", vgg.features("cat.png", "pool4")["pool4"]) has the bits of vgg("cat.png").  UsageError for names
        that do not exist or lie the wrong way round, ShapeError where x does not fit, BadFileError where the weights file was
        changed.
        """
        return self.runner.run_from(first, x, last)

    def ablate(self, inputs: Any, layer: str, channels: Iterable[int], factor: float = 0.0) -> np.ndarray:
        """Pictures → the logits (N, classes) that come out where some channels of a layer's output are multiplied by `factor`.

        0 takes them away, 1 leaves them as they are; of a flat layer the channels are its units.  UsageError for a channel that
        is not there; the errors of `features`.
        """
        return ablate(self, inputs, layer, channels, factor)

    def explain(self, image: Any, layer: str, channel: int | None = None, y: int | None = None,
                x: int | None = None) -> Explanation:
        """One number of a layer's output → the window, the weights, the products and their sum: `explorer.explain`."""
        return explain(self, image, layer, channel, y, x)

    def why(self, image: Any, label: str | int | None = None) -> Decision:
        """A class, by default the one that the network names → what the last dense layer's inputs give: `explorer.why`."""
        return why(self, image, label)

    def attribute(self, image: Any, method: str = "gradcam", target: Any = None, **options: Any) -> Attribution:
        """One picture → which of its pixels have to do with a class or a unit: `explorer.attribute`."""
        return attribute(self, image, method, target, **options)

    def trace(self, inputs: Any) -> dict[str, np.ndarray]:
        """Pictures → {"input": x, "conv1_1": array, …, "fc8": logits}, in the order of the layers."""
        x = self.prepare(inputs)
        return {"input": x} | self.runner.trace(x)

    def gradients(self, x: np.ndarray, loss: Loss, of: str | Iterable[str] = "input", *,
                  checkpoint: bool = False) -> dict[str, np.ndarray]:
        """(N, C, H, W) in the network's dtype → {name as asked for: gradient of the loss with respect to it}.

        `loss` is a function of the logits that gives (L, ∂L/∂logits), as those of npvgg.training.losses, or {layer: ∂L/∂its
        output} for any layers.  `of` names the input ("input"), layers' outputs ("conv5_3") and weights and biases
        ("conv1_1/weight"); layers may be called as in `features`.  Batch norm and dropout are those of inference;
        differentiation.Backward computes those of training too.  `checkpoint` as there.

        UsageError for a name that does not exist, ShapeError for arrays that do not fit, BadFileError where the weights file
        was changed.
        """
        self.check_file()
        return self.backward(self.parameters, x, loss, training=False, of=of, checkpoint=checkpoint).gradients

    @property
    def backward(self) -> Backward:
        """What computes its gradients; it is made at the first call and not packed."""
        if "kept_backward" not in self.__dict__:
            made = Backward(self.architecture, self.options.tier, self.options.threads)
            self.__dict__.setdefault("kept_backward", made)
        return self.__dict__["kept_backward"]

    def predict(self, inputs: Any, top: int = 5) -> list[labels.Prediction] | list[list[labels.Prediction]]:
        """One picture → [Prediction, …], the `top` most probable first; several pictures → a list of such lists."""
        self.require_classifier()
        answers = labels.top(self(inputs), self.class_names, top, self.architecture.output)
        return answers[0] if images.is_single(inputs) else answers

    def require_classifier(self) -> None:
        """UnsupportedError for a network that gives features."""
        labels.check_classifier(self.architecture, self.source)

    # --------------------------------------------------------------------------------------------- other networks

    def using(self, *, tier: str | Unchanged = UNCHANGED, threads: int | None | Unchanged = UNCHANGED,
              algorithm: str | Unchanged = UNCHANGED, dtype: Any = UNCHANGED, **unknown: Any) -> "VGG":
        """The same network run otherwise: another kernel tier, number of threads (None: all), algorithm or dtype.

        `dtype` is float32 or float64, by its NumPy type or name; parameters of another one are converted, and rounded where
        they become float32.  UsageError for what is not possible.
        """
        refuse_unknown("using", unknown, ("tier", "threads", "algorithm", "dtype"))
        changes = {"tier": tier, "threads": threads, "algorithm": algorithm}
        options = replace(self.options, **{name: value for name, value in changes.items() if value is not UNCHANGED})
        dtype = self.dtype if dtype is UNCHANGED else checked_dtype(dtype)
        if dtype == self.dtype:
            other = of_file(replace(self, options=options), self.file)
            other.__dict__["kept_runner"] = self.runner.using(options)
            return other
        self.check_file()
        other = replace(self, options=options,
                        parameters={path: sealed(array.astype(dtype)) for path, array in self.parameters.items()})
        # Converted for the second time, numbers may have been rounded and are no longer the file's.
        is_first = self.file is mapped_file(next(iter(self.parameters.values())))
        return of_file(other, self.file if is_first else None)

    def with_parameters(self, parameters: Mapping[str, np.ndarray]) -> "VGG":
        """The same network with other arrays in the place of those under these paths: {"conv3_1/weight": array, …}.

        The arrays are copied unless they are read-only.  The new network has no self-test, for its answer is another.
        ShapeError as for a new VGG.
        """
        if not isinstance(parameters, Mapping):
            raise UsageError(f"the parameters are a {type(parameters).__name__}; give {{path: array}}, for example "
                             "{'fc8/bias': array}")
        names, more = list(map(str, parameters))[:3], f" and {len(parameters) - 3} more" if len(parameters) > 3 else ""
        return replace(self, parameters={**self.parameters, **parameters}, self_test=None,
                       source=f"{self.source or self.architecture.name} with other {', '.join(names)}{more}")

    def with_head(self, head: str, *, output: str | None = None, class_names: Iterable[str] | None = None, seed: int = 0,
                  how: str = "torchvision") -> "VGG":
        """The same features, conv1_1 … pool5, under another head with fresh parameters: for new classes, before training.

        `head` as in `npvgg.heads`, "avg7 flatten 4096 relu drop 10" for example; the other arguments as for `create`.  Kept
        parameters are shared with this network.  Dense layers of the same name and shape can be kept too: `with_parameters`.
        UsageError for an argument that makes no sense.
        """
        net = replace(self.architecture, head=head, output=output)
        behind = [layer.name for layer in net.layers].index(f"pool{BLOCKS}") + 1
        fresh = initialisation.initial(net, seed=seed, how=how, layers=net.layers[behind:])
        parameters = {path: sealed(fresh[path].astype(self.dtype)) if path in fresh else self.parameters[path]
                      for path in net.parameters}
        return replace(self, architecture=net, parameters=parameters, class_names=checked_names(class_names, net),
                       self_test=None, source_output="logits",
                       source=f"{self.source or self.architecture.name} with a new head, seed {seed}")

    # --------------------------------------------------------------------------------------------- travelling

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        """By path where the network is that of a file which is still there, by value otherwise."""
        self.check_file()
        if self.file is not None and os.path.exists(self.file.identity.path):
            return mapped_again, (self.file.identity, self.source, self.options, self.dtype.str)
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.init}
        return from_values, (values | {"parameters": dict(self.parameters)},)

    # --------------------------------------------------------------------------------------------- its file

    def run_self_test(self) -> float:
        """The largest gap between the stored answer to the seeded input and today's, over the largest value.

        Where the file has a record of them, a seeded picture must be prepared as it was then, and the class names must be the
        same.  Raises UnsupportedError where the file carries no self-test, HashMismatchError where one of these differs.
        """
        if self.self_test is None:
            raise UnsupportedError(f"{self.source} carries no self-test; convert it again to add one")
        expected = self.self_test.output
        answer = self.forward(weights.self_test_input(self.architecture, self.self_test.seed).astype(self.dtype))
        gap = relative_gap(answer, expected)
        if not gap <= self.self_test.tolerance:
            raise HashMismatchError(f"{self.source}: the self-test is off by {gap:.1e} of the largest value, more than "
                                    f"{self.self_test.tolerance:.0e}; convert or download the file again")
        if self.self_test.record is not None:
            self.check_preparation(self.self_test.record)
        return gap

    def check_preparation(self, record: projections.Record) -> None:
        """HashMismatchError where the seeded picture is prepared otherwise than was recorded, or the class names are others."""
        gap = projections.gap(self.prepared_picture(record.seed), record.picture[0])
        if not gap <= projections.BOUND:
            raise HashMismatchError(f"{self.source}: a seeded picture is prepared otherwise than when the file was written, "
                                    f"off by {gap:.1e} of its norm, so the preset, {self.preset.name}, was changed; convert or "
                                    "download the file again")
        if projections.digest_of(self.class_names) != record.class_names:
            raise HashMismatchError(f"{self.source}: its class names are not those that it was written with; convert or "
                                    "download the file again")

    def prepared_picture(self, seed: int) -> np.ndarray:
        """The projections (9,) of the seeded picture as the preset prepares it."""
        return projections.project(self.prepare(projections.picture(self.architecture.input_channels, seed)), seed)

    def run_layer_test(self) -> float:
        """The largest gap between a layer of a float64 run on the seeded input and its record, over the norm of its output.

        VGG-16 takes 1.3 GB for it.  Raises UnsupportedError where the file has no such record, HashMismatchError with the
        first layer that differs.
        """
        if self.self_test is None or self.self_test.record is None:
            raise UnsupportedError(f"{self.source} carries no record of its layers; convert or save it again to add one")
        record, largest = self.self_test.record, 0.0
        outputs = self.using(dtype=np.float64).seeded_trace(self.self_test.seed)
        for (name, output), recorded in zip(outputs.items(), record.layers, strict=True):
            gap = projections.gap(projections.project(output, record.seed), recorded)
            if not gap <= projections.BOUND:
                raise HashMismatchError(f"{self.source}: a float64 run differs from its record, first at {name}, by {gap:.1e} "
                                        f"of that layer's norm, more than {projections.BOUND:.0e}; convert or download the "
                                        "file again")
            largest = max(largest, gap)
        return largest

    def seeded_trace(self, seed: int) -> dict[str, np.ndarray]:
        """{layer: its output} of a run on the self-test's input."""
        return self.runner.trace(weights.self_test_input(self.architecture, seed).astype(self.dtype))

    def save(self, path: str | PathLike, *, source_name: str = "", source_sha256: str = "", notes: str = "",
             store: str = "float32", force: bool = False) -> Path:
        """Write the network to an npvgg weights file and return its path.

        `store` "float16" or "bfloat16" rounds weights to 16 bits, which halves the file; it is computed in float32 as ever, and
        its self-test is the answer of the rounded ones.  float64 becomes float32 then.
        Its self-test and the record of its layers come from one float64 run, which takes 1.3 GB for VGG-16.
        UsageError for a name such as x.pth, which another format has, and for a file that is there, unless `force`;
        StorageError; BadFileError where the network's own file was changed.
        """
        self.check_file()
        hdf5_writing.destination(path, force)              # refused now rather than after the work
        check_choice("store", store, half_precision.STORES)
        if store != half_precision.AS_IT_IS:
            single = self.using(dtype=np.float32)
            return single.with_rounded(store).written(path, source_name or self.source, source_sha256, notes, store, force)
        return self.written(path, source_name or self.source, source_sha256, notes, store, force)

    def with_rounded(self, store: str) -> "VGG":
        """The same network with the parameters that a file of this `store` gives back; UsageError where one is too large."""
        changed = {path: sealed(np.array(array)) for path, array in weights.rounded(self.parameters, store).items()
                   if array.ndim > 1}
        return replace(self, parameters={**self.parameters, **changed}, self_test=None)

    def written(self, path: str | PathLike, source_name: str, source_sha256: str, notes: str, store: str, force: bool) -> Path:
        """`save`, of parameters that are what the file will give back."""
        seed = 0
        outputs = list(self.using(dtype=np.float64).seeded_trace(seed).values())
        record = projections.Record(seed, np.stack([projections.project(output, seed) for output in outputs]),
                                    self.prepared_picture(seed)[None], projections.digest_of(self.class_names))
        return weights.write(
            path, self.parameters, architecture=self.architecture, preset=self.preset.to_json(),
            class_names=self.class_names, source_name=source_name, source_sha256=source_sha256, notes=notes,
            source_output=self.source_output, store=store,
            self_test=weights.SelfTest(seed, outputs[-1], FLOAT32_BOUND, record), force=force)

    def summary(self, input_size: int | tuple[int, int] | None = None) -> str:
        """A table of the layers for people: shapes, parameters, MACs, receptive fields, bytes."""
        return summary.table(self.architecture, input_size)

    def __repr__(self):
        net = self.architecture
        parameters = sum(row.parameters for row in describe(net))
        departures = "".join(f", {what} {words}" for what, words in summary.departures_of(net).items() if what != "output")
        size = "" if net.width == 1 else f" at width {net.width:g}"
        origin = f", from {self.source}" if self.source else ""
        return (f"<VGG {net.name}{size}: {parameters:,} parameters, {net.input_size}×{net.input_size} → {summary.answer(net)}, "
                f"{self.options.tier} tier in {self.dtype}{departures}{origin}>")


def load_file(path: str | PathLike, *, tier: str = tiers.DEFAULT, threads: int | None = None, algorithm: str = "auto",
              verify: bool | str = "new") -> VGG:
    """A weights file → VGG; its parameters stay on disk, mapped into memory.

    Raises UsageError for an option, and what `weights.read` raises; `verify` is its.
    """
    options = Options(tier, threads, algorithm)
    return of_weights(weights.read(path, verify=verify), str(path), options)


def create(name: str | Architecture, *, seed: int = 0, how: str = "torchvision", preset: str | images.Preset | None = None,
           class_names: Iterable[str] | None = None, tier: str = tiers.DEFAULT, threads: int | None = None,
           algorithm: str = "auto", **sizes: Any) -> VGG:
    """A network with fresh parameters, float32.

    `name` as in `architecture.NAMES`; `sizes` are those of `architecture.architecture`; `how` is one of
    `initialisation.INITIALISATIONS`; `preset` a Preset or a name of `images.PRESETS`.  The same seed gives the same parameters.
    UsageError for an argument that makes no sense.
    """
    options = Options(tier, threads, algorithm)
    net = architecture(name, **sizes)
    if preset is None:
        preset = images.default_preset(net)
    elif not isinstance(preset, images.Preset):
        preset = images.preset(preset)
    names = checked_names(class_names, net)
    return VGG(net, initialisation.initial(net, seed=seed, how=how), preset, names, options, f"seed {seed}")


# ------------------------------------------------------------------------------------------------- made of a file, or unpacked


def of_weights(content: weights.Weights, source: str, options: Options) -> VGG:
    """What `weights.read` gives → VGG."""
    vgg = VGG(content.architecture, content.parameters, images.Preset.from_json(content.preset_json), content.class_names,
              options, source, content.self_test, content.source_output)
    return of_file(vgg, content.file)


def of_file(vgg: VGG, file: MappedFile | None) -> VGG:
    """A VGG that was just made, as one that `file` holds; of none for None."""
    put(vgg, "file", file)
    put(vgg, "files", tuple({*vgg.files, file} - {None}))
    return vgg


def mapped_again(identity: FileIdentity, source: str, options: Options, dtype: str) -> VGG:
    """The VGG of a file that another process had opened.

    A file of another inode, on another machine say, has its digests checked, unless it has passed here before.  BadFileError
    where it holds something else than it did there.
    """
    content = weights.read(identity.path, verify=False)
    if content.file.identity != identity:
        content = weights.read(identity.path, verify="new")
    if content.file.identity.digest != identity.digest:
        raise BadFileError(f"{identity.path} is another file than the one of the network that was packed; load it again, or "
                           "copy that file here")
    return of_weights(content, source, options).using(dtype=dtype)


def from_values(values: dict) -> VGG:
    """The VGG of fields that were just unpacked."""
    return VGG(**values | {"parameters": {path: sealed(array) for path, array in values["parameters"].items()}})


def put(vgg, name, value):
    """Fill a field of a VGG that is still being made."""
    object.__setattr__(vgg, name, value)


# ------------------------------------------------------------------------------------------------- arguments


def checked_names(names, net):
    """The names of the classes as a tuple; UsageError unless there is one for each."""
    if names is None:
        return None
    try:
        listed = None if isinstance(names, (str, bytes)) else tuple(names)
    except TypeError:
        listed = None
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"the class names are {names!r:.80}; give a list of texts, one for each class")
    if len(listed) != net.label_count:
        raise UsageError(f"{len(listed)} class names were given for {net.label_count or 'no'} classes; give one for each")
    return listed


def checked_dtype(dtype):
    """None, or what NumPy reads as float32 or float64 → the dtype or None; UsageError for anything else."""
    try:
        checked = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):
        checked = None
    if checked not in (np.float32, np.float64):
        shown = repr(dtype)[:80] if checked is None else checked
        raise UsageError(f"dtype is {shown}; npvgg computes in float32 or float64")
    return checked
