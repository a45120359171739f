"""The way back: a network → a file with somebody else's keys.

    .safetensors      readable by safetensors and timm; carries preset and class names in its header
    .pth, .pt         torch.load(weights_only=True) gives the state dict; under mmpretrain's keys {"state_dict", "meta"}
    .npz              np.load gives the arrays
"""
from pathlib import Path

import numpy as np

from npvgg.errors import UnsupportedError, UsageError
from weights_convert import sources
from weights_convert.checkpoint import writing
from weights_convert.formats import npz, safetensors


def write(vgg, out, keys=None, *, force=False):
    """Write the parameters of a VGG to `out`, whose ending says in which format, under the keys of the source `keys`.

    Without `keys`, torchvision's, or npvgg's in an .npz.  Raises UsageError for another ending or source,
    UnsupportedError where that source has no such network or a package is missing, StorageError.
    """
    if Path(out).suffix not in WRITERS:
        raise UsageError(f"{out} ends with none of {', '.join(WRITERS)}; give a name that does, or .h5 for npvgg's own format")
    source = sources.find(keys or ("npvgg" if Path(out).suffix == ".npz" else "torchvision"))
    about = {"architecture": vgg.architecture, "preset": vgg.preset, "labels": vgg.class_names,
             "source_output": vgg.source_output, "source": source}
    WRITERS[Path(out).suffix](out, tensors(vgg, source), about, force=force)
    return Path(out)


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
