"""Keras applications: channels last, the activation part of the layer, BGR pictures, and probabilities at the end.

    block1_conv1/kernel (3, 3, 3, 64), …, fc1/kernel (25088, 4096), predictions/bias (1000,)

fc1 takes the map flattened as (i, j, c).  Hidden dense layers are fc1, fc2, …, and the one that gives the classes is
`predictions`.  Some of Keras 3's files name layers by their class: conv2d, conv2d_1, …  Of a whole model, whose configuration
says which layer is which, `formats.keras` gives the layers the paper's names and its arrays our layout:

    conv1_1:weight (64, 3, 3, 3), bn1_1:mean (64,), …, fc8:bias (1000,)

Source: keras/src/applications/vgg16.py, imagenet_utils.py (mode "caffe").
"""
from npvgg.architecture import BLOCKS, CONFIGURATIONS
from npvgg.errors import BadFileError
from weights_convert import arrangement
from weights_convert.schemes import heads, npvgg
from weights_convert.schemes.naming import Scheme, dense_layers

FIELDS = {"weight": "/kernel", "bias": "/bias"}
CLASSIFIER = "predictions"


def modules(net):
    """The last dense layer is `predictions` where nothing comes behind it."""
    dense = [layer.name for layer in net.layers if layer.op == "dense"]
    names = {layer.name: "block{}_conv{}".format(*layer.name.removeprefix("conv").split("_"))
             for layer in net.layers if layer.op == "conv2d"}
    names |= {name: f"fc{int(name.removeprefix('fc')) - BLOCKS}" for name in dense}
    behind = heads.without_dropout(net)
    return names | ({dense[-1]: CLASSIFIER} if behind and behind[-1][0] == "dense" else {})


def modules_by_class(net):
    """The first of a class has no number, the second has 1."""
    names, counts = {}, {"conv2d": 0, "dense": 0}
    for layer in net.layers:
        if layer.op in counts:
            names[layer.name] = f"{layer.op}_{counts[layer.op]}" if counts[layer.op] else layer.op
            counts[layer.op] += 1
    return names


def arrange(net, layer, kind, shape):
    """Where the numbers of our parameter of that shape lie in Keras' array: (kh, kw, C, O), or (inputs, outputs)."""
    if kind == "bias":
        return arrangement.same(shape)
    if len(shape) == 4:
        return arrangement.channels_last(shape)
    return arrangement.transposed(shape, net.pooled_size if layer == f"fc{BLOCKS + 1}" else 1)


def head(tensors):
    """The head that the shapes of fc1, fc2, … and predictions show; BadFileError for a gap in the numbers."""
    hidden, classifier = (dense_layers(tensors, pattern, True) for pattern in (r"fc(\d{1,2})/kernel", f"{CLASSIFIER}/kernel"))
    names = [f"fc{number}/kernel" for number in range(1, len(hidden) + 1)]
    if any(name not in tensors for name in names):
        raise BadFileError(f"its hidden dense layers are {len(hidden)} and not called fc1 to fc{len(hidden)}; give the whole "
                           "network, or its convolutions alone")
    parts = [heads.part(key, size) for key, size in zip([*names, f"{CLASSIFIER}/kernel"], hidden + classifier)]
    return heads.in_turn(parts, is_classifier=bool(classifier))


def head_by_class(tensors):
    """The head that dense, dense_1, … show, which Keras names by their class."""
    sizes = dense_layers(tensors, DENSE_BY_CLASS, True)
    return heads.in_turn([heads.part(f"dense_{number}/kernel".replace("_0", ""), size) for number, size in enumerate(sizes)])


OPTIONS = {"fields": FIELDS, "arrange": arrange, "preset": "caffe", "source_output": "probabilities", "is_channels_last": True,
           "networks": tuple(name for name in CONFIGURATIONS if name != "a_lrn"), "lacks": heads.lacks_in_turn}
CONVOLUTIONS = r"block([1-5])_conv(\d)/kernel"
KERAS = Scheme("keras", CONVOLUTIONS, CONVOLUTIONS, head, modules, **OPTIONS)
BY_CLASS, DENSE_BY_CLASS = r"conv2d(?:_(\d{1,3}))?/kernel", r"dense(?:_(\d{1,3}))?/kernel"
MODEL = r"conv(\d{1,3})_(\d{1,3}):weight"
KERAS_MODEL = Scheme("keras-model", MODEL, MODEL, lambda tensors: None, npvgg.modules, preset="caffe",
                     fields={kind: f":{kind}" for kind in ("weight", "bias", "mean", "var")})
KERAS_BY_CLASS = Scheme("keras-by-class", BY_CLASS, BY_CLASS, head_by_class, modules_by_class, **OPTIONS)
