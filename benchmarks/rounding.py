"""How far npvgg and PyTorch are from a float64 run:  python -m benchmarks.rounding JOB, where JOB is JSON.

    {"names": ["vgg16"], "width": 1.0, "filters": "vgg16.onnx", "pictures": 8, "size": 224, "threads": 2}

Answers with a line of JSON for each of `names` with seeded weights, about its last layer, and, where `filters` is not null, one
for each ReLU and for pool5 of the published filters:

    {"weights": "seeded", "network": "vgg16", "layer": "fc8", "width": 1.0, "pictures": 8, "size": 224, "processor": "avx512",
     "auto": 4.1e-7, "direct": 2.0e-7, "jit": 2.6e-7, "pytorch": 1.9e-6}

The numbers are largest gap ÷ largest value of that layer, the worst of the pictures, which run one at a time.  The float64 run
is PyTorch's.  A process decides when it starts which instructions it uses, so `exactness` starts one a kind of processor.
"""
import json
import sys
import warnings

import numpy as np

from benchmarks import subject
from npvgg import images
from npvgg.gap import relative_gap
from npvgg.kernels.engine.machine import vectors_here
from npvgg.parity import recording

RUNS = {"auto": {"tier": "engine", "algorithm": "auto"}, "direct": {"tier": "engine", "algorithm": "direct"},
        "jit": {"tier": "jit"}, "pytorch": None}


def main():
    # A network's parameters are read-only, which PyTorch, too, leaves them.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    for row in rows(**json.loads(sys.argv[1])):
        print(json.dumps(row), flush=True)


def rows(names, width, filters, pictures, size, threads):
    """The answers, one network at a time."""
    files = subject.photographs(pictures)
    for name in names:
        vgg = subject.draw(name, width=width)
        yield from rows_of("seeded", vgg, [vgg.architecture.layers[-1].name], files, size, threads)
    if filters is not None:
        vgg = subject.published(filters)
        yield from rows_of("published", vgg, rectified(vgg), files, size, threads)


def rectified(vgg):
    """The names of every ReLU up to pool5, and of pool5."""
    names = [layer.name for layer in vgg.architecture.layers if layer.op == "relu" or layer.name == "pool5"]
    return names[:names.index("pool5") + 1]


def rows_of(weights, vgg, layers, files, size, threads):
    """A row for each of the layers named."""
    preset, worst = vgg.preset.resized(size), {name: dict.fromkeys(RUNS, 0.0) for name in layers}
    for file in files:
        for run, found in gaps(vgg, images.batch(file, preset, dtype=np.float32), layers, threads).items():
            for name, gap in found.items():
                worst[name][run] = max(worst[name][run], gap)
    for name in layers:
        yield {"weights": weights, "network": vgg.architecture.name, "layer": name, "width": vgg.architecture.width,
               "pictures": len(files), "size": size, "processor": vectors_here(), **worst[name]}


def gaps(vgg, x, layers, threads=None):
    """Of one float32 batch: {run: {layer: largest gap ÷ largest value}} for RUNS and the layers named."""
    import torch  # not at the top: `exactness` asks for RUNS without it

    if threads:
        torch.set_num_threads(threads)
    exact = pytorch(torch, vgg, x.astype(np.float64), layers)
    result = {}
    for run, options in RUNS.items():
        found = pytorch(torch, vgg, x, layers) if options is None else (
            vgg.using(**options, threads=threads).runner.features(x, layers))
        result[run] = {name: relative_gap(found[name], exact[name]) for name in layers}
    return result


def pytorch(torch, vgg, x, layers):
    """{layer: its output} by PyTorch, in the dtype of x and in its contiguous format."""
    return {layer.name: y for layer, y in recording.outputs(torch, vgg.architecture, vgg.parameters, x) if layer.name in layers}


if __name__ == "__main__":
    main()
