"""A program: the steps that compute some layers for so many pictures of one size.

Threads walk through them together; each needs an arena, the memory in which feature maps lie meanwhile.
"""
import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.compiling import native
from npvgg.kernels.engine import steps, team
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.machine import CACHE_LINE, FLOAT, SHAPE

INFERENCE, TRAINING = "npvgg.kernels.engine.float32.run", "npvgg.kernels.engine.float32.gradients.run"


class Program:
    """Rows of steps.STEP with places in an arena of `floats` floats and in arrays of the caller's.

    `rows` are dictionaries of the fields of STEP; a place is a pair (region, floats from its start).  `regions` says how many
    floats each has, `scratch` how many a thread needs for itself; a region that is none of them is an array that each run
    brings.  `owners` names the layers that each step belongs to, `weights` are arrays whose addresses the steps hold.  `module`
    is that of the function that walks through these kinds of steps.
    """

    def __init__(self, rows, regions, scratch, threads, owners=(), weights=(), module=INFERENCE):
        self.threads, self.owners, self.weights, self.module = threads, owners, weights, module
        places, end = {}, 0
        for region, floats in regions.items():
            places[region], end = end, end + ceil_div(floats, CACHE_LINE) * CACHE_LINE
        self.steps = np.zeros(len(rows), steps.STEP)
        scratch = ceil_div(scratch, CACHE_LINE) * CACHE_LINE
        self.steps["scratch"], self.steps["scratch_size"] = end, scratch
        self.inside = {"scratch": list(range(len(rows)))}       # field: the steps whose place lies in the arena
        self.outside = []                                       # (step, field, name of an array of the caller's)
        for number, fields in enumerate(rows):
            for name, value in fields.items():
                if not isinstance(value, tuple):
                    self.steps[name][number] = value
                elif value[0] in places:
                    self.steps[name][number] = places[value[0]] + value[1]
                    self.inside.setdefault(name, []).append(number)
                else:
                    self.steps[name][number] = value[1]
                    self.outside.append((number, name, value[0]))
        self.floats = end + scratch * threads

    def run(self, arrays, arena):
        """{name: float32 array to read or to write, C-contiguous and aligned} → what the steps write is written."""
        ready = self.prepared(arrays, arena)
        # The memory is the walk's too, for a helper of an interrupted call goes on after this has returned.
        team.together(walk(ready, new_counters(len(ready)), (self, arrays, arena), self.module), self.threads)

    def prepared(self, arrays, arena):
        """The steps with addresses in the place of places."""
        ready = self.steps.copy()
        for field, numbers in self.inside.items():
            ready[field][numbers] = arena.ctypes.data + FLOAT * ready[field][numbers]
        for number, field, name in self.outside:
            ready[field][number] = arrays[name].ctypes.data + FLOAT * ready[field][number]
        return ready


def walk(ready, counters, memory=(), module=INFERENCE):
    """Prepared steps → function(thread), which does them as one of the threads; `memory` is whatever they read and write."""
    walk = native.entry(module, "walk", str(SHAPE))      # now, so that helpers only run it

    def work(thread, memory=memory):
        walk(ready.ctypes.data, len(ready), counters.ctypes.data, thread)

    return work


def new_counters(count):
    """What the threads count in while they walk through so many steps: tasks taken and done, each on its own cache line."""
    return aligned(2 * 2 * steps.LINE * count).view(np.int64)
