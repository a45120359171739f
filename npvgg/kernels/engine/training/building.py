"""Layers → the two programs of a training step.

    chain = groups(layers)
    forward, backward = build(chain, x_shape, threads, first=0)

A network is a chain of groups, each of which the two programs do as one piece:

    conv2d [batchnorm2d] relu [maxpool2d]        adaptive_avgpool2d        flatten        dense [relu]        dropout

Between them lies what the way back needs: of a group of convolution its sums y (without batch norm, after ReLU), and what it
answered.  A ReLU's mask is read off its answer.
"""
import math

from npvgg.kernels.engine.building import WINDOW
from npvgg.kernels.engine.layout import as_output
from npvgg.kernels.engine.program import TRAINING, Program
from npvgg.kernels.engine.steps import PICTURE_CHANNELS
from npvgg.kernels.engine.training.builder import TrainingBuilder
from npvgg.kernels.engine.training.group_steps import add_convolution
from npvgg.kernels.engine.training.head_steps import add_adaptive_average, add_dense, add_dropout, add_flatten

GROUPS = {                      # the first layer of a group: those that may follow it, in this order
    "conv2d": ("batchnorm2d", "relu", "maxpool2d"), "dense": ("relu",), "adaptive_avgpool2d": (), "flatten": (), "dropout": (),
}


def groups(layers):
    """Layers → [{operation: layer}, …] in order."""
    chain = []
    for layer in layers:
        op, *others = chain[-1] if chain else [None]
        allowed = GROUPS.get(op, ())
        if layer.op in allowed[allowed.index(others[-1]) + 1 if others else 0:]:
            chain[-1][layer.op] = layer
        else:
            chain.append({layer.op: layer})
    return chain


def refused(layers) -> str | None:
    """The name of the first layer that the engine cannot train, None where it can train all.

    It trains 3×3 convolutions with padding 1 and a ReLU behind them, the first on a picture, 2×2 windows side by side, and a
    head of features.
    """
    chain = groups(layers)
    for number, group in enumerate(chain):
        op, layer = next(iter(group.items()))
        if op not in GROUPS or number == 0 and op != "conv2d":
            return layer.name
        if op == "conv2d":
            _, channels, *kernel = dict(layer.shapes)["weight"]
            if kernel != [3, 3] or dict(layer.options) != {"padding": 1} or number == 0 and channels > PICTURE_CHANNELS:
                return layer.name
            if "relu" not in group:
                return layer.name
            if "maxpool2d" in group and dict(group["maxpool2d"].options) != WINDOW:
                return group["maxpool2d"].name
        if op == "dropout" and not any("flatten" in before for before in chain[:number]):
            return layer.name
    return None if any("dense" in group for group in chain) else layers[-1].name


def build(chain, x_shape, threads, first):
    """What `groups` gave, on x (N, C, H, W) → the Programs forward and backward, over one arena.

    Arrays of forward: "x", each parameter, "logits", and for a batch norm called bn "bn/batch mean" and "bn/batch variance";
    for a dropout called drop "drop" holds factors (N, features).  Arrays of backward: the parameters, the factors, "gradient"
    with regard to the logits, and "∂conv1_1/weight" … for the gradient of each parameter of the groups from number `first` on.
    """
    builder = TrainingBuilder(None, x_shape[0], threads, "winograd")
    x, back = builder.picture(x_shape), []
    for group in chain:
        x, undo = ADD[next(iter(group))](builder, x, group)
        back.append(undo)
    builder.leave(x, y=("logits", 0), y_image=math.prod(x.shape), y_end=0)
    forward, builder.rows = builder.rows, []
    g = builder.like(x)
    builder.step("enter", builder.images * g.blocks, x=("gradient", 0), x_image=x.channels, x_plane=1, x_row=1, height=1,
                 width=1, **as_output(g), channels=x.channels, chunk=1)
    for number in range(len(back) - 1, first - 1, -1):
        g = back[number](g, number > first)
    return [Program(rows, builder.regions, builder.scratch, threads, weights=builder.weights, module=TRAINING)
            for rows in (forward, builder.rows)]


ADD = {"conv2d": add_convolution, "adaptive_avgpool2d": add_adaptive_average, "flatten": add_flatten, "dense": add_dense,
       "dropout": add_dropout}
