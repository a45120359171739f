"""Export: a network → a file with another scheme's keys, or an ONNX graph.

    .safetensors      readable by safetensors and timm; carries architecture, preset and class names in its header
    .pth, .pt         torch.load(weights_only=True) gives the state dict; under mmpretrain's keys {"state_dict", "meta"}
    .npz              np.load gives the arrays
    .onnx             a graph for ONNX Runtime and others; carries architecture, preset and class names in its metadata

A .pth or .npz has tensors only.  Under npvgg's keys one more array, "npvgg", says which network they are; under others' keys
what the tensors do not show is returned as a sentence for people.
"""
from dataclasses import replace
from pathlib import Path

import numpy as np

from npvgg.errors import NpvggError, UnsupportedError, UsageError
from weights_convert import recognition, schemes
from weights_convert.formats import description, npz, safetensors
from weights_convert.formats.onnx import writing as writing_onnx
from weights_convert.formats.pytorch import writing
from weights_convert.schemes.naming import Scheme


def write(vgg, out, keys=None, *, opset=None, softmax=False, sigmoid=False, force=False):
    """Write the parameters of a VGG to `out`, whose ending says in which format, under the keys of the scheme `keys`.

    Without `keys`, torchvision's, or npvgg's in an .npz.  An .onnx has an `opset` and may end with a `softmax` or `sigmoid`
    instead of logits.  Returns sentences on what the file does not say.  Raises UsageError for another ending, scheme or
    option, UnsupportedError where that scheme or ONNX has no such network or a package is missing, StorageError.
    """
    out = Path(out)
    check(out, keys, opset, softmax, sigmoid)
    if out.suffix == ONNX:
        writing_onnx.write(out, vgg, opset=opset, softmax=softmax, sigmoid=sigmoid, force=force)
        return ()
    scheme = schemes.find(keys or ("npvgg" if out.suffix == ".npz" else "torchvision"))
    about = {"architecture": vgg.architecture, "preset": vgg.preset, "labels": vgg.class_names,
             "source_output": vgg.source_output, "scheme": scheme}
    arrays, remarks = tensors(vgg, scheme), ()
    if out.suffix != SAFETENSORS:
        if scheme.is_ours:
            arrays |= description.as_array(about)
        else:
            remarks = unsaid(vgg, scheme, arrays)
    WRITERS[out.suffix](out, arrays, about, force=force)
    return remarks


def check(out, keys=None, opset=None, softmax=False, sigmoid=False):
    """UsageError for an ending that is not written, and for options that do not belong to it."""
    suffix = Path(out).suffix
    if suffix not in ENDINGS:
        raise UsageError(f"{out} has an ending that npvgg does not write; it writes .h5, {', '.join(ENDINGS)}")
    if suffix == ONNX and keys:
        raise UsageError(f"{out} is a graph and has no keys; use --keys with {', '.join(WRITERS)}")
    if suffix != ONNX and (opset is not None or softmax or sigmoid):
        raise UsageError(f"{out} is not a graph; use --opset, --softmax and --sigmoid with {ONNX}")
    writing_onnx.check_options(opset)


def tensors(vgg, scheme: Scheme) -> dict:
    """A VGG → {key: array}, with the counters of batch norm as zeros.

    UnsupportedError where nothing under that scheme's names computes the same.
    """
    net = vgg.architecture
    lacking = scheme.refusal(net)
    if lacking:
        raise UnsupportedError(f"{scheme.name} has {lacking}; choose other keys with --keys, for example npvgg's")
    arrays = {key: place.arrangement.theirs(vgg.parameters[place.path]) for key, place in scheme.places(net).items()}
    return arrays | {key: np.zeros((), np.int64) for key in sorted(scheme.ignorable(net))}


def unsaid(vgg, scheme: Scheme, arrays: dict) -> tuple:
    """What a reader has to be told who has these arrays only, as sentences with the options of the converter that tell it."""
    net = vgg.architecture
    try:
        shown = recognition.recognise(scheme, arrays).architecture
        hides_head = not recognition.computes_the_same(replace(shown, input_size=net.input_size), net)
    except NpvggError:                    # modules without tensors that nobody can guess
        shown, hides_head = net, True
    options = [option for applies, option in (
        (hides_head, f'--head "{net.head}"'),
        (hides_head or shown.input_size != net.input_size, f"--input-size {net.input_size}"),
        (shown.output != net.output, f"--output {net.output}"),
        (scheme.preset != vgg.preset.name, f"--preset {vgg.preset.name}"),
    ) if applies]
    return (f"the file does not say all of it: whoever converts it back gives {' '.join(options)}",) if options else ()


def write_pytorch(out, tensors, about, *, force=False):
    """{key: array} → a .pth file: a state dict, or mmpretrain's checkpoint around it, with the class names."""
    state = tensors
    if about["scheme"].name == "mmpretrain":
        names = {"classes": list(about["labels"])} if about["labels"] else {}
        state = {"state_dict": tensors, "meta": {"dataset_meta": names}}
    writing.write(out, state, force=force)


SAFETENSORS = ".safetensors"
WRITERS = {SAFETENSORS: safetensors.write, ".pth": write_pytorch, ".pt": write_pytorch, ".npz": npz.write}
ONNX = ".onnx"
ENDINGS = (*WRITERS, ONNX)
