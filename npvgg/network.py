"""Layers and parameters → a network that can be run.

The forward pass is one loop: look the kernel of the layer up, apply it, go on.

    vgg = network.open("vgg16.h5")                     or  network.create("vgg16", seed=0)
    vgg(x)                                             (N, 3, H, W) → (N, classes) logits
    vgg.features("cat.jpg", ["relu5_3", "fc7"])        → {"relu5_3": (1, 512, 14, 14), "fc7": (1, 4096)}
    vgg.trace("cat.jpg")                               → every intermediate array under its paper name
    vgg.predict("cat.jpg", top=3)                      → [Prediction(label, probability, logit, index), …]
"""
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from npvgg import images, initialisation, labels, summary, weights
from npvgg.architecture import Architecture, architecture
from npvgg.counting import describe
from npvgg.errors import HashMismatchError, UnsupportedError, UsageError
from npvgg.gap import FLOAT32_BOUND, relative_gap
from npvgg.kernels import tiers
from npvgg.kernels.compiling import threads
from npvgg.layer_names import canonical_layer


@dataclass(frozen=True, eq=False, repr=False)
class VGG:
    """One network: what it is (`architecture`), what it has learned (`parameters`), how it is run (`tier` and so on).

    `parameters` maps "conv1_1/weight" to an array; `preset` says how a picture becomes the input; `class_names` name
    the logits.  Nothing here changes when the network runs, so one object may serve many calls.
    """

    architecture: Architecture
    parameters: dict
    preset: images.Preset
    class_names: tuple | None = None
    tier: str = tiers.DEFAULT
    threads: int | None = None            # None: as many as the process may use
    algorithm: str = "auto"               # of the engine's 3×3 convolutions, see tiers.ALGORITHMS
    source: str = ""                      # where the parameters come from, for people
    self_test: weights.SelfTest | None = None
    source_output: str = "logits"         # what the last layer gives where the parameters come from; here always logits

    def __post_init__(self):
        count = self.architecture.label_count
        if self.class_names is not None and len(self.class_names) != count:
            raise UsageError(f"{len(self.class_names)} class names were given for {count} classes; give one for each")
        if self.algorithm not in tiers.ALGORITHMS:
            raise UsageError(f"there is no algorithm {self.algorithm!r}; choose one of {', '.join(tiers.ALGORITHMS)}")

    @cached_property
    def kernels(self):
        return tiers.choose(self.tier)

    @cached_property
    def plan(self):
        """The network as programs of the engine; None on another tier, in float64, and with layers it does not know."""
        if self.dtype != np.float32 or "engine" not in tiers.rungs(self.tier):
            return None
        from npvgg.plan import OPERATIONS, Plan  # not at the top: the reference tier works without LLVM

        net = self.architecture
        is_served = net.bias and net.input_channels == 3 and all(layer.op in OPERATIONS for layer in net.layers)
        return Plan(self.architecture, self.parameters) if is_served else None

    @cached_property
    def dtype(self):
        return next(iter(self.parameters.values())).dtype

    def __call__(self, inputs):
        """Pictures → logits (N, classes).  `inputs`: whatever `images.batch` takes.

        Without a classifier the answer is the pooled map (N, C, s, s).
        """
        return self.forward(self.prepare(inputs))

    def prepare(self, inputs):
        """Pictures → (N, 3, H, W) in the network's dtype, through the preset of its weights."""
        return images.batch(inputs, self.preset, dtype=self.dtype)

    def forward(self, x, watch=None, last=None):
        """(N, 3, H, W) → the output of the layer called `last`, by default the final one.

        `watch(name, array)` sees every intermediate array as it appears; it must not change it.  Without one, and to the end,
        the engine runs its plan; otherwise every tier goes layer by layer.
        """
        if self.plan and not watch and not last:
            return self.plan.forward(x, self.threads, self.algorithm)
        describe(self.architecture, x.shape[2:])                  # refuses pictures that are too small
        with threads.limited(self.threads):
            for layer in self.architecture.layers:
                x = self.kernels[layer.op](x, *self.arguments(layer), **dict(layer.options))
                if watch:
                    watch(layer.name, x)
                if layer.name == last:
                    break
        return x

    def arguments(self, layer):
        """The arrays of one layer in the order in which its kernel takes them."""
        return layer.arrays(self.parameters)

    def features(self, inputs, names):
        """Pictures → {name as asked for: array}; layers behind the last one asked for are not computed.

        Paper names, and torchvision's ("features.28"), Caffe's and Keras' ("block5_conv3") as aliases; "prob" is the
        soft-max of the logits.
        """
        names = [names] if isinstance(names, str) else list(names)
        if not names:
            raise UsageError("no layer was asked for; name at least one, for example features(x, ['relu5_3'])")
        wanted = {name: self.layer_of(name) for name in names}
        found, x = {}, self.prepare(inputs)

        def keep(name, array):
            if name in wanted.values():
                found[name] = array

        if self.plan and all(map(self.plan.keeps, wanted.values())):
            found = self.plan.features(x, sorted(set(wanted.values())), self.threads, self.algorithm)
        else:
            order = [layer.name for layer in self.architecture.layers]
            self.forward(x, keep, last=max(wanted.values(), key=order.index))
        return {name: self.probabilities(found[layer]) if name in PROBABILITIES else found[layer]
                for name, layer in wanted.items()}

    def layer_of(self, name):
        return canonical_layer(self.architecture, "logits" if name in PROBABILITIES else name)

    def probabilities(self, logits):
        """(N, classes) logits → (N, classes) probabilities."""
        return self.kernels["softmax"](logits)

    def trace(self, inputs):
        """Pictures → {"input": x, "conv1_1": array, …, "fc8": logits}, in the order of the layers."""
        x = self.prepare(inputs)
        arrays = {"input": x}
        self.forward(x, arrays.__setitem__)
        return arrays

    def predict(self, inputs, top=5):
        """One picture → [Prediction, …], the `top` most probable first; several pictures → a list of such lists."""
        self.require_classifier()
        answers = labels.top(self(inputs), self.class_names, top)
        return answers[0] if images.is_single(inputs) else answers

    def require_classifier(self):
        if self.architecture.num_classes is None:
            raise UnsupportedError(f"{self.source or self.architecture.name} holds features without a classifier, so it "
                                   "cannot name what it sees; use features(…) or load a network with a classifier")

    def using(self, *, tier=None, threads=None, algorithm=None, dtype=None):
        """The same network run otherwise: another kernel tier, number of threads, algorithm or dtype (float32, float64)."""
        parameters = self.parameters
        if dtype is not None and np.dtype(dtype) != self.dtype:
            if np.dtype(dtype) not in (np.float32, np.float64):
                raise UsageError(f"dtype is {np.dtype(dtype).name}; npvgg computes in float32 or float64")
            parameters = {path: array.astype(dtype) for path, array in parameters.items()}
        other = replace(self, tier=tier or self.tier, threads=threads or self.threads, algorithm=algorithm or self.algorithm,
                        parameters=parameters)
        if other.tier == self.tier and parameters is self.parameters:
            other.__dict__["plan"] = self.plan                    # the packed weights are the same
        return other

    def run_self_test(self):
        """The largest gap between the stored answer to the seeded input and today's, over the largest value.

        Raises UnsupportedError where the file carries no self-test, HashMismatchError where the gap is too large.
        """
        if self.self_test is None:
            raise UnsupportedError(f"{self.source} carries no self-test; convert it again to add one")
        expected = self.self_test.output
        answer = self.forward(weights.self_test_input(self.architecture, self.self_test.seed).astype(self.dtype))
        gap = relative_gap(answer, expected)
        if not gap <= self.self_test.tolerance:
            raise HashMismatchError(f"{self.source}: the self-test is off by {gap:.1e} of the largest value, more than "
                                    f"{self.self_test.tolerance:.0e}; convert or download the file again")
        return gap

    def save(self, path, *, source_name="", source_sha256="", notes="", force=False):
        """Write the network to an npvgg weights file, with a self-test computed in float64, and return its path."""
        seed = 0
        exact = self.using(dtype=np.float64)
        output = exact.forward(weights.self_test_input(self.architecture, seed).astype(np.float64))
        return weights.write(
            path, self.parameters, architecture=self.architecture, preset=self.preset.to_json(),
            labels=self.class_names, source_name=source_name or self.source, source_sha256=source_sha256, notes=notes,
            source_output=self.source_output,
            self_test=weights.SelfTest(seed, output, FLOAT32_BOUND), force=force)

    def summary(self, input_size=None):
        """A table of the layers for people: shapes, parameters, MACs, receptive fields, bytes."""
        return summary.table(self.architecture, input_size)

    def __repr__(self):
        net = self.architecture
        parameters = sum(row.parameters for row in describe(net))
        output = f"{net.num_classes} classes" if net.num_classes else "features, no classifier"
        size = "" if net.width == 1 else f" at width {net.width:g}"
        origin = f", from {self.source}" if self.source else ""
        return (f"<VGG {net.name}{size}: {parameters:,} parameters, {net.input_size}×{net.input_size} → {output}, "
                f"{self.tier} tier in {self.dtype}{origin}>")


PROBABILITIES = ("prob", "predictions")       # Caffe's and Keras' names for the soft-max


def open(path, *, tier=tiers.DEFAULT, threads=None, algorithm="auto", verify="new"):
    """A weights file → VGG; its parameters stay on disk, mapped into memory.  Errors: those of `weights.read`."""
    file = weights.read(path, verify=verify)
    return VGG(file.architecture, file.parameters, images.Preset.from_json(file.preset_json), file.labels, tier, threads,
               algorithm, str(path), file.self_test, file.source_output)


def create(name, *, seed=0, how="torchvision", preset=None, class_names=None, tier=tiers.DEFAULT, threads=None,
           algorithm="auto", **sizes):
    """A network with fresh parameters.

    `name` as in `architecture.NAMES`; `sizes` are its num_classes, width, hidden, input_size and pooled_size; `how` is
    one of `initialisation.INITIALISATIONS`.  The same seed gives the same parameters.
    """
    net = architecture(name, **sizes)
    chosen = images.preset(preset) if preset else images.preset("torchvision").resized(net.input_size)
    return VGG(net, initialisation.initial(net, seed=seed, how=how), chosen, class_names and tuple(class_names), tier,
               threads, algorithm, f"seed {seed}")
