"""The second journey: a file that somebody published → an npvgg weights file, or another file that others read."""
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from npvgg import images, labels
from npvgg.architecture import Architecture
from npvgg.errors import BadFileError, UsageError
from npvgg.network import VGG
from npvgg.storage import atomic_file
from weights_convert import export, formats, recognition, sources, verify
from weights_convert.sources.naming import Source

WEIGHTS_FILE = (".h5", ".hdf5", "")       # endings of npvgg's own format


@dataclass(frozen=True)
class Report:
    """What a conversion did, or would do."""

    path: Path | None                     # None after a dry run
    architecture: Architecture
    preset: str
    source: str                           # "torchvision", "timm", …: whose names the tensors carry
    output: str                           # "logits" or "probabilities": what the source's last layer gives
    container: str                        # "PyTorch zip", …
    sha256: str                           # of the source
    used: int                             # source tensors that became parameters
    left_out: tuple                       # source keys that inference does not need
    remarks: tuple                        # sentences for people
    plan: tuple                           # (source key, its shape, its dtype, our path, our shape) of each tensor used


def convert(source, out, *, origin=None, keys=None, model=None, preset=None, class_names=None, input_size=None, key=None,
            checksum=True, source_name=None, notes="", force=False, dry_run=False, opset=None, softmax=False):
    """Read the file `source`, recognise the network, prove that every tensor has its place, write `out`.

    `out` is an npvgg weights file, unless its name ends as one of `export.ENDINGS`: then its tensors get the names that
    the source `keys` gives them, or it is an ONNX graph of that `opset`, with a `softmax` at its end or without.

    `origin` names the source (see `sources.SOURCES`) where the keys should not decide.  `model`, `preset`, `class_names`
    and `input_size` replace what the file shows or npvgg assumes; `key` chooses among several state dicts;
    `checksum=False` reads a zip whose CRCs were left out on purpose.  Nothing is written unless everything fits.  Returns
    a Report.  Raises BadFileError, UnsupportedError or StorageError (see `formats.read`, `export.write`); UsageError for an
    unknown `origin` or ending, and where the tensors could be those of two networks.
    """
    source, out = Path(source), Path(out)
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"{out} is the source itself; give another name for the result")
    is_export = out.suffix.lower() not in WEIGHTS_FILE
    if is_export:
        export.check(out, keys, opset, softmax)
    elif keys:
        raise UsageError(f"{out} is an npvgg weights file, which has npvgg's keys; use --keys with {', '.join(export.WRITERS)}")
    elif opset is not None or softmax:
        raise UsageError(f"{out} is an npvgg weights file, not a graph; use --opset and --softmax with {export.ONNX}")
    if not dry_run:
        atomic_file.destination(out, force)                          # refused now rather than after the work
    read = formats.read(source, key=key, checksum=checksum)
    try:
        found = understood(read.tensors, model, preset, input_size, origin, read.stated)
    except (BadFileError, UsageError) as error:
        error.args = (f"{source}: {error}",)
        raise
    net, remarks = found.architecture, list(read.remarks)
    if any(array.dtype == np.float64 for array in read.tensors.values()):
        remarks.append("float64 values were rounded to float32")
    if found.has_useless_classifier:
        remarks.append("the classifier holds nothing but NaN: the result gives features and cannot name what it sees")
    vgg = VGG(net, found.parameters, found.preset, named(class_names, net, read.metadata), source_output=found.output)
    report = Report(None, net, found.preset.name, found.source.name, found.output, read.container, read.sha256,
                    len(found.parameters), found.left_out, tuple(remarks), found.plan)
    if dry_run:
        return report
    if is_export:
        return replace(report, path=export.write(vgg, out, keys, opset=opset, softmax=softmax, force=force))
    written = vgg.save(out, source_name=source_name or source.name, source_sha256=read.sha256, notes=notes, force=force)
    return replace(report, path=written)


@dataclass(frozen=True)
class Understood:
    """What the tensors of a checkpoint are."""

    source: Source
    architecture: Architecture
    parameters: dict                      # npvgg path → float32 array
    preset: images.Preset
    output: str                           # as in Report
    left_out: tuple                       # source keys that inference does not need
    has_useless_classifier: bool          # one of nothing but NaN
    plan: tuple                           # as in Report


def understood(tensors, model=None, preset=None, input_size=None, origin=None, stated=None):
    """{source key: array} → Understood; the arguments replace what the tensors show.

    `stated` is what the file says beside its tensors: "padding_mode", "input_size" and whether the network "has_lrn", or
    the whole "architecture"; "preset"; "source_output"; the "order" of its layers.  Raises BadFileError where the tensors
    are those of no network or do not fit it, UnsupportedError where their order is another, UsageError for an unknown
    `origin`.
    """
    tensors, stated = recognition.strip_prefix(tensors), stated or {}
    source = sources.find(origin) if origin else sources.recognise(tensors)
    net = stated.get("architecture")
    if net is None or model:
        net = recognition.recognise(source, tensors, model, input_size or stated.get("input_size"), stated.get("padding_mode"),
                                    stated.get("has_lrn"))
    elif input_size:
        net = replace(net, input_size=input_size)
    # A NaN classifier marks torchvision's IMAGENET1K_FEATURES, which has its own mean and scale.
    useless = {key for key in tensors if key.startswith("classifier.")} if net.num_classes is None else set()
    ignorable, places = source.ignorable(net) | useless, source.places(net)
    parameters = verify.placed(tensors, places, net.parameters, ignorable)
    if "order" in stated:
        verify.ordered(stated["order"], net)
    chosen = images.preset(preset or ("torchvision-features" if useless else source.preset))
    if preset is None and "preset" in stated:
        chosen = stated["preset"].resized(input_size) if input_size else stated["preset"]
    elif preset is None and net.input_size != chosen.crop:
        chosen = chosen.resized(net.input_size)
    plan = tuple((key, tensors[key].shape, tensors[key].dtype.name, place.path, net.parameters[place.path])
                 for key, place in places.items())
    output, left_out = stated.get("source_output", source.output), tuple(sorted(set(tensors) & ignorable))
    return Understood(source, net, parameters, chosen, output, left_out, bool(useless), plan)


def named(class_names, net, metadata):
    """The names of the classes: given, found in the checkpoint, or ImageNet's where there are 1000."""
    if class_names is not None:
        return tuple(class_names)
    found = tuple(metadata.get("classes", ()))
    if net.num_classes and len(found) == net.num_classes:
        return found
    return labels.imagenet() if net.num_classes == 1000 else None
