"""Networks with mistakes, in plain NumPy and float32: the maker that the detectors are tested on shares no code with them.

`run` computes a VGG layer by layer; `changes` has the layers that are computed otherwise, functions of (input, parameters).
"""
import numpy as np


def conv(x, w, b=None, pad=1, mode="constant", step=1, gap=1):
    """Correlation, one filter entry at a time."""
    sides = pad if isinstance(pad, tuple) else (pad, pad)
    x = np.pad(x, ((0, 0), (0, 0), sides, sides), mode)
    kh, kw = w.shape[2:]
    height, width = ((x.shape[2 + axis] - (side - 1) * gap - 1) // step + 1 for axis, side in enumerate((kh, kw)))
    y = np.zeros((len(x), len(w), height, width), np.float32)
    for u in range(kh):
        for v in range(kw):
            part = x[:, :, u * gap:u * gap + (height - 1) * step + 1:step, v * gap:v * gap + (width - 1) * step + 1:step]
            y += np.einsum("oc,nchw->nohw", w[:, :, u, v], part, optimize=True)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def norm(x, gamma, beta, mean, var, eps=1e-5):
    """Batch norm as a framework computes it: scale and shift first."""
    each = (1, -1) + (1,) * (x.ndim - 2)
    scale = (gamma / np.sqrt(var + np.float32(eps))).astype(np.float32)
    return x * scale.reshape(each) + (beta - mean * scale).reshape(each)


def pool(x, size=2, step=2, join=np.max, pad=0, ceil=False, fill=-np.inf):
    """Pooling of windows."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    count = [(-((size - side) // step) if ceil else (side - size) // step) + 1 for side in x.shape[2:]]
    y = np.empty((*x.shape[:2], *count), np.float32)
    for i, j in np.ndindex(*count):
        y[:, :, i, j] = join(x[:, :, i * step:i * step + size, j * step:j * step + size], axis=(2, 3))
    return y


def adaptive(x, size, join=np.mean):
    """Adaptive pooling."""
    h, w = x.shape[2:]
    y = np.empty((*x.shape[:2], size, size), np.float32)
    for i, j in np.ndindex(size, size):
        y[:, :, i, j] = join(x[:, :, i * h // size:-(-(i + 1) * h // size), j * w // size:-(-(j + 1) * w // size)], axis=(2, 3))
    return y


def relu(x):
    return np.maximum(x, np.float32(0))


def right(layer, x, p):
    """One layer as it should be."""
    o = dict(layer.options)
    return {
        "conv2d": lambda: conv(x, p["weight"], p.get("bias"), o.get("padding")),
        "batchnorm2d": lambda: norm(x, p["weight"], p["bias"], p["mean"], p["var"], o.get("eps")),
        "batchnorm1d": lambda: norm(x, p["weight"], p["bias"], p["mean"], p["var"], o.get("eps")),
        "relu": lambda: relu(x), "maxpool2d": lambda: pool(x), "avgpool2d": lambda: pool(x, join=np.mean),
        "adaptive_avgpool2d": lambda: adaptive(x, o["size"]), "adaptive_maxpool2d": lambda: adaptive(x, o["size"], np.max),
        "flatten": lambda: x.reshape(len(x), -1), "dense": lambda: x @ p["weight"].T + p["bias"], "dropout": lambda: x,
    }[layer.op]()


def run(vgg, x, changes=()):
    """{layer: array} of a VGG with `changes` = {layer name: function(input, parameters) → output}."""
    arrays, changes = {"input": x}, dict(changes)
    for layer in vgg.architecture.layers:
        own = {kind: np.array(vgg.parameters[f"{layer.name}/{kind}"]) for kind, _ in layer.shapes}
        x = changes[layer.name](x, own) if layer.name in changes else right(layer, x, own)
        arrays[layer.name] = x = np.ascontiguousarray(x, np.float32)
    return arrays


def half(values):
    return values.astype(np.float16).astype(np.float32)


def brain(values):
    """bfloat16, by its bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def tensor_float(values):
    """TF32, by its bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


def eight_bits(w, each):
    """int8 with one step for all or for each output."""
    flat = np.abs(w).reshape(len(w), -1).max(axis=1) if each else np.full(len(w), np.abs(w).max())
    step = (flat / 127).reshape(-1, *(1,) * (w.ndim - 1)).astype(np.float32)
    return np.clip(np.rint(w / step), -128, 127).astype(np.float32) * step


def weights(change):
    """A convolution with other weights."""
    return lambda x, p: conv(x, np.ascontiguousarray(change(p["weight"])), p.get("bias"))


def padded(mode):
    return lambda x, p: conv(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode), p["weight"], p.get("bias"), 0)


def groups(x, p, n=2):
    each, outs = x.shape[1] // n, len(p["weight"]) // n
    return np.concatenate([conv(x[:, g * each:(g + 1) * each], p["weight"][g * outs:(g + 1) * outs, :each],
                                p["bias"][g * outs:(g + 1) * outs]) for g in range(n)], axis=1)


def damaged(w, at=(1, 2, 0, 1), value=0.9):
    w = w.copy()
    w[at] = value
    return w


def noisy(w):
    return w + 0.1 * w.std() * np.random.default_rng(1).standard_normal(w.shape, np.float32)


def normed(**others):
    """Batch norm with others of its parameters: each a function of all of them."""
    return lambda x, p: norm(x, *((others[kind](p) if kind in others else p[kind]) for kind in p), 1e-5)


def own_statistics(x, p, axes=(0, 2, 3)):
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    each = (1, -1, 1, 1)
    return (x - mean) / np.sqrt(var + 1e-5) * p["weight"].reshape(each) + p["bias"].reshape(each)


def dropped(x, p, rate=0.5):
    keep = np.random.default_rng(3).random(x.shape) >= rate
    return np.where(keep, x / np.float32(1 - rate), 0)


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def hwc(x):
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1)


ones, zeros = np.ones_like, np.zeros_like

# kind of layer → {what: (function, telling words of the sentence)}
CONV = {
    "no bias": (lambda x, p: conv(x, p["weight"]), "without its bias"),
    "bias twice": (lambda x, p: conv(x, p["weight"], p["bias"] * 2), "bias added twice"),
    "convolved": (weights(lambda w: w[:, :, ::-1, ::-1]), "turned by 180°"),
    "H and W": (weights(lambda w: w.swapaxes(2, 3)), "height and width of its filters"),
    "mirrored filters": (weights(lambda w: w[..., ::-1]), "mirrored left to right"),
    "upside-down filters": (weights(lambda w: w[:, :, ::-1]), "filters upside down"),
    "turned left": (weights(lambda w: np.rot90(w, 1, (2, 3))), "90° to the left"),
    "turned right": (weights(lambda w: np.rot90(w, 3, (2, 3))), "90° to the right"),
    "HWIO as OIHW": (weights(lambda w: w.transpose(2, 3, 1, 0).reshape(w.shape)), "(height, width, inputs, outputs)"),
    "OHWI as OIHW": (weights(lambda w: w.transpose(0, 2, 3, 1).reshape(w.shape)), "(outputs, height, width, inputs)"),
    "OIHW as HWIO": (weights(lambda w: w.reshape(3, 3, w.shape[1], w.shape[0]).transpose(3, 2, 0, 1)),
                     "(height, width, inputs, outputs)"),
    "BGR filters": (weights(lambda w: w[:, ::-1]), "BGR"),
    "reflect": (padded("reflect"), "reflected"),
    "replicate": (padded("edge"), "repeated"),
    "circular": (padded("wrap"), "circular"),
    "SAME": (lambda x, p: conv(x, p["weight"], p["bias"], (0, 2)), "below and to the right"),
    "valid": (lambda x, p: conv(x, p["weight"], p["bias"], 0), "valid"),
    "dilation": (lambda x, p: conv(x, p["weight"], p["bias"], 2, gap=2), "dilation of 2"),
    "stride": (lambda x, p: conv(x, p["weight"], p["bias"], 1, step=2), "stride of 2"),
    "float16 weights": (weights(half), "rounded to float16"),
    "bfloat16 weights": (weights(brain), "rounded to bfloat16"),
    "int8": (weights(lambda w: eight_bits(w, True)), "int8, a scale for each output"),
    "int8 in one": (weights(lambda w: eight_bits(w, False)), "int8, one scale"),
    "TF32": (lambda x, p: conv(tensor_float(x), tensor_float(p["weight"]), p["bias"]), "TF32"),
    "bfloat16": (lambda x, p: brain(conv(brain(x), brain(p["weight"]), brain(p["bias"]))), "in bfloat16 arithmetic"),
    "one number": (weights(damaged), "[1, 2, 0, 1] is 0.9 "),
    "older checkpoint": (weights(noisy), "other weights"),
    "one bias": (lambda x, p: conv(x, p["weight"], damaged(p["bias"], 2)), "another bias, in 1 of"),
    "weights halved": (weights(lambda w: w / 2), "times 0.5"),
    "zero weights": (weights(zeros), "weight of zeros"),
    "left out": (lambda x, p: np.repeat(x, len(p["weight"]) // x.shape[1], axis=1), None),
}
SQUARE = {                                                              # where there are as many inputs as outputs
    "in and out": (weights(lambda w: w.swapaxes(0, 1)), "inputs and outputs of its filters exchanged"),
    "groups": (groups, "2 groups"),
    "skipped": (lambda x, p: x, "left out"),
}
NORM = {
    "eps 2e-5": (lambda x, p: norm(x, p["weight"], p["bias"], p["mean"], p["var"], 2e-5), "ε = 2e-05"),
    "eps 1e-3": (lambda x, p: norm(x, p["weight"], p["bias"], p["mean"], p["var"], 1e-3), "ε = 0.001"),
    "eps 0.0123": (lambda x, p: norm(x, p["weight"], p["bias"], p["mean"], p["var"], 0.0123), "ε = 0.0123"),
    "gamma 1": (normed(weight=lambda p: ones(p["weight"])), "γ = 1"),
    "no beta": (normed(bias=lambda p: zeros(p["bias"])), "without β"),
    "gamma for beta": (normed(weight=lambda p: p["bias"], bias=lambda p: p["weight"]), "γ and β exchanged"),
    "mean for var": (normed(mean=lambda p: p["var"], var=lambda p: np.abs(p["mean"])), None),
    "variance for mean": (normed(mean=lambda p: p["var"], var=lambda p: p["mean"]), "mean and variance exchanged"),
    "std for var": (normed(var=lambda p: np.sqrt(p["var"])), "standard deviation in the place of the variance"),
    "var for std": (normed(var=lambda p: np.square(p["var"])), "read as a standard deviation"),
    "not loaded": (normed(mean=lambda p: zeros(p["mean"]), var=lambda p: ones(p["var"])), "never loaded"),
    "of the batch": (own_statistics, "batch's own statistics"),
    "of the picture": (lambda x, p: own_statistics(x, p, (2, 3)), "each picture's own"),
    "left out": (lambda x, p: x, "left out"),
    "twice": (lambda x, p: normed()(normed()(x, p), p), "applied twice"),
    "bfloat16 weights": (normed(weight=lambda p: brain(p["weight"])), "rounded to bfloat16"),
}
RELU = {
    "left out": (lambda x, p: x, "left out"),
    "leaky 0.01": (lambda x, p: np.where(x < 0, np.float32(0.01) * x, x), "slope of 0.01 "),
    "leaky 0.237": (lambda x, p: np.where(x < 0, np.float32(0.237) * x, x), "slope of 0.237"),
    "cut": (lambda x, p: np.minimum(relu(x), np.float32(0.75)), "cut off at 0.75"),
    "SiLU": (lambda x, p: x / (1 + np.exp(-x)), "SiLU"),
    "ELU": (lambda x, p: np.where(x < 0, np.expm1(x), x), "ELU"),
    "absolute": (lambda x, p: np.abs(x), "absolute"),
}
POOL = {
    "averages": (lambda x, p: pool(x, join=np.mean), "averages instead of maxima"),
    "3×3/2": (lambda x, p: pool(x, 3, 2), "3×3 windows, stride 2, padding 0"),
    "3×3/2 padded": (lambda x, p: pool(x, 3, 2, pad=1), "3×3 windows, stride 2, padding 1"),
    "stride 1": (lambda x, p: pool(x, 2, 1), "2×2 windows, stride 1"),
    "skipped": (lambda x, p: x, "left out"),
    "every second": (lambda x, p: x[:, :, ::2, ::2], "1×1 windows, stride 2"),
}
FLATTEN = {"channels last": (lambda x, p: hwc(x), "(H, W, C)"),
           "transposed": (lambda x, p: x.swapaxes(2, 3).reshape(len(x), -1), "(C, W, H)")}
DENSE = {
    "no bias": (lambda x, p: x @ p["weight"].T, "without its bias"),
    "bias twice": (lambda x, p: x @ p["weight"].T + 2 * p["bias"], "bias added twice"),
    "transposed": (lambda x, p: x @ p["weight"].reshape(p["weight"].shape[::-1]) + p["bias"], "(inputs, outputs)"),
    "float16 weights": (lambda x, p: x @ half(p["weight"]).T + p["bias"], "rounded to float16"),
    "int8": (lambda x, p: x @ eight_bits(p["weight"], False).T + p["bias"], "int8, one scale"),
}
def rows_moved(x, axes=(0, 2, 3, 1), maps=(32, 2, 2)):
    """Rows that are flattened maps, flattened in another order."""
    return x.reshape(len(x), *maps).transpose(axes).reshape(len(x), -1)


FIRST_DENSE = {
    "inputs channels last": (lambda x, p: rows_moved(x) @ p["weight"].T + p["bias"], "with inputs flattened as (H, W, C)"),
    "weights channels last": (lambda x, p: x @ rows_moved(p["weight"]).T + p["bias"],
                              "with weights for inputs flattened as (H, W, C)"),
    "no bias": DENSE["no bias"],
}
DROPOUT = {
    "active": (dropped, "active"),
    "active 0.2": (lambda x, p: dropped(x, p, 0.2), "multiplied by 1.25"),
    "rescaled": (lambda x, p: x * np.float32(0.5), "multiplied by 0.5"),
}
LAST = {
    "soft-max": (lambda x, p: softmax(x @ p["weight"].T + p["bias"]), "soft-max at the end"),
    "sigmoid": (lambda x, p: 1 / (1 + np.exp(-(x @ p["weight"].T + p["bias"]))), "sigmoid at the end"),
}
