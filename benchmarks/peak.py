"""What the machine can do at most: multiply–adds out of registers, and bytes out of memory."""
import time

import numpy as np

from npvgg.kernels.compiling.flags import serial
from npvgg.kernels.engine import team
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES

CHAINS, UNROLLED = 12, 8            # independent sums, so that none waits for the one before
REPEATS = 400_000
TRIES = 5
STREAM = 8                          # vectors read side by side
MEMORY_BYTES = 384 << 20            # far more than any cache


@kernel(LANES)
def chains(v, count, place):
    """`count` times UNROLLED multiply–adds on each of CHAINS vectors, all different, or LLVM would make one of them."""
    place = v.floats(place)

    def body(_, values):
        for _ in range(UNROLLED):
            values = [v.multiply_add(value, factor, factor) for value in values]
        return values

    factor = v.load(place)
    for k, value in enumerate(v.repeat(count, [v.load(place, k * LANES) for k in range(CHAINS)], body)):
        v.store(value, place, k * LANES)


@kernel(LANES)
def sums(v, count, source, place):
    """`count` times STREAM vectors from `source` on, added up."""
    source, place = v.floats(source), v.floats(place)

    def body(index, values):
        line = v.at(source, v.product(index, STREAM * LANES))
        return [v.add(value, v.load(line, k * LANES)) for k, value in enumerate(values)]

    for k, value in enumerate(v.repeat(count, [v.splat(0)] * STREAM, body)):
        v.store(value, place, k * LANES)


@serial
def multiply(count, place):
    chains(count, place)


@serial
def read(count, source, place):
    sums(count, source, place)


def multiply_adds(threads):
    """GFLOP/s of so many threads together."""
    places = np.random.default_rng(0).random((threads, CHAINS * LANES), np.float32) / 2
    flops = 2 * REPEATS * UNROLLED * CHAINS * LANES * threads
    return flops / fastest(lambda thread: multiply(REPEATS, places[thread].ctypes.data), threads) / 1e9


def reading(threads):
    """Bytes a second that so many threads together read from memory."""
    count = MEMORY_BYTES // (4 * STREAM * LANES * threads)
    values = np.ones((threads, count * STREAM * LANES), np.float32)
    places = np.zeros((threads, STREAM * LANES), np.float32)
    return values.nbytes / fastest(lambda thread: read(count, values[thread].ctypes.data, places[thread].ctypes.data), threads)


def fastest(work, threads):
    """Seconds of the best of some tries."""
    team.together(work, threads)
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        team.together(work, threads)
        times.append(time.perf_counter() - start)
    return min(times)
