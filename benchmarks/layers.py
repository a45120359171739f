"""Each layer of a network: how long it takes on each tier, how near that is to what the machine can do, and how exact it is.

    python -m benchmarks.layers [NAME] [--batch 1] [--threads 2] [--runs 7] [--tier engine --tier jit] [--output FILE]

    ms         median over the runs; on the engine whatever rides on the layer (batch norm, ReLU, max-pooling) included
    GFLOP/s    two for each multiply–add of the definition, so an algorithm that needs fewer shows more than the machine has
    of peak    multiply–adds really done ÷ those that the threads could do in that time, measured in the same run
    error      largest gap of this layer alone, given the float64 run's input, over the largest value

Dense layers are a matter of memory at batch 1: for them "of peak" is bytes of weights ÷ those that the threads could read.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks import peak
from npvgg import atomic_file, network, text_table
from npvgg.architecture import describe
from npvgg.kernels import table, threads
from npvgg.kernels.engine import program, team
from npvgg.kernels.engine.packing import blocks
from npvgg.kernels.engine.vector_shape import COLUMNS, LANES
from npvgg.kernels.engine.winograd import POSITIONS, TILE
from npvgg.parity import oracle

DISAGREES = 1e-4
HEADINGS = ("layer", "tier", "algorithm", "ms", "GFLOP/s", "of peak", "error", "verdict")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="vgg16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=threads.number_of(None))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--size", type=int, help="side of the picture; default: the network's own")
    parser.add_argument("--tier", action="append", choices=table.LADDER[1:], help="default: engine and jit")
    parser.add_argument("--output", type=Path, help="write the figures here too, as JSON")
    options = parser.parse_args()
    vgg = network.create(options.name, seed=0, how="he", threads=options.threads)
    size = options.size or vgg.architecture.input_size
    x = np.random.Generator(np.random.PCG64(1)).standard_normal((options.batch, 3, size, size), np.float32)
    tiers = options.tier or ["engine", "jit"]
    gflops, bytes_a_second = peak.multiply_adds(options.threads), peak.reading(options.threads)
    errors = dict(layer_errors(vgg, x[:1], tiers))
    rows = []
    for tier in tiers:
        times = (engine_times if tier == "engine" else tier_times)(vgg, x, tier, options.runs)
        for row in describe(vgg.architecture, size):
            if row.layer.name in times:
                rows.append(judged(row, tier, *times[row.layer.name], errors[row.layer.name][tier], options, gflops,
                                   bytes_a_second))
    print(f"{options.name}, {options.batch} × {size}×{size}, {options.threads} threads: peak {gflops:.0f} GFLOP/s, "
          f"memory {bytes_a_second / 1e9:.0f} GB/s")
    print("\n".join(text_table.render(HEADINGS, [cells(row) for row in rows], left=(0, 1, 2, 7))))
    for tier in tiers:
        print(f"{tier}: {sum(row['ms'] for row in rows if row['tier'] == tier):.1f} ms in convolutions and dense layers")
    if options.output:
        figures = {"network": options.name, "batch": options.batch, "threads": options.threads, "size": size, "gflops": gflops,
                   "bytes_a_second": bytes_a_second, "layers": rows}
        atomic_file.write(options.output, json.dumps(figures, indent=1).encode(), force=True)


def layer_errors(vgg, x, tiers):
    """(layer, {tier: gap of that layer alone}) for each layer with weights."""
    exact, runs = oracle.steps(vgg.using(dtype=np.float64), "jit"), {tier: oracle.steps(vgg, tier) for tier in tiers}
    for layer, found in oracle.errors(vgg.architecture.layers, x, exact=exact, runs=runs):
        yield layer.name, {tier: error.local.largest_relative for tier, error in found.items()}


def tier_times(vgg, x, tier, runs):
    """{layer: (median ms, algorithm, None)} by calling the kernels one after the other."""
    kernels, times = table.choose(tier), {}
    with threads.limited(vgg.threads):
        for layer in vgg.architecture.layers:
            arguments, options = vgg.arguments(layer), dict(layer.options)
            if layer.op in ("conv2d", "dense"):
                times[layer.name] = median(lambda: kernels[layer.op](x, *arguments, **options), runs), "im2col", None  # noqa: B023
            x = kernels[layer.op](x, *arguments, **options)
    return times


def engine_times(vgg, x, _, runs):
    """{layer: (median ms, algorithm, operation)} by walking through the plan one step at a time."""
    size = x.shape[2:]
    plan = vgg.plan.program(len(x), size, vgg.threads, "auto")
    plan.run(x)
    arena = plan.free[-1]
    samples = [[0.0] * len(plan.operations) for _ in range(runs)]
    for sample in samples:
        for number, owner in enumerate(plan.owners):
            taken = program.counters(1)
            start = time.perf_counter()
            team.together(lambda thread: plan.walk(number, 1, taken, arena, x, thread), vgg.threads)  # noqa: B023
            sample[owner] += (time.perf_counter() - start) * 1e3
    medians = [statistics.median(column) for column in zip(*samples)]
    weighted = [layer for layer in vgg.architecture.layers if layer.op in ("conv2d", "dense")]
    timed = [(ms, operation) for ms, operation in zip(medians, plan.operations)
             if isinstance(operation, (program.Convolution, program.Dense))]
    return {layer.name: (ms, getattr(operation, "algorithm", "rows"), operation)
            for layer, (ms, operation) in zip(weighted, timed, strict=True)}


def median(call, runs):
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def judged(row, tier, ms, algorithm, operation, error, options, gflops, bytes_a_second):
    seconds = ms / 1e3
    done = row.macs
    if algorithm == "winograd":
        channels = blocks(operation.weights.shape[2]) * LANES * operation.weights.shape[1] * COLUMNS
        height, width = row.output_shape[1:]
        done = POSITIONS * channels * -(-height // TILE) * -(-width // TILE)
    share = 2 * done * options.batch / seconds / (gflops * 1e9)
    if row.layer.op == "dense" and options.batch == 1:
        share = 4 * row.macs / seconds / bytes_a_second
    return {"layer": row.layer.name, "tier": tier, "algorithm": algorithm, "ms": ms,
            "gflops": 2e-9 * row.macs * options.batch / seconds, "of_peak": share, "error": error,
            "verdict": "ok" if error <= DISAGREES else "DISAGREES"}


def cells(row):
    return (row["layer"], row["tier"], row["algorithm"], f"{row['ms']:.2f}", f"{row['gflops']:.0f}", f"{row['of_peak']:.0%}",
            f"{row['error']:.1e}", row["verdict"])


if __name__ == "__main__":
    main()
