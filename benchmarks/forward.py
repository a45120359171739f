"""One forward pass, npvgg beside PyTorch: the same seeded weights, the same picture, the same threads, in turn.

    python -m benchmarks.forward [NAME …] [--threads 2] [--batch 1] [--runs 5]

Prints the median time an image, npvgg's time over PyTorch's pair by pair, and the largest gap of each one's logits to the
float64 run, over the largest logit.  A network whose gap exceeds `DISAGREES` gets no time.  Without PyTorch, npvgg alone.
"""
import argparse
import statistics
import time

import numpy as np

from npvgg import network
from npvgg.kernels import table
from weights_convert import record_trace

DISAGREES = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["vgg16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tier", default=table.DEFAULT)
    options = parser.parse_args()
    print(f"{'network':10}{'tier':>10}{'batch':>6}{'threads':>8}{'ms/image':>10}{'× torch':>9}{'error':>10}{'torch error':>13}")
    for name in options.names:
        measure(name, options)


def measure(name, options):
    vgg = network.create(name, seed=0, how="he", tier=options.tier, threads=options.threads)
    x = np.random.Generator(np.random.PCG64(1)).standard_normal((options.batch, 3, 224, 224), np.float32)
    exact = vgg.using(dtype=np.float64).forward(x[:1].astype(np.float64))
    contestants = {"npvgg": vgg.forward, **pytorch(vgg, options.threads)}
    gaps = {who: abs(run(x)[:1] - exact).max() / abs(exact).max() for who, run in contestants.items()}
    times = {who: [] for who in contestants}
    for _ in range(options.runs):
        for who, run in contestants.items():
            start = time.perf_counter()
            run(x)
            times[who].append((time.perf_counter() - start) * 1e3 / options.batch)
    if not gaps["npvgg"] <= DISAGREES:
        print(f"{name:10}{options.tier:>10} disagrees with its float64 run by {gaps['npvgg']:.1e}; no time is given")
        return
    line = f"{name:10}{options.tier:>10}{options.batch:6}{options.threads:8}{statistics.median(times['npvgg']):10.0f}"
    if "torch" in times:
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times["npvgg"], times["torch"]))
        print(f"{line}{ratio:9.2f}{gaps['npvgg']:10.1e}{gaps['torch']:13.1e}", flush=True)
    else:
        print(f"{line}{'—':>9}{gaps['npvgg']:10.1e}{'—':>13}", flush=True)


def pytorch(vgg, threads):
    """{"torch": x → logits} with the parameters of `vgg`, or {} where PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)

    def run(x):
        *_, (_, logits) = record_trace.outputs(torch, vgg.architecture, vgg.parameters, x)
        return logits

    return {"torch": run}


if __name__ == "__main__":
    main()
