"""What a thread does with a program."""
from npvgg.kernels.engine import convolution, dense, feature_map, step, team
from npvgg.kernels.flags import serial


@serial
def walk(program, counters, arena, floats, picture, thread):
    """Every step of the program, as one of the threads.

    `program` is an array of STEP, `counters` an address (team.py), `arena` that of the float32 array `floats`; `picture` is
    (N, 3, H, W); `thread` tells whose scratch to use.
    """
    for number in range(len(program)):
        current = program[number]
        scratch = arena + 4 * (current.scratch + thread * current.scratch_size)
        did = 0
        task = team.next_task(counters, number)
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
                dense.dense_task(current, arena, task, scratch)
            elif operation == step.RELU:
                feature_map.relu_task(current, floats, task)
            elif operation == step.PAD_INPUT:
                feature_map.pad_task(current, floats, picture, task)
            did += 1
            task = team.next_task(counters, number)
        team.meet(counters, number, did, current.tasks)
