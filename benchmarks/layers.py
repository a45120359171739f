"""Each layer of a network: how long it takes on each tier, how near that is to what the machine can do, and how exact it is.

    python -m benchmarks.layers [NAME] [--batch 1] [--threads 2] [--runs 7] [--tier engine jit] [--output FILE]

    ms         median over the runs; on the engine with what is fused into the layer (batch norm, ReLU, max-pooling)
    GFLOP/s    two for each multiply–add of the definition, so an algorithm that needs fewer shows more than the machine has
    of peak    multiply–adds really done ÷ those that the threads could do in that time, measured in the same run
    error      largest gap of this layer alone, given the float64 run's input, over the largest value

Dense layers are a matter of memory at batch 1: for them "of peak" is bytes of weights ÷ those that the threads could read.
"""
import argparse
import math
import statistics
import sys
import time

import numpy as np

from benchmarks import command, peak, result_file
from npvgg import network, text_table
from npvgg.arithmetic import ceil_div
from npvgg.counting import describe
from npvgg.errors import UsageError
from npvgg.gap import FLOAT32_BOUND
from npvgg.kernels import tiers
from npvgg.kernels.compiling import threads
from npvgg.kernels.engine import program, team
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.convolution_steps import algorithm_for
from npvgg.kernels.engine.winograd import tile_for
from npvgg.parity import oracle
from npvgg.storage import atomic_file

PROGRAM = "benchmarks.layers"
HEADINGS = ("layer", "tier", "algorithm", "ms", "GFLOP/s", "of peak", "error", "verdict")


def main(arguments=None):
    return command.main(PROGRAM, parser(), run, arguments)


def parser():
    options = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    options.add_argument("name", nargs="?", default="vgg16", metavar="NAME", help="network (default vgg16)")
    options.add_argument("--batch", type=int, default=1, metavar="N", help="pictures at a time (default 1)")
    options.add_argument("--threads", type=int, metavar="N", help="threads (default all)")
    options.add_argument("--runs", type=int, default=7, metavar="N", help="counted rounds (default 7)")
    options.add_argument("--size", type=int, metavar="PIXELS", help="side of the picture (default the network's own)")
    options.add_argument("--tier", nargs="+", choices=tiers.LADDER[1:], default=["engine", "jit"], metavar="TIER",
                         help="engine, jit or both (default both)")
    options.add_argument("--output", metavar="FILE", help="write the results as JSON")
    options.add_argument("--force", action="store_true", help="replace FILE if it exists")
    return options


def run(options, typed):
    for what in ("batch", "runs"):
        if getattr(options, what) < 1:
            raise UsageError(f"--{what} is {getattr(options, what)}; give a whole number of at least 1")
    if options.output:
        atomic_file.destination(options.output, options.force)
    vgg = network.create(options.name, seed=0, how="he", threads=options.threads)
    count, size = threads.number_of(vgg.options.threads), options.size or vgg.architecture.input_size
    table_rows = describe(vgg.architecture, size)
    x = np.random.Generator(np.random.PCG64(1)).standard_normal((options.batch, 3, size, size), np.float32)
    gflops, bytes_a_second = peak.multiply_adds(count), peak.reading(count)
    errors = dict(layer_errors(vgg, x[:1], options.tier))
    rows = []
    for tier in options.tier:
        times = (engine_times if tier == "engine" else tier_times)(vgg, x, tier, options.runs)
        rows += [judged(row, tier, *times[row.layer.name], errors[row.layer.name][tier], options.batch, gflops, bytes_a_second)
                 for row in table_rows if row.layer.name in times]
    print(f"{vgg.architecture.name}, {options.batch} × {size}×{size}, {count} thread{'s' * (count != 1)}: peak {gflops:.0f} "
          f"GFLOP/s, memory {bytes_a_second / 1e9:.0f} GB/s")
    print("\n".join(text_table.render(HEADINGS, [cells(row) for row in rows], left=(0, 1, 2, 7),
                                      width=text_table.terminal_width())))
    for tier in options.tier:
        print(f"{tier}: {sum(row['ms'] for row in rows if row['tier'] == tier):.1f} ms in convolutions and dense layers")
    if options.output:
        facts = {"network": vgg.architecture.name, "batch": options.batch, "threads": count, "size": size}
        result_file.write(options.output, "layers", [facts | row for row in rows], command=typed, force=options.force,
                          peak_gflops=gflops / count, read_gb_per_s=bytes_a_second / 1e9)


def layer_errors(vgg, x, tiers):
    """(layer, {tier: gap of that layer alone}) for each layer with weights."""
    exact, runs = oracle.steps(vgg.using(dtype=np.float64), "jit"), {tier: oracle.steps(vgg, tier) for tier in tiers}
    for layer, found in oracle.errors(vgg.architecture.layers, x, exact=exact, runs=runs):
        yield layer.name, {tier: error.local.largest_relative for tier, error in found.items()}


def tier_times(vgg, x, tier, runs):
    """{layer: (median ms, algorithm, None)} by calling the kernels one after the other."""
    kernels, times = tiers.choose(tier), {}
    with threads.limited(vgg.options.threads):
        for layer in vgg.architecture.layers:
            arguments, options = layer.arrays(vgg.parameters), dict(layer.options)
            if layer.op in ("conv2d", "dense"):
                times[layer.name] = median(lambda: kernels[layer.op](x, *arguments, **options), runs), "im2col", None  # noqa: B023
            x = kernels[layer.op](x, *arguments, **options)
    return times


def engine_times(vgg, x, _, runs):
    """{layer: (median ms, algorithm, bytes of packed weights)} by walking through the plan's program one step at a time."""
    layers, last = {layer.name: layer for layer in vgg.architecture.layers}, vgg.architecture.layers[-1].name
    plan, count = vgg.runner.plan, threads.number_of(vgg.options.threads)
    made = plan.program(x.shape, count, vgg.options.algorithm, frozenset([last]))
    answer = {last: np.empty((len(x), *describe(vgg.architecture, x.shape[2:])[-1].output_shape), np.float32)}
    arena, samples = aligned(made.floats), []           # kept here: the steps hold its address only
    ready = made.prepared({"x": x} | answer, arena)
    for _ in range(runs + 1):
        times = dict.fromkeys(layers, 0.0)
        for number, owners in enumerate(made.owners):
            counters, step = program.new_counters(1), ready[number:number + 1]
            start = time.perf_counter()
            team.together(program.walk(step, counters), count)
            if owners[0] in times:
                times[owners[0]] += (time.perf_counter() - start) * 1e3
        samples.append(times)
    medians = {name: statistics.median(times[name] for times in samples[1:]) for name in layers}        # the first warms up
    return {name: (medians[name], *kind_of(layer, plan, vgg.options.algorithm, x.shape[2:], vgg.architecture))
            for name, layer in layers.items() if layer.op in ("conv2d", "dense")}


def kind_of(layer, plan, algorithm, size, net):
    """The algorithm that computes a layer, and the shape of its packed weights."""
    if layer.op == "dense":
        return "rows", plan.packed.dense(layer)[0].shape
    before = next(row.input_shape for row in describe(net, size) if row.layer == layer)
    algorithm = algorithm_for(before, layer, algorithm, is_first=layer == net.layers[0])
    tile = tile_for(*before[1:]) if algorithm == "winograd" else None
    return algorithm, plan.packed.convolution(layer, algorithm, tile).shape


def median(call, runs):
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def judged(row, tier, ms, algorithm, packed, error, batch, gflops, bytes_a_second):
    """One row of the table; `packed` is the shape of the packed weights, None on a tier that packs none."""
    seconds, done = ms / 1e3, row.macs
    if algorithm == "winograd":
        height, width = row.output_shape[1:]
        tile = tile_for(height, width)
        done = math.prod(packed) * ceil_div(height, tile) * ceil_div(width, tile)
    share = 2 * done * batch / seconds / (gflops * 1e9)
    if row.layer.op == "dense" and batch == 1:
        share = 4 * row.macs / seconds / bytes_a_second
    return {"layer": row.layer.name, "tier": tier, "algorithm": algorithm, "ms": ms,
            "gflops": 2e-9 * row.macs * batch / seconds, "of_peak": share, "error": error,
            "verdict": "ok" if error <= FLOAT32_BOUND else "DISAGREES"}


def cells(row):
    return (row["layer"], row["tier"], row["algorithm"], f"{row['ms']:.2f}", f"{row['gflops']:.0f}", f"{row['of_peak']:.0%}",
            f"{row['error']:.1e}", row["verdict"])


if __name__ == "__main__":
    sys.exit(main())
