"""What a thread does with a program."""
from numba import carray

from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine import meeting, step
from npvgg.kernels.engine.float32 import convolution, dense_layer, feature_map
from npvgg.kernels.engine.memory import NO_END, floats_at, steps_at
from npvgg.kernels.engine.step import STEP


@part
def walk(program, steps, counters, arena, picture, thread):
    """Every step of the program, as one of the threads.

    `program` is the address of so many STEPs, `counters` that of what the threads count in (meeting.py), `arena` that of the
    memory they work in, `picture` that of (N, 3, H, W) float32; `thread` tells whose scratch to use.
    """
    rows, floats, pictures = carray(steps_at(program), (steps,), STEP), carray(floats_at(arena), NO_END), \
        carray(floats_at(picture), NO_END)
    for number in range(steps):
        current = rows[number]
        scratch = arena + 4 * (current.scratch + thread * current.scratch_size)
        did = 0
        task = meeting.next_task(counters, number)
        while task < current.tasks:
            operation = current.operation
            if operation == step.WINOGRAD:
                convolution.winograd_task(current, arena, task, scratch)
            elif operation == step.TRANSFORM:
                convolution.transform_task(current, arena, task)
            elif operation == step.MULTIPLY:
                convolution.multiply_task(current, arena, task)
            elif operation == step.TRANSFORM_BACK:
                convolution.transform_back_task(current, arena, task, scratch)
            elif operation == step.DIRECT:
                convolution.direct_task(current, arena, task, scratch)
            elif operation == step.FIRST_CONVOLUTION:
                convolution.first_convolution_task(current, arena, task, scratch)
            elif operation == step.MAXPOOL:
                feature_map.maxpool_task(current, arena, task)
            elif operation == step.NORMALISE:
                feature_map.normalise_task(current, arena, task)
            elif operation == step.AVERAGE:
                feature_map.average_task(current, floats, task)
            elif operation == step.DENSE:
                dense_layer.dense_task(current, arena, task, scratch)
            elif operation == step.RELU:
                feature_map.relu_task(current, floats, task)
            elif operation == step.PAD_INPUT:
                feature_map.pad_task(current, floats, pictures, task)
            did += 1
            task = meeting.next_task(counters, number)
        meeting.meet(counters, number, did, current.tasks)
