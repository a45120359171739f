"""A network at work: which layers are computed, by which kernels, on how many threads.

    options = Options(tier="jit", threads=2)
    runner = Runner(architecture, parameters, options)
    runner.forward(x)                       (N, C, H, W) → (N, classes)
    runner.features(x, ["relu5_3"])         (N, C, H, W) → {"relu5_3": (N, 512, H/16, W/16)}
    runner.trace(x)                         (N, C, H, W) → {"conv1_1": array, …, "fc8": logits}

All three are one path, `run`: the engine's plan, or, in the other tiers and in float64, the loop over the layers.
"""
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from npvgg.architecture import Architecture
from npvgg.checks import callers_level
from npvgg.counting import describe
from npvgg.errors import ShapeError, TierWarning, UsageError
from npvgg.forking import MAKING
from npvgg.kernels import contracts, tiers
from npvgg.kernels.compiling import threads
from npvgg.layer_names import canonical_layer
from npvgg.parameters import ARRAYS
from npvgg.storage.identity import MappedFile
from npvgg.text import meant

if TYPE_CHECKING:
    from npvgg.plan import Plan

ENGINE = tiers.LADDER[-1]
BELOW = tiers.LADDER[-2]                  # the tier that runs what the engine does not


@dataclass(frozen=True)
class Options:
    """How a network is run.  UsageError for what is not possible here.

    `tier` is one of tiers.LADDER; `threads` how many a call may use, None for as many as the process may; `algorithm` that of
    the engine's 3×3 convolutions, one of tiers.ALGORITHMS.  The answer has the same bits for every number of threads.
    """

    tier: str = tiers.DEFAULT
    threads: int | None = None
    algorithm: str = tiers.ALGORITHMS[0]

    def __post_init__(self):
        tiers.rungs(self.tier)
        if self.threads is not None:
            whole = int(self.threads) if isinstance(self.threads, np.integer) else self.threads
            object.__setattr__(self, "threads", threads.number_of(whole))
        if not isinstance(self.algorithm, str) or self.algorithm not in tiers.ALGORITHMS:
            close = meant(self.algorithm, tiers.ALGORITHMS)
            raise UsageError(f"there is no algorithm {self.algorithm!r}{close}; choose one of {', '.join(tiers.ALGORITHMS)}")


class Runner:
    """Runs one network in one way; calls from several threads may share it.

    `parameters` is {path: array}, which never change; `files` are the mapped files that it depends on.  What was compiled and
    packed for the engine is shared with the runners that `using` makes.
    """

    def __init__(self, architecture: Architecture, parameters: Mapping[str, np.ndarray], options: Options = Options(),
                 files: Iterable[MappedFile] = (), packed: "PackedNetwork | None" = None):
        self.architecture, self.parameters, self.options, self.files = architecture, parameters, options, tuple(files)
        self.dtype = next(iter(parameters.values())).dtype
        self.packed = packed or PackedNetwork(architecture, parameters)
        self.is_engine = self.dtype == np.float32 and ENGINE in tiers.rungs(options.tier)
        self.layers = {layer.name: layer for layer in architecture.layers}
        self.chosen = None

    def using(self, options: Options) -> "Runner":
        """The same network run otherwise."""
        return Runner(self.architecture, self.parameters, options, self.files, self.packed)

    def forward(self, x: np.ndarray, last: str | None = None) -> np.ndarray:
        """(N, C, H, W) → the output of the layer called `last`, by default of the final one."""
        name = next(reversed(self.layers)) if last is None else canonical_layer(self.architecture, last)
        return self.run(x, (name,))[name]

    def features(self, x: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """(N, C, H, W) → {paper name: output of that layer}; layers behind the last one named are not computed."""
        wanted = {canonical_layer(self.architecture, name) for name in names}
        return self.run(x, tuple(name for name in self.layers if name in wanted))

    def trace(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """(N, C, H, W) → {name: output} of every layer, in the order of the layers."""
        return self.run(x, tuple(self.layers))

    def run_from(self, first: str, x: np.ndarray, last: str | None = None) -> np.ndarray:
        """What the layer called `first` is given → the output of the layer called `last`, by default of the final one.

        The layers before `first` are not computed.  UsageError where `last` lies before it, ShapeError where x does not fit,
        BadFileError where the weights file was changed since it was opened.
        """
        names = list(self.layers)
        first = canonical_layer(self.architecture, first)
        name = names[-1] if last is None else canonical_layer(self.architecture, last)
        start = names.index(first)
        if names.index(name) < start:
            raise UsageError(f"{name} lies before {first}, where the run begins; name a layer behind it")
        check_array(self.dtype, x, f"what {first} is given")
        contracts.answer_shape(self.layers[first], x, self.parameters)
        return self.run(x, (name,), start)[name]

    def run(self, x: np.ndarray, names: tuple[str, ...], start: int = 0) -> dict[str, np.ndarray]:
        """(N, C, H, W) in the dtype of the parameters → {name: output of that layer}; `names` are paper names in their order.

        x is what layer number `start` is given.  ShapeError where the picture does not fit, BadFileError where the weights file
        was changed since it was opened.
        """
        if start == 0:
            check_input(self.architecture, self.dtype, x)
        for file in self.files:
            file.check()
        plan = self.packed.plan(start) if self.is_engine else None
        if plan is not None:
            return plan.run(x, names, self.options.threads, self.options.algorithm)
        wanted, kept = set(names), {}
        with threads.limited(None if self.options.tier == tiers.LADDER[0] else self.options.threads):
            kernels = self.kernels
            for name, layer in islice(self.layers.items(), start, None):
                x = kernels[layer.op](x, *layer.arrays(self.parameters), **dict(layer.options))
                if name in wanted:
                    kept[name] = x
                if len(kept) == len(wanted):
                    break
        return kept

    @property
    def plan(self) -> "Plan | None":
        """The npvgg.plan.Plan that runs this network; None in another tier, in float64, and where the engine lacks a layer."""
        return self.packed.plan() if self.is_engine else None

    @property
    def kernels(self) -> dict[str, Callable]:
        """{operation: function} of the loop, and of the soft-max."""
        if self.chosen is None:
            with MAKING:                    # imports the tier
                self.chosen = tiers.choose(BELOW if self.options.tier == ENGINE else self.options.tier)
        return self.chosen


def check_input(net: Architecture, dtype: np.dtype, x: np.ndarray) -> None:
    """ShapeError unless x is an array (N, C, H, W) of the network's channels and dtype, large enough for its layers."""
    channels = net.input_channels
    if type(x) not in ARRAYS:
        raise ShapeError(f"x is a {type(x).__name__} and no NumPy array; convert it with np.array(x, np.{dtype}), or give "
                         "pictures to vgg(…), which prepares them")
    if x.ndim != 4 or x.shape[1] != channels:
        raise ShapeError(f"x has shape {x.shape} and this {net.name} takes (N, {channels}, H, W); give pictures to vgg(…), "
                         "which prepares them, or move the channels behind the number of pictures")
    check_array(dtype, x, "x")
    check_size(net, x.shape[2:])


def check_array(dtype, x, what):
    """ShapeError unless x is a NumPy array of that dtype."""
    if type(x) not in ARRAYS:
        raise ShapeError(f"{what} is a {type(x).__name__} and no NumPy array; convert it with np.array(x, np.{dtype})")
    if x.dtype != dtype:
        raise ShapeError(f"{what} is {x.dtype} and the network {dtype}; convert it with x.astype(np.{dtype}), or run the "
                         "network with using(dtype=…)")


@lru_cache(256)
def check_size(net, size):
    """ShapeError unless pictures of (H, W) = `size` can walk through the layers."""
    describe(net, size)


class PackedNetwork:
    """The engine's plan of one network, made when it is first needed."""

    def __init__(self, architecture, parameters):
        self.architecture, self.parameters = architecture, parameters
        self.made = {}                      # filled by setdefault, so that all threads get what the first has made

    def plan(self, start=0):
        """The engine's plan of the layers from number `start` on; None, with a TierWarning, where it has no step for a layer.

        Each is made once, and all share their packed weights.
        """
        if start:
            whole = self.plan()
            return self.made.get(start) or self.made.setdefault(start, whole and whole.behind(start))
        if "plan" not in self.made:
            try:
                with MAKING:
                    from npvgg import plan  # not at the top: the reference tier works without LLVM
            except (ImportError, OSError) as error:
                raise tiers.unloadable(ENGINE, error) from error
            lacking = plan.refused(self.architecture.layers)
            if lacking:
                warnings.warn(f"the engine does not know {lacking}, so this {self.architecture.name} runs on the {BELOW} tier, "
                              f"which is slower; choose tier={BELOW!r} where that is meant", TierWarning,
                              stacklevel=callers_level())
            self.made.setdefault("plan", None if lacking else plan.Plan(self.architecture.layers, self.parameters))
        return self.made["plan"]
