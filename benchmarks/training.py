"""A training step of npvgg beside PyTorch's, in both of its memory formats: time, memory and error.

    python -m benchmarks.training [CASE …] [--runs 7] [--threads 2] [--output FILE]

    half       VGG-16 with batch norm at width ½, 32×32, 128 pictures
    bundled    VGG-13 with batch norm at width 29/64, 64×64, 64 pictures
    full       VGG-16, 224×224, 8 pictures

A step is forward, loss (soft-max cross-entropy), backwards and the update (SGD with momentum, Nesterov, weight decay).  Each
contestant has a process of its own; they take turns, one step each a round, and wait while others work.

    ms         median over the rounds
    ratio      median over the rounds of npvgg's time over that of PyTorch's faster format in the same round
    peak       the largest resident memory of the process
    error      of one step's gradients: the median over the parameters of ‖gradient − that in float64‖ / ‖that in float64‖
"""
import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np

from benchmarks import command, result_file
from npvgg import network, text_table
from npvgg.differentiation import Backward
from npvgg.errors import UnsupportedError, UsageError
from npvgg.kernels.compiling import threads
from npvgg.storage import atomic_file
from npvgg.training.learner import Learner
from npvgg.training.losses import cross_entropy
from npvgg.training.optimisers import SGD

PROGRAM = "benchmarks.training"
HEADINGS = ("case", "runtime", "ms", "ratio", "peak MiB", "error")
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 5e-4
QUIET_S = 0.3                           # until the threads of a step are asleep


@dataclass(frozen=True)
class Case:
    """A network and a batch."""

    model: str
    width: float
    head: str
    size: int
    images: int

    def network(self, count):
        """The network, with fresh parameters."""
        return network.create(self.model, width=self.width, input_size=self.size, head=self.head, seed=0, threads=count)

    def batch(self):
        """Pictures and classes."""
        rng = np.random.Generator(np.random.PCG64(1))
        x = rng.standard_normal((self.images, 3, self.size, self.size), np.float32)
        return x, rng.integers(0, int(self.head.split()[-1]), self.images)


CASES = {
    "half": Case("vgg16_bn", 0.5, "avg1 flatten 10", 32, 128),
    "bundled": Case("vgg13_bn", 29 / 64, "avg1 flatten 200", 64, 64),
    "full": Case("vgg16", 1.0, "avg7 flatten 4096 relu 4096 relu 1000", 224, 8),
}


def main(arguments=None):
    return command.main(PROGRAM, parser(), run, arguments)


def parser():
    options = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    options.add_argument("case", nargs="*", metavar="CASE", help=f"any of {', '.join(CASES)} (default all)")
    options.add_argument("--runs", type=int, default=7, metavar="N", help="counted rounds (default 7)")
    options.add_argument("--threads", type=int, metavar="N", help="threads (default all)")
    options.add_argument("--output", metavar="FILE", help="write the results as JSON")
    options.add_argument("--force", action="store_true", help="replace FILE if it exists")
    return options


def run(options, typed):
    if options.runs < 1:
        raise UsageError(f"--runs is {options.runs}; give a whole number of at least 1")
    unknown = set(options.case) - CASES.keys()
    if unknown:
        raise UsageError(f"there is no case {min(unknown)!r}; choose among {', '.join(CASES)}")
    if options.output:
        atomic_file.destination(options.output, options.force)
    count, rows = threads.number_of(options.threads), []
    for name in options.case or CASES:
        rows += [{"case": name} | row for row in measured(CASES[name], count, options.runs)]
    print("\n".join(text_table.render(HEADINGS, [cells(row) for row in rows], left=(0, 1), width=text_table.terminal_width())))
    if options.output:
        result_file.write(options.output, "training", rows, command=typed, force=options.force)


def cells(row):
    """A row → the texts under HEADINGS."""
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return row["case"], row["runtime"], f"{row['ms']:.0f}", ratio, f"{row['peak_mib']:.0f}", f"{row['error']:.1e}"


# ------------------------------------------------------------------------------------------------- turns


def measured(case, count, runs):
    """Rows of one Case."""
    errors = {}
    for runtime in CONTESTANTS:                         # in processes of their own, for float64 takes memory
        process, here = started(case, runtime, count)
        here.send("error")
        errors[runtime] = answer(runtime, here)
        process.join()
    processes, rounds = {runtime: started(case, runtime, count) for runtime in CONTESTANTS}, []
    for number in range(runs + 1):                      # the first fills caches
        order = list(processes)
        times = {}
        for runtime in order[number % 3:] + order[:number % 3]:
            time.sleep(QUIET_S)
            here = processes[runtime][1]
            here.send("step")
            times[runtime] = answer(runtime, here)
        rounds.append(times)
    rounds, peaks = rounds[1:], {}
    for runtime, (process, here) in processes.items():
        here.send("end")
        peaks[runtime] = answer(runtime, here)
        process.join()
    others = [runtime for runtime in CONTESTANTS if runtime != "npvgg"]
    ratio = statistics.median(times["npvgg"] / min(times[other] for other in others) for times in rounds)
    return [{"runtime": runtime, "threads": count, "ms": statistics.median(times[runtime] for times in rounds),
             "runs_ms": [times[runtime] for times in rounds], "ratio": ratio if runtime == "npvgg" else None,
             "peak_mib": peaks[runtime], "error": errors[runtime]} for runtime in CONTESTANTS]


def started(case, runtime, count):
    """A contestant's process, and our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=contestant, args=(there, case, runtime, count), daemon=True)
    process.start()
    there.close()                                       # so that the end of the process ends its pipe
    return process, here


def answer(runtime, pipe):
    """What a contestant sends; UnsupportedError where it has ended, after words of its own."""
    try:
        return pipe.recv()
    except EOFError:
        raise UnsupportedError(f"the process of {runtime} ended before it was done; its own message stands above") from None


def contestant(pipe, case, runtime, count):
    """The other end: answers "error", or each "step" with milliseconds and "end" with mebibytes."""
    make, gradients = CONTESTANTS[runtime]
    asked = pipe.recv()
    if asked == "error":
        pipe.send(error_of(gradients(case, count), case))
        return
    step = make(case, count)
    while asked == "step":
        start = time.perf_counter()
        step()
        pipe.send((time.perf_counter() - start) * 1e3)
        asked = pipe.recv()
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


# ------------------------------------------------------------------------------------------------- who takes part


def step_of_npvgg(case, count):
    """A function that takes a step."""
    vgg, (x, classes) = case.network(count), case.batch()
    learner = Learner(vgg, SGD(momentum=MOMENTUM, nesterov=True, decay=DECAY), threads=count)
    return lambda: learner.step(x, lambda logits: cross_entropy(logits, classes), RATE)


def gradients_of_npvgg(case, count):
    """{path: gradient} of one step."""
    vgg, (x, classes) = case.network(count), case.batch()
    backward = Backward(vgg.architecture, threads=count)
    return backward(vgg.parameters, x, lambda logits: cross_entropy(logits, classes)).gradients


def step_of_pytorch(case, count, memory_format):
    """A function that takes a step, in one of PyTorch's formats."""
    import torch

    torch.set_num_threads(count)
    vgg, (x, classes) = case.network(count), case.batch()
    net = module_of(vgg, torch.float32, memory_format)
    x, classes = torch.tensor(x).contiguous(memory_format=getattr(torch, memory_format)), torch.tensor(classes)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)

    def step():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), classes).backward()
        optimiser.step()

    return step


def module_of(vgg, dtype, memory_format):
    """The network as a torch.nn.Sequential in training mode, its parameters in the order of npvgg's."""
    import torch
    from torch import nn

    def made(layer):
        weight, options = dict(layer.shapes).get("weight"), dict(layer.options)
        return {
            "conv2d": lambda: nn.Conv2d(weight[1], weight[0], 3, padding=1), "relu": lambda: nn.ReLU(inplace=True),
            "batchnorm2d": lambda: nn.BatchNorm2d(weight[0], eps=options["eps"]), "maxpool2d": lambda: nn.MaxPool2d(2),
            "adaptive_avgpool2d": lambda: nn.AdaptiveAvgPool2d(options["size"]), "flatten": nn.Flatten,
            "dense": lambda: nn.Linear(weight[1], weight[0]),
        }[layer.op]()

    net = nn.Sequential(*map(made, vgg.architecture.layers)).to(dtype=dtype, memory_format=getattr(torch, memory_format))
    with torch.no_grad():
        for parameter, path in zip(net.parameters(), learned(vgg), strict=True):
            parameter.copy_(torch.tensor(np.array(vgg.parameters[path])))
    return net


def learned(vgg):
    """The paths of weights and biases, in order."""
    return [path for path in vgg.parameters if path.endswith(("/weight", "/bias"))]


def gradients_of_pytorch(case, count, memory_format="contiguous_format", dtype="float32"):
    """{path: gradient} of one step."""
    import torch

    torch.set_num_threads(count)
    dtype = getattr(torch, dtype)
    vgg, (x, classes) = case.network(1), case.batch()
    net = module_of(vgg, dtype, memory_format)
    x = torch.tensor(x, dtype=dtype).contiguous(memory_format=getattr(torch, memory_format))
    torch.nn.functional.cross_entropy(net(x), torch.tensor(classes)).backward()
    return {path: parameter.grad.numpy() for path, parameter in zip(learned(vgg), net.parameters(), strict=True)}


def error_of(gradients, case):
    """The median over the parameters of the relative error; those without a gradient but noise are left out."""
    exact, errors = gradients_of_pytorch(case, threads.number_of(None), dtype="float64"), []
    largest = max(np.linalg.norm(gradient) for gradient in exact.values())
    for path, gradient in exact.items():
        size = np.linalg.norm(gradient)
        if size > 1e-12 * largest:
            errors.append(float(np.linalg.norm(gradients[path] - gradient) / size))
    return statistics.median(errors)


CONTESTANTS = {                         # how a step is made, and the gradients of one
    "npvgg": (step_of_npvgg, gradients_of_npvgg),
    "PyTorch": (lambda case, count: step_of_pytorch(case, count, "contiguous_format"), gradients_of_pytorch),
    "PyTorch, channels last": (lambda case, count: step_of_pytorch(case, count, "channels_last"),
                               lambda case, count: gradients_of_pytorch(case, count, "channels_last")),
}


if __name__ == "__main__":
    sys.exit(main())
