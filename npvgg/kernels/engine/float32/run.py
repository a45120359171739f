"""What a thread does with a program."""
from numba import carray

from npvgg.kernels.compiling.flags import inlined, part
from npvgg.kernels.engine.float32 import convolution, dense_layer, feature_map, meeting
from npvgg.kernels.engine.float32.memory import steps_at
from npvgg.kernels.engine.float32.places import at
from npvgg.kernels.engine.steps import KINDS, NUMBER, STEP

# kind: function(step, task, scratch), which does one task.
TASKS = {
    "pad_picture": feature_map.pad_picture_task,
    "enter": feature_map.enter_task,
    "mirror": feature_map.mirror_task,
    "first_convolution": convolution.first_convolution_task,
    "direct": convolution.direct_task,
    "winograd": convolution.winograd_task,
    "transform": convolution.transform_task,
    "multiply": convolution.multiply_task,
    "transform_back": convolution.transform_back_task,
    "finish": feature_map.finish_task,
    "maxpool": feature_map.maxpool_task,
    "avgpool": feature_map.avgpool_task,
    "normalise": feature_map.normalise_task,
    "adaptive_average": feature_map.adaptive_average_task,
    "adaptive_maximum": feature_map.adaptive_maximum_task,
    "dense": dense_layer.dense_task,
    "leave": feature_map.leave_task,
}


def chosen_from(tasks):
    """[(number of a kind, function), …] in rising order → a compiled function that does a task of whichever the step is.

    if … else … by halves: Numba names what it writes into a caller after all callers, and LLVM cuts long names.
    """
    if len(tasks) == 1:
        return tasks[0][1]
    middle = len(tasks) // 2
    border, below, above = tasks[middle][0], chosen_from(tasks[:middle]), chosen_from(tasks[middle:])

    @inlined
    def do_task(step, task, scratch):
        if step.kind < border:
            below(step, task, scratch)
        else:
            above(step, task, scratch)
    return do_task


def walking(tasks):
    """{kind: function} → the function that walks through programs of such steps."""
    do_task = chosen_from(sorted((NUMBER[kind], task) for kind, task in tasks.items()))

    @part
    def walk(program, steps, counters, thread):
        """Every step of the program, as one of the threads.

        `program` is the address of so many STEPs, `counters` that of what the threads count in (meeting.py); `thread` tells
        whose scratch to use.
        """
        rows = carray(steps_at(program), (steps,), STEP)
        for number in range(steps):
            step = rows[number]
            scratch = at(step.scratch, thread * step.scratch_size)
            did = 0
            task = meeting.next_task(counters, number)
            while task < step.tasks:
                do_task(step, task, scratch)
                did += 1
                task = meeting.next_task(counters, number)
            meeting.meet(counters, number, did, step.tasks)

    return walk


walk = walking({kind: TASKS[kind] for kind in KINDS})
