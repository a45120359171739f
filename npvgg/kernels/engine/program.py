"""A program: the steps that compute some layers for so many pictures of one size.

Threads walk through them together; each needs an arena, the memory in which feature maps lie meanwhile.
"""
import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.compiling import native
from npvgg.kernels.engine import steps, team
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.machine import CACHE_LINE, FLOAT, SHAPE


class Program:
    """Rows of steps.STEP with places in an arena of `floats` floats.

    `rows` are dictionaries of the fields of STEP; a place is a pair (region, floats from its start).  `regions` says how many
    floats each has, `scratch` how many a thread needs for itself.  `inputs` are the numbers of the steps that read x, `outputs`
    {name: number} those that write an answer.  `owners` names the layers that each step belongs to.
    """

    def __init__(self, rows, regions, scratch, threads, inputs, outputs, owners, weights):
        self.threads, self.inputs, self.outputs, self.owners = threads, inputs, outputs, owners
        self.weights = weights                  # whose addresses the steps hold
        places, end = {}, 0
        for region, floats in regions.items():
            places[region], end = end, end + ceil_div(floats, CACHE_LINE) * CACHE_LINE
        self.steps = np.zeros(len(rows), steps.STEP)
        scratch = ceil_div(scratch, CACHE_LINE) * CACHE_LINE
        for step, fields in zip(self.steps, rows, strict=True):
            for name, value in fields.items():
                step[name] = places[value[0]] + value[1] if isinstance(value, tuple) else value
            step["scratch"], step["scratch_size"] = end, scratch
        self.floats = end + scratch * threads

    def run(self, x, outputs, arena):
        """x float32 and {name: array to write} → the arrays are written.  All C-contiguous and aligned."""
        ready = self.prepared(x, outputs, arena)
        # The memory is the walk's too, for a helper of an interrupted call goes on after this has returned.
        team.together(walk(ready, new_counters(len(ready)), (self, x, outputs, arena)), self.threads)

    def prepared(self, x, outputs, arena):
        """The steps with addresses in the place of places."""
        ready = self.steps.copy()
        for place in steps.PLACES:
            ready[place] = arena.ctypes.data + FLOAT * ready[place]
        for number in self.inputs:
            ready["x"][number] = x.ctypes.data
        for name, number in self.outputs.items():
            ready["y"][number] = outputs[name].ctypes.data
        return ready


def walk(ready, counters, memory=()):
    """Prepared steps → function(thread), which does them as one of the threads; `memory` is whatever they read and write."""
    walk = native.entry("npvgg.kernels.engine.float32.run", "walk", str(SHAPE))      # now, so that helpers only run it

    def work(thread, memory=memory):
        walk(ready.ctypes.data, len(ready), counters.ctypes.data, thread)

    return work


def new_counters(count):
    """What the threads count in while they walk through so many steps: tasks taken and done, each on its own cache line."""
    return aligned(2 * 2 * steps.LINE * count).view(np.int64)
