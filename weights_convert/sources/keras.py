"""Keras applications: channels last, the activation part of the layer, BGR pictures, and probabilities at the end.

    block1_conv1/kernel (3, 3, 3, 64), …, fc1/kernel (25088, 4096), predictions/bias (1000,)

fc1 takes the map flattened as (i, j, c).  Some of Keras 3's files name layers by their class: conv2d, conv2d_1, …
Source: keras/src/applications/vgg16.py, imagenet_utils.py (mode "caffe").
"""
from npvgg.architecture import BLOCKS, CONFIGURATIONS
from weights_convert import arrangement
from weights_convert.sources.naming import Source

HEAD = {f"fc{BLOCKS + 1}": "fc1", f"fc{BLOCKS + 2}": "fc2", f"fc{BLOCKS + 3}": "predictions"}
FIELDS = {"weight": "/kernel", "bias": "/bias"}


def modules(net):
    convolutions = {layer.name: "block{}_conv{}".format(*layer.name.removeprefix("conv").split("_"))
                    for layer in net.layers if layer.op == "conv2d"}
    return convolutions | HEAD


def modules_by_class(net):
    """The first of a class has no number, the second has 1."""
    names, counts = {}, {"conv2d": 0, "dense": 0}
    for layer in net.layers:
        if layer.op in counts:
            names[layer.name] = f"{layer.op}_{counts[layer.op]}" if counts[layer.op] else layer.op
            counts[layer.op] += 1
    return names


def arrange(net, layer, kind, shape):
    if kind == "bias":
        return arrangement.same(shape)
    if len(shape) == 4:
        return arrangement.channels_last(shape)
    return arrangement.transposed(shape, net.pooled_size if layer == f"fc{BLOCKS + 1}" else 1)


OPTIONS = {"fields": FIELDS, "arrange": arrange, "preset": "caffe", "output": "probabilities", "is_channels_last": True,
           "networks": tuple(name for name in CONFIGURATIONS if name != "a_lrn")}
CONVOLUTIONS = r"block([1-5])_conv(\d)/kernel"
KERAS = Source("keras", CONVOLUTIONS, CONVOLUTIONS, (r"fc1/kernel", r"fc2/kernel", r"predictions/kernel"), modules, **OPTIONS)
BY_CLASS = r"conv2d(?:_(\d{1,3}))?/kernel"
KERAS_BY_CLASS = Source("keras-by-class", BY_CLASS, BY_CLASS, (r"dense(?:_(\d{1,3}))?/kernel",), modules_by_class, **OPTIONS)
