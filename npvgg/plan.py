"""The same answer sooner: a network as programs of the engine.

    plan = Plan(architecture, parameters)
    plan.forward(x)                         (N, 3, H, W) → (N, classes)

Batch norm is folded into the convolution before it; bias, ReLU and max-pooling ride on the convolution's last step; weights are
transformed and packed once; each picture size gets its own program, with its own memory.

    conv1_1 [batchnorm] relu1_1 conv1_2 relu1_2 pool1 …        →        Convolution, Convolution(pooled), …
"""
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
        first = self.architecture.layers[0]
        contracts.conv2d(x, *(self.parameters[f"{first.name}/{kind}"] for kind, _ in first.shapes), 1)
        size = x.shape[2:]
        if len(x) == 0:
            return np.empty((0, *describe(self.architecture, size)[-1].output_shape), x.dtype)
        together = min(max(1, PIXELS // (size[0] * size[1])), MOST_IMAGES)
        return np.concatenate([self.program(len(some), size, number_of(threads), algorithm).run(some)
                               for some in (x[start:start + together] for start in range(0, len(x), together))])

    def program(self, images, size, threads, algorithm):
        """The program for so many pictures of one size, made at its first use."""
        key = images, size, threads, algorithm
        with self.lock:
            # Somebody may have put other arrays in the place of these.
            if any(old is not new for old, new in zip(self.arrays_packed, self.parameters.values(), strict=True)):
                self.start_over()
            if key not in self.programs:
                self.programs[key] = program.build(list(self.operations(size, algorithm)), images, *size, threads)
                if len(self.programs) > PROGRAMS:
                    self.programs.popitem(last=False)
            self.programs.move_to_end(key)
            return self.programs[key]

    def operations(self, size, algorithm):
        """The layers as operations of the engine: each with what follows it, if that can ride on its last step."""
        rows = {row.layer: row for row in describe(self.architecture, size)}
        layers = list(self.architecture.layers)
        channels = 3
        while layers:
            layer = layers.pop(0)
            options = dict(layer.options)
            if layer.op == "conv2d":
                shape = (channels, *rows[layer].output_shape[1:])
                channels = rows[layer].output_shape[0]
                norm = layers.pop(0) if layers[0].op == "batchnorm2d" else None
                relu = layers[0].op == "relu" and bool(layers.pop(0))
                kind = program.algorithm_for(shape, dict(layer.shapes)["weight"], options["padding"], algorithm)
                pooled = kind == "winograd" and layers[0].op == "maxpool2d" and bool(layers.pop(0))
                yield self.convolution(layer, norm, kind, relu, pooled)
            elif layer.op == "dense":
                yield self.dense(layer, bool(layers) and layers[0].op == "relu")
            elif layer.op == "maxpool2d":
                yield program.MaxPool()
            elif layer.op == "local_response_norm":
                assert (options["size"], options["beta"]) == (5, 0.75), options
                yield program.Normalise(packing.pack_normalisation(options["alpha"], options["k"]))
            elif layer.op == "adaptive_avgpool2d":
                yield program.Average(options["size"], options["size"])
            # flatten rides on the average, the ReLU behind a dense layer on that, and dropout does nothing here.

    def convolution(self, layer, norm, kind, relu, pooled):
        key = layer.name, kind
        if key not in self.packed:
            weight, bias = self.arrays(layer)
            scale, bias = packing.folded(bias, norm and (self.arrays(norm), dict(norm.options)["eps"]))
            self.packed[key] = layerwise.pack_convolution(weight, scale, bias, kind)
        return replace(self.packed[key], relu=relu, pooled=pooled)

    def dense(self, layer, relu):
        if layer.name not in self.packed:
            self.packed[layer.name] = layerwise.pack_dense(*self.arrays(layer), relu)
        return self.packed[layer.name]

    def arrays(self, layer):
        return [self.parameters[f"{layer.name}/{kind}"] for kind, _ in layer.shapes]
