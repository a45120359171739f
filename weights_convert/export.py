"""The way back: a network → a file with somebody else's keys, or a graph that others run.

    .safetensors      readable by safetensors and timm; carries preset and class names in its header
    .pth, .pt         torch.load(weights_only=True) gives the state dict; under mmpretrain's keys {"state_dict", "meta"}
    .npz              np.load gives the arrays
    .onnx             a graph for ONNX Runtime and others; carries preset and class names in its metadata
"""
from pathlib import Path

import numpy as np

from npvgg.errors import UnsupportedError, UsageError
from weights_convert import sources
from weights_convert.checkpoint import writing
from weights_convert.formats import npz, safetensors
from weights_convert.formats.onnx import writing as writing_onnx


def write(vgg, out, keys=None, *, opset=None, softmax=False, force=False):
    """Write the parameters of a VGG to `out`, whose ending says in which format, under the keys of the source `keys`.

    Without `keys`, torchvision's, or npvgg's in an .npz.  An .onnx has an `opset` and may end with a `softmax` instead.
    Raises UsageError for another ending, source or option, UnsupportedError where that source or ONNX has no such network
    or a package is missing, StorageError.
    """
    check(out, keys, opset, softmax)
    if Path(out).suffix == ONNX:
        writing_onnx.write(out, vgg, opset=opset, softmax=softmax, force=force)
        return Path(out)
    source = sources.find(keys or ("npvgg" if Path(out).suffix == ".npz" else "torchvision"))
    about = {"architecture": vgg.architecture, "preset": vgg.preset, "labels": vgg.class_names,
             "source_output": vgg.source_output, "source": source}
    WRITERS[Path(out).suffix](out, tensors(vgg, source), about, force=force)
    return Path(out)


def check(out, keys=None, opset=None, softmax=False):
    """UsageError for an ending that is not written, and for options that do not belong to it."""
    suffix = Path(out).suffix
    if suffix not in ENDINGS:
        raise UsageError(f"{out} has an ending that npvgg does not write; it writes .h5, {', '.join(ENDINGS)}")
    if suffix == ONNX and keys:
        raise UsageError(f"{out} is a graph and has no keys; use --keys with {', '.join(WRITERS)}")
    if suffix != ONNX and (opset is not None or softmax):
        raise UsageError(f"{out} is not a graph; use --opset and --softmax with {ONNX}")
    writing_onnx.check_options(opset)


def tensors(vgg, source):
    """A VGG → {source key: array}, with the counters of batch norm as zeros.

    UnsupportedError where nothing under that source's names computes the same.
    """
    net = vgg.architecture
    count = sum(layer.op == "dense" for layer in net.layers)
    lacking = [(net.name not in source.networks, f"no {net.name}"),
               (net.padding_mode != source.padding_mode, f"no network with padding_mode {net.padding_mode!r}"),
               (len(source.dense) > 1 and count not in (0, len(source.dense)), f"no network with {count} dense layers")]
    for applies, what in lacking:
        if applies:
            raise UnsupportedError(f"{source.name} has {what}; choose other keys with --keys, for example npvgg's")
    found = {key: place.arrangement.theirs(vgg.parameters[place.path]) for key, place in source.places(net).items()}
    return found | {key: np.zeros((), np.int64) for key in sorted(source.ignorable(net))}


def write_pytorch(out, tensors, about, *, force=False):
    state = tensors
    if about["source"].name == "mmpretrain":
        names = {"classes": list(about["labels"])} if about["labels"] else {}
        state = {"state_dict": tensors, "meta": {"dataset_meta": names}}
    writing.write(out, state, force=force)


WRITERS = {".safetensors": safetensors.write, ".pth": write_pytorch, ".pt": write_pytorch, ".npz": npz.write}
ONNX = ".onnx"
ENDINGS = (*WRITERS, ONNX)
