"""ncnn with its default, Winograd convolutions, and its two files written here.

    ncnn.param   text: 7767517, the numbers of layers and blobs, then a line for each layer
                    Convolution conv1_1 1 1 input conv1_1 0=64 1=3 4=1 5=1 6=1728 9=1
                type, name, how many inputs and outputs, their names, and what `describe` lists as number=value
    ncnn.bin     float32, little-endian, in the order of the layers; before each weight four zero bytes: "as float32"

Batch norm is folded and ReLU is part of the layer before it, which is what ncnn's own optimiser makes of a model.
"""
import ncnn
import numpy as np

PARAM, BIN = "ncnn.param", "ncnn.bin"
MAGIC = 7767517
INPUT, OUTPUT = "input", "logits"
AS_FLOAT32 = bytes(4)


def write(vgg, folder):
    lines, flow = [f"Input {INPUT} 0 1 {INPUT}"], INPUT
    with open(folder / BIN, "wb") as file:
        for layer, arrays, has_relu in merged(vgg):
            described = describe(layer, arrays, has_relu)
            if described is None:
                continue
            if arrays:
                weight, bias = arrays
                file.write(AS_FLOAT32 + weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes())
            name = OUTPUT if layer is vgg.architecture.layers[-1] else layer.name
            operator, numbers = described
            lines.append(f"{operator} {layer.name} 1 1 {flow} {name} " + " ".join(f"{k}={v}" for k, v in numbers.items()))
            flow = name
    (folder / PARAM).write_text("\n".join([str(MAGIC), f"{len(lines)} {len(lines)}", *lines, ""]))


def merged(vgg):
    """(layer, its weight and bias, whether ReLU follows) for each layer that is left, batch norm folded in float64."""
    layer, arrays, has_relu = None, [], False
    for following in vgg.architecture.layers:
        if following.op == "batchnorm2d":
            arrays = folded(*arrays, *following.arrays(vgg.parameters), **dict(following.options))
        elif following.op == "relu":
            has_relu = True
        else:
            if layer:
                yield layer, arrays, has_relu
            layer, arrays, has_relu = following, following.arrays(vgg.parameters), False
    yield layer, arrays, has_relu


def folded(weight, bias, scale, shift, mean, var, *, eps):
    """Convolution and batch norm → the weight (O, C, kh, kw) and bias (O,) of one convolution, in float64."""
    factor = scale / np.sqrt(var.astype(np.float64) + eps)
    return weight * factor[:, None, None, None], (bias - mean.astype(np.float64)) * factor + shift


def describe(layer, arrays, has_relu):
    """A layer → (ncnn's type, {number of the parameter: value}), or None for a layer that does nothing in inference."""
    options = dict(layer.options)
    if layer.op == "conv2d":
        filters, _, kernel, _ = arrays[0].shape
        return "Convolution", {0: filters, 1: kernel, 4: options["padding"], 5: 1, 6: arrays[0].size, 9: int(has_relu)}
    if layer.op == "dense":
        return "InnerProduct", {0: len(arrays[1]), 1: 1, 2: arrays[0].size, 9: int(has_relu)}
    if layer.op == "maxpool2d":
        return "Pooling", {0: 0, 1: options["size"], 2: options["stride"], 5: 1}
    if layer.op == "adaptive_avgpool2d":
        return "Pooling", {0: 1, 7: 1, 8: options["size"], 18: options["size"]}
    if layer.op == "local_response_norm":
        return "LRN", {0: 0, 1: options["size"], 2: options["alpha"], 3: options["beta"], 4: options["k"]}
    return ("Flatten", {}) if layer.op == "flatten" else None


def load(folder, shape, threads):
    net = ncnn.Net()
    net.opt.num_threads = threads
    # By default weights are kept in float16, and the logits of a narrow VGG-11 are off by 5e-4 of the largest.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    for what, status in (("param", net.load_param(str(folder / PARAM))), ("model", net.load_model(str(folder / BIN)))):
        if status:
            raise RuntimeError(f"load_{what} returned {status}")

    def run(x):
        return np.stack([logits(net, picture) for picture in x])     # ncnn has no batch axis

    return run


def logits(net, picture):
    """(3, H, W) → (classes,)."""
    extractor = net.create_extractor()
    extractor.input(INPUT, ncnn.Mat(picture))
    status, answer = extractor.extract(OUTPUT)
    if status:
        raise RuntimeError(f"extract returned {status}")
    return np.array(answer)
