"""The same answer sooner: a network as programs of the engine.

    plan = Plan(architecture, parameters)
    plan.forward(x)                         (N, 3, H, W) → (N, classes)
    plan.features(x, ["relu5_3"])           (N, 3, H, W) → {"relu5_3": (N, 512, H/16, W/16)}

Batch norm is folded into the convolution before it; bias, ReLU and max-pooling ride on the convolution's last step; weights are
transformed and packed once; each picture size gets its own program, with its own memory.

    conv1_1 [batchnorm] relu1_1 conv1_2 relu1_2 pool1 …        →        Convolution, Convolution(pooled), …
"""
import mmap
from collections import OrderedDict
from dataclasses import replace
from threading import Lock

import numpy as np

from npvgg.architecture import describe
from npvgg.kernels import contracts
from npvgg.kernels.engine import layerwise, packing, program
from npvgg.kernels.threads import number_of

# Images that run through a program together: with eight, the 235 MB of transformed filters are read for all of them at once,
# and more gain nothing.  The count is in images of 224×224; small ones go together in larger numbers.
IMAGES = 8
PIXELS = IMAGES * 224 * 224
MOST_IMAGES = 64
PROGRAMS = 4                    # kept, with their memory, for sizes seen before


class Plan:
    """Packed weights of one network and the programs made of them; calls from several threads may share it."""

    def __init__(self, architecture, parameters):
        self.architecture, self.parameters = architecture, parameters
        self.lock = Lock()
        self.start_over()

    def start_over(self):
        self.arrays_packed = tuple(self.parameters.values())
        self.packed = {}                        # operations by layer and algorithm; each weight is packed once
        self.programs = OrderedDict()

    def forward(self, x, threads=None, algorithm="auto"):
        """(N, 3, H, W) float32 → the output of the last layer.

        `algorithm`: one of `table.ALGORITHMS`; `threads`: None for all.  The bits depend on neither threads nor N.
        """
        if len(x) == 0:
            return np.empty((0, *self.rows(x)[-1].output_shape), x.dtype)
        return np.concatenate(self.answers(x, threads, algorithm, ()))

    def features(self, x, names, threads=None, algorithm="auto"):
        """(N, 3, H, W) float32 → {name: the output of that layer}, for layers that `keeps`; later ones are not computed."""
        if len(x) == 0:
            shapes = {row.layer.name: row.output_shape for row in self.rows(x)}
            return {name: np.empty((0, *shapes[name]), x.dtype) for name in names}
        pieces = self.answers(x, threads, algorithm, tuple(names))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def keeps(self, name):
        """Whether the output of a layer exists in a program: what a ReLU or a batch norm rides on does not."""
        return any(layer.name == name and layer.op not in ("conv2d", "batchnorm2d") for layer in self.architecture.layers)

    def rows(self, x):
        first = self.architecture.layers[0]
        contracts.conv2d(x, *self.arrays(first), 1)
        return describe(self.architecture, x.shape[2:])

    def answers(self, x, threads, algorithm, names):
        """What the programs answer to the pictures, as many at a time as go together."""
        self.rows(x)
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
        """The layers as operations of the engine: each with what follows it, if that can ride on its last step.

        Nothing rides on a layer in `names`, which is kept, and the last of them is the end.
        """
        shapes = {row.layer: row.output_shape for row in describe(self.architecture, size)}
        layers, wanted, channels = list(self.architecture.layers), set(names), 3
        while layers and (wanted or not names):
            layer = layers.pop(0)

            def takes(op):
                """Move on to the next layer if it is of this kind and may ride on the present one."""
                nonlocal layer
                if not layers or layers[0].op != op or layer.name in names:
                    return None
                layer = layers.pop(0)
                return layer

            options, first = dict(layer.options), layer
            if layer.op == "conv2d":
                kind = program.algorithm_for((channels, *shapes[layer][1:]), dict(layer.shapes)["weight"], options["padding"],
                                             algorithm)
                channels = shapes[layer][0]
                norm, relu = takes("batchnorm2d"), takes("relu") is not None
                yield self.convolution(first, norm, kind, relu, kind == "winograd" and takes("maxpool2d") is not None)
            elif layer.op == "dense":
                yield self.dense(first, takes("relu") is not None)
            elif layer.op == "maxpool2d":
                yield program.MaxPool()
            elif layer.op == "local_response_norm":
                assert (options["size"], options["beta"]) == (5, 0.75), options
                yield program.Normalise(packing.pack_normalisation(options["alpha"], options["k"]))
            elif layer.op == "adaptive_avgpool2d":
                yield program.Average(options["size"], options["size"])
            elif layer.op == "relu":
                yield program.Relu()
            # flatten rides on the average, and dropout does nothing here.
            if layer.name in wanted:
                wanted.remove(layer.name)
                yield program.Keep(layer.name, shapes[layer])

    def convolution(self, layer, norm, kind, relu, pooled):
        key = layer.name, kind
        if key not in self.packed:
            weight, bias = self.arrays(layer)
            scale, bias = packing.folded(bias, norm and (self.arrays(norm), dict(norm.options)["eps"]))
            self.packed[key] = layerwise.pack_convolution(weight, scale, bias, kind)
            let_go(weight)
        return replace(self.packed[key], relu=relu, pooled=pooled)

    def dense(self, layer, relu):
        if layer.name not in self.packed:
            self.packed[layer.name] = layerwise.pack_dense(*self.arrays(layer), relu)
        return replace(self.packed[layer.name], relu=relu)

    def arrays(self, layer):
        return [self.parameters[f"{layer.name}/{kind}"] for kind, _ in layer.shapes]


def let_go(array):
    """Tell the system that the pages of an array mapped from a file are not needed now; they come back when they are read."""
    memory = array.base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        start = array.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            memory.madvise(mmap.MADV_DONTNEED, first, last - first)
