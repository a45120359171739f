"""Layers → the two programs that compute gradients.

    chain = groups(layers)
    forward, backward = build(chain, Task(x_shape, wanted=frozenset(["conv1_1/weight", …])), threads)

A network is a chain of groups, each of which the two programs do as one piece:

    conv2d [relu] [maxpool2d]      batchnorm2d [relu] [maxpool2d]      relu [maxpool2d]      maxpool2d      batchnorm1d [relu]
    adaptive_avgpool2d             flatten                             dense [relu]          dropout

Between them lies what the way back needs: what each group answered, and before pooling.  A ReLU's mask is read off its answer.
A layer whose own gradient is asked for or given ends its group.
"""
import math
from dataclasses import dataclass

from npvgg.kernels.engine.building import WINDOW
from npvgg.kernels.engine.program import TRAINING, Program
from npvgg.kernels.engine.steps import PICTURE_CHANNELS
from npvgg.kernels.engine.training.builder import TrainingBuilder
from npvgg.kernels.engine.training.group_steps import add_activation, add_convolution, add_norm
from npvgg.kernels.engine.training.head_steps import add_adaptive_average, add_dense, add_dropout, add_flatten

GROUPS = {                      # the first layer of a group: those that may follow it, in this order
    "conv2d": ("relu", "maxpool2d"), "batchnorm2d": ("relu", "maxpool2d"), "batchnorm1d": ("relu",), "relu": ("maxpool2d",),
    "maxpool2d": (), "dense": ("relu",), "adaptive_avgpool2d": (), "flatten": (), "dropout": (),
}
NORMS = ("batchnorm2d", "batchnorm1d")
INPUT = "input"                 # the pictures' own gradient


@dataclass(frozen=True)
class Task:
    """What is asked for, beside the layers; hashable, for programs are kept by it.

    `wanted` are paths of parameters, names of layers and INPUT; `given` the layers whose gradients the caller gives, the last
    one always; `fixed`: batch norm takes the statistics that it is given, not the batch's.
    """

    x_shape: tuple
    wanted: frozenset
    given: frozenset
    fixed: bool = False


def groups(layers, ends=frozenset()):
    """Layers → [{operation: layer}, …] in order; the layers called `ends` end their group."""
    chain = []
    for layer in layers:
        op, *others = chain[-1] if chain else [None]
        allowed = GROUPS.get(op, ())
        is_open = chain and list(chain[-1].values())[-1].name not in ends
        if is_open and layer.op in allowed[allowed.index(others[-1]) + 1 if others else 0:]:
            chain[-1][layer.op] = layer
        else:
            chain.append({layer.op: layer})
    return chain


def refused(layers) -> str | None:
    """The name of the first layer whose gradients the engine cannot compute, None where it can all.

    It can those of 3×3 convolutions with padding 1, the first on a picture, of 2×2 windows side by side, and of a head of
    features.
    """
    is_flat = False
    for number, layer in enumerate(layers):
        if layer.op not in GROUPS or number == 0 and layer.op != "conv2d" or layer.op == "dropout" and not is_flat:
            return layer.name
        if layer.op == "conv2d":
            _, channels, *kernel = dict(layer.shapes)["weight"]
            if kernel != [3, 3] or dict(layer.options) != {"padding": 1} or number == 0 and channels > PICTURE_CHANNELS:
                return layer.name
        if layer.op == "maxpool2d" and dict(layer.options) != WINDOW:
            return layer.name
        is_flat |= layer.op == "flatten"
    return None


def build(chain, task, threads):
    """What `groups` gave → the Programs forward and backward, over one arena.

    Arrays of both: each parameter, and for a dropout called drop "drop", factors (N, features).  Of forward: "x", "output",
    that of the last layer, and unless `fixed` for a batch norm called bn "bn/batch mean" and "bn/batch variance".  Of backward:
    "gradient of fc8" for each layer that is given, and "∂conv1_1/weight", "∂conv5_3", "∂input" for what is wanted.
    """
    parameters = frozenset(path for path in task.wanted if "/" in path)
    builder = TrainingBuilder(None, task.x_shape[0], threads, "winograd", wanted=parameters, fixed=task.fixed,
                              idle=frozenset(idle(chain, task)))
    x, back = builder.picture(task.x_shape), []
    for group in chain:
        x, undo = ADD[next(iter(group))](builder, x, group)
        back.append(undo)
    builder.leave(x, y=("output", 0), y_image=math.prod(x.shape), y_end=0)
    forward, builder.rows = builder.rows, []
    first, g = first_group(chain, task.wanted), None
    for number in range(len(chain) - 1, max(first, 0) - 1, -1):
        name = list(chain[number].values())[-1].name
        if g is None:
            g = builder.like(x)
            builder.enter("enter", f"gradient of {name}", g)
        elif name in task.given:
            builder.enter("join", f"gradient of {name}", g)
        if name in task.wanted:
            builder.leave(g, y=(f"∂{name}", 0), y_image=math.prod(g.shape), y_end=0)
        g = back[number](g, number > first)
    if INPUT in task.wanted:
        builder.leave(g, y=(f"∂{INPUT}", 0), y_image=math.prod(g.shape), y_end=0)
    return [Program(rows, builder.regions, builder.scratch, threads, weights=builder.weights, module=TRAINING)
            for rows in (forward, builder.rows)]


def first_group(chain, wanted):
    """The number of the first group that the way back goes through; −1 where it goes on to the pictures."""
    if INPUT in wanted:
        return -1
    names = {path.partition("/")[0] for path in wanted}
    return next(number for number, group in enumerate(chain) if names & {layer.name for layer in group.values()})


def idle(chain, task):
    """The convolutions whose bias has no gradient: a batch norm with the batch's statistics is all that follows it."""
    for group, following in zip(chain, chain[1:]):
        layer = group.get("conv2d")
        if layer and len(group) == 1 and next(iter(following)) in NORMS and not task.fixed and layer.name not in task.given:
            yield layer.name


ADD = {"conv2d": add_convolution, "batchnorm2d": add_norm, "batchnorm1d": add_norm, "relu": add_activation,
       "maxpool2d": add_activation, "adaptive_avgpool2d": add_adaptive_average, "flatten": add_flatten, "dense": add_dense,
       "dropout": add_dropout}
