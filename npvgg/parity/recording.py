"""python -m weights_convert.record_trace CHECKPOINT IMAGE…: what PyTorch computes, layer by layer.

The witness of `npvgg parity`.  PyTorch reads the checkpoint and computes every layer; npvgg lends the list of layers, the
prepared pictures and the file format.  The one module of the project that imports PyTorch, and only when it is run.
"""
import hashlib
from pathlib import Path

import click
import numpy as np

from npvgg import command_line, text
from npvgg.errors import BadFileError, StorageError, UnsupportedError

INSTALL = "python -m pip install torch==2.13.0"

# Where training scripts keep the state dict, if it is not the top level.
NESTED_UNDER = ("state_dict", "model_state_dict", "model")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.argument("checkpoint", type=click.Path(readable=False, path_type=Path))
@click.argument("images", type=click.Path(readable=False, path_type=Path), nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", type=click.Path(readable=False, path_type=Path), required=True, metavar="FILE",
              help="The HDF5 file to write, one dataset a layer.")
@click.option("--model", metavar="NAME", help="The network, where the keys should not decide: vgg16, vgg19_bn, D, …")
@click.option("--preset", metavar="NAME", help="How pictures are prepared: torchvision, caffe, …; default: as the source does.")
@click.option("--input-size", type=click.IntRange(32, 16384), metavar="PIXELS", help="Side of the picture it was trained for.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True,
              help="float64 is the oracle that float32 runs are judged by.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def command(checkpoint, images, output, model, preset, input_size, dtype, force):
    """Run the PyTorch CHECKPOINT (.pth, .pt) on IMAGEs in PyTorch; write the output of every layer under its paper name.

    Then, with the same checkpoint converted:  npvgg trace IMAGE --model CONVERTED.h5 -o ours.h5,  and
    npvgg parity ours.h5 FILE  shows the first layer that differs.
    """
    written = record(checkpoint, images, output, model=model, preset=preset, input_size=input_size, dtype=dtype, force=force)
    print(text.file_name(written))


def record(checkpoint, pictures, output, *, model=None, preset=None, input_size=None, dtype="float32", force=False):
    """A checkpoint and pictures (paths, or what else `images.batch` takes) → a trace file; returns its path.

    `model`, `preset` and `input_size` as in `converter.convert`.  Raises UnsupportedError where PyTorch is missing,
    StorageError or BadFileError where it cannot read the checkpoint, BadFileError where that does not hold a VGG.
    """
    torch = imported()
    from npvgg import converter, images
    from npvgg.parity import traces
    from npvgg.storage import atomic_file, hdf5_writing

    pictures = list(pictures)
    atomic_file.refuse_inputs(output, [checkpoint, *pictures])        # refused now rather than after the work
    hdf5_writing.destination(output, force)
    state, sha256 = loaded(torch, checkpoint)
    try:
        network = converter.understood(arrays_of(state), preset=preset, model=model, input_size=input_size)
    except BadFileError as error:
        raise BadFileError(f"{checkpoint}: {error}") from None
    x = images.batch(pictures, network.preset, dtype=getattr(np, dtype))
    arrays = {"input": x}
    for layer, y in outputs(torch, network.architecture, network.parameters, x):
        arrays[layer.name] = y
    return traces.write(output, arrays, architecture_json=network.architecture.to_json(),
                        model_name=f"{Path(checkpoint).name} {sha256[:8]}", made_by=f"PyTorch {torch.__version__}, {dtype}",
                        preset=network.preset, pictures_sha256=traces.digests(pictures), force=force)


def outputs(torch, net, parameters, x):
    """Architecture, {npvgg path: array} and (N, 3, H, W) → (layer, PyTorch's output) for each, in the dtype of x."""
    step = steps(torch, parameters)
    with torch.inference_mode():
        x = torch.from_numpy(x)
        for layer in net.layers:
            x = step(layer, x)
            yield layer, x.numpy()


def steps(torch, parameters):
    """{npvgg path: array} → step(layer, x) → y on tensors, the parameters brought to the dtype of x."""
    kernels = operations(torch.nn.functional)

    def tensor(array):
        return torch.from_numpy(array if array.flags.writeable else array.copy())        # PyTorch has no read-only tensors

    def step(layer, x):
        own = [tensor(array).to(x.dtype) for array in layer.arrays(parameters)]
        return kernels[layer.op](x, *own, **dict(layer.options))

    return step


def operations(functional):
    """torch.nn.functional → {operation: function} that take what those of npvgg.kernels take."""
    return {
        "reflection_pad2d": lambda x, size: functional.pad(x, (size,) * 4, "reflect"),
        "conv2d": lambda x, weight, bias=None, padding=1: functional.conv2d(x, weight, bias, padding=padding),
        "batchnorm2d": lambda x, weight, bias, mean, var, eps: functional.batch_norm(x, mean, var, weight, bias, eps=eps),
        "batchnorm1d": lambda x, weight, bias, mean, var, eps: functional.batch_norm(x, mean, var, weight, bias, eps=eps),
        "relu": functional.relu,
        "avgpool2d": lambda x, size, stride: functional.avg_pool2d(x, size, stride),
        "adaptive_maxpool2d": lambda x, size: functional.adaptive_max_pool2d(x, size),
        "maxpool2d": lambda x, size, stride: functional.max_pool2d(x, size, stride),
        "local_response_norm": functional.local_response_norm,
        "adaptive_avgpool2d": lambda x, size: functional.adaptive_avg_pool2d(x, size),
        "flatten": lambda x: x.flatten(1),
        "dense": functional.linear,
        "dropout": lambda x, p: functional.dropout(x, p, training=False),
    }


def imported():
    """The module torch; UnsupportedError that says how to install it where it cannot be imported."""
    try:
        import torch
    except ImportError as error:
        raise UnsupportedError(f"record_trace runs PyTorch, which cannot be imported ({error}); "
                               f"install it with `{INSTALL}`, or compare with a trace recorded elsewhere") from None
    return torch


def loaded(torch, path):
    """A checkpoint → ({key: tensor}, SHA-256 of the file), read by torch.load."""
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            read = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}; check the name and its rights") from None
    except Exception as error:                             # torch.load raises whatever its unpickler meets
        raise BadFileError(f"{path}: PyTorch cannot read it ({text.said(error)}); "
                           "give a state dict that torch.save wrote") from None
    candidates = [read, *(read.get(name) for name in NESTED_UNDER)] if isinstance(read, dict) else []
    for state in candidates:
        if isinstance(state, dict) and any(isinstance(value, torch.Tensor) for value in state.values()):
            return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}, sha256
    raise BadFileError(f"{path}: PyTorch reads a {type(read).__name__} without tensors in it or under "
                       f"{', '.join(NESTED_UNDER)}; give the file of a state dict")


def arrays_of(state):
    """{key: tensor} → {key: array}; NumPy lacks bfloat16, which float32 holds exactly."""
    return {key: (value.float() if value.is_floating_point() else value).contiguous().numpy() for key, value in state.items()}


def main():
    """The entry point of `python -m weights_convert.record_trace`: runs the command and exits with its status."""
    command_line.run(command, "record-trace")

