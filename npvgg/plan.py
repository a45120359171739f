"""The same answer sooner: a network as programs of the engine.

    plan = Plan(architecture, parameters)
    plan.forward(x)                         (N, 3, H, W) → (N, classes)
    plan.features(x, ["relu5_3"])           (N, 3, H, W) → {"relu5_3": (N, 512, H/16, W/16)}

Batch norm is folded into the convolution before it; bias, ReLU and max-pooling ride on the convolution's last step; weights are
transformed and packed once; each picture size gets its own program, with its own memory.

    conv1_1 [batchnorm] relu1_1 conv1_2 relu1_2 pool1 …        →        Convolution, Convolution(pooled), …
"""
import mmap
import os
from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from weakref import WeakSet

import numpy as np

from npvgg.counting import describe
from npvgg.kernels import contracts, tiers
from npvgg.kernels.compiling.threads import limited, number_of
from npvgg.kernels.engine import layerwise, program
from npvgg.kernels.engine.float32 import packing
from npvgg.kernels.engine.winograd import TILES

OPERATIONS = {"conv2d", "batchnorm2d", "relu", "maxpool2d", "local_response_norm", "adaptive_avgpool2d", "flatten", "dense",
              "dropout"}                # of the layers that a plan can run

# What the last step of an operation does besides.
RIDES = {"conv2d": ("batchnorm2d", "relu", "maxpool2d"), "dense": ("relu",)}

# Images that run through a program together: with eight, the 235 MB of transformed filters are read for all of them at once,
# and more gain nothing.  The count is in images of 224×224; small ones go together in larger numbers.
IMAGES = 8
PIXELS = IMAGES * 224 * 224
MOST_IMAGES = 64
PROGRAMS = 4                    # kept, with their memory, for sizes seen before

PLANS = WeakSet()               # of this process, for `after_fork`


class Plan:
    """Packed weights of one network and the programs made of them; calls from several threads may share it."""

    def __init__(self, architecture, parameters):
        self.architecture, self.parameters = architecture, parameters
        self.lock = Lock()
        self.start_over()
        PLANS.add(self)

    def start_over(self):
        self.arrays_packed = tuple(self.parameters.values())
        self.packed = {}                        # operations by layer and algorithm; each weight is packed once
        self.programs = OrderedDict()

    def forward(self, x, threads=None, algorithm="auto"):
        """(N, 3, H, W) float32 → the output of the last layer.

        `algorithm`: one of `tiers.ALGORITHMS`; `threads`: None for all.  The bits depend on neither threads nor N.
        """
        self.check(x)
        if len(x) == 0:
            return np.empty((0, *describe(self.architecture, x.shape[2:])[-1].output_shape), x.dtype)
        return np.concatenate(self.answers(x, threads, algorithm, ()))

    def features(self, x, names, threads=None, algorithm="auto"):
        """(N, 3, H, W) float32 → {name: the output of that layer}, for layers that `keeps`; later ones are not computed."""
        self.check(x)
        if len(x) == 0:
            shapes = {row.layer.name: row.output_shape for row in describe(self.architecture, x.shape[2:])}
            return {name: np.empty((0, *shapes[name]), x.dtype) for name in names}
        pieces = self.answers(x, threads, algorithm, tuple(names))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def run(self, x, names, threads=None, algorithm="auto"):
        """(N, C, H, W) float32 → {name: the output of that layer}."""
        if tuple(names) == (self.architecture.layers[-1].name,):
            return {names[0]: self.forward(x, threads, algorithm)}
        if all(map(self.keeps, names)):
            return self.features(x, names, threads, algorithm)
        kernels, kept = tiers.choose("engine"), {}
        with limited(threads):
            for layer in self.architecture.layers:
                x = kept[layer.name] = kernels[layer.op](x, *layer.arrays(self.parameters), **dict(layer.options))
                if set(names) <= kept.keys():
                    return {name: kept[name] for name in names}

    def keeps(self, name):
        """Whether the output of a layer exists in a program: what a ReLU or a batch norm rides on does not."""
        return any(layer.name == name and layer.op not in ("conv2d", "batchnorm2d") for layer in self.architecture.layers)

    def check(self, x):
        """Refuse what the first convolution would; too small a picture is refused where its program is made."""
        first = self.architecture.layers[0]
        contracts.conv2d(x, *first.arrays(self.parameters), 1)

    def answers(self, x, threads, algorithm, names):
        """What the programs answer to the pictures, as many at a time as go together."""
        size = x.shape[2:]
        together = min(max(1, PIXELS // (size[0] * size[1])), MOST_IMAGES)
        pieces = [x[start:start + together] for start in range(0, len(x), together)]
        return [self.program(len(piece), size, number_of(threads), algorithm, names).run(piece) for piece in pieces]

    def program(self, images, size, threads, algorithm, names=()):
        """The program for so many pictures of one size, made at its first use."""
        key = images, size, threads, algorithm, names
        with self.lock:
            # Somebody may have put other arrays in the place of these.
            if any(old is not new for old, new in zip(self.arrays_packed, self.parameters.values(), strict=True)):
                self.start_over()
            if key not in self.programs:
                operations = list(self.operations(size, algorithm, names))
                self.programs[key] = program.build(operations, images, *size, threads)
                if len(self.programs) > PROGRAMS:
                    self.programs.popitem(last=False)
            self.programs.move_to_end(key)
            return self.programs[key]

    def operations(self, size, algorithm, names=()):
        """The layers as operations of the engine, up to the last one in `names`, the outputs of which are kept."""
        shapes = {row.layer: row.output_shape for row in describe(self.architecture, size)}
        wanted, channels = set(names), 3
        for group in groups(self.architecture.layers, names):
            first, last = group[0], group[-1]
            riding, options = {layer.op: layer for layer in group[1:]}, dict(first.options)
            if first.op == "conv2d":
                shape = channels, *shapes[first][1:]
                kind = program.algorithm_for(shape, dict(first.shapes)["weight"], options["padding"], algorithm)
                pooled, channels = "maxpool2d" in riding, shapes[first][0]
                yield self.convolution(first, riding.get("batchnorm2d"), kind, "relu" in riding, pooled and kind in TILES)
                if pooled and kind not in TILES:
                    yield program.MaxPool()
            elif first.op == "dense":
                yield self.dense(first, "relu" in riding)
            elif first.op == "maxpool2d":
                yield program.MaxPool()
            elif first.op == "local_response_norm":
                assert (options["size"], options["beta"]) == (5, 0.75), options
                yield program.Normalise(packing.pack_normalisation(options["alpha"], options["k"]))
            elif first.op == "adaptive_avgpool2d":
                yield program.Average(options["size"], options["size"])
            elif first.op == "relu":
                yield program.Relu()
            else:
                assert first.op in ("flatten", "dropout"), first        # one rides on the average, the other does nothing here
            if last.name in wanted:
                wanted.remove(last.name)
                yield program.Keep(last.name, shapes[last])
                if not wanted:
                    return

    def convolution(self, layer, norm, kind, relu, pooled):
        key = layer.name, kind
        if key not in self.packed:
            weight, bias = layer.arrays(self.parameters)
            scale, bias = packing.folded(bias, norm and (norm.arrays(self.parameters), dict(norm.options)["eps"]))
            self.packed[key] = layerwise.pack_convolution(weight, scale, bias, kind)
            let_go(weight)
        return replace(self.packed[key], relu=relu, pooled=pooled)

    def dense(self, layer, relu):
        if layer.name not in self.packed:
            self.packed[layer.name] = layerwise.pack_dense(*layer.arrays(self.parameters), relu)
        return replace(self.packed[layer.name], relu=relu)


def refused(architecture):
    """The first layer that the engine does not know, for people; None where it knows them all."""
    for layer in architecture.layers:
        if layer.op not in OPERATIONS or (layer.op == "conv2d" and (len(layer.shapes) < 2 or architecture.input_channels != 3)):
            return layer.name
    return None


def after_fork():
    """A plan's lock held by a thread that does not exist here would never be released."""
    for plan in PLANS:
        plan.lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)


def groups(layers, names):
    """Lists of layers that become one operation: a layer and what rides on it, which nothing does on a layer in `names`."""
    group = []
    for layer in layers:
        if group and group[-1].name not in names and layer.op in RIDES.get(group[0].op, ()):
            group.append(layer)
        else:
            if group:
                yield group
            group = [layer]
    yield group


def let_go(array):
    """Tell the system that the pages of an array mapped from a file are not needed now; they come back when they are read."""
    memory = array.base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        start = array.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            memory.madvise(mmap.MADV_DONTNEED, first, last - first)
