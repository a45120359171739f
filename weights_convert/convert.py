"""The second journey: a published checkpoint → an npvgg weights file."""
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from npvgg import images, labels
from npvgg.architecture import Architecture
from npvgg.errors import BadFileError, UsageError
from npvgg.network import VGG
from weights_convert import checkpoint, key_map, verify


@dataclass(frozen=True)
class Report:
    """What a conversion did."""

    path: Path | None                     # None after a dry run
    architecture: Architecture
    preset: str
    container: str                        # "PyTorch zip", …
    sha256: str                           # of the source
    used: int                             # source tensors that became parameters
    left_out: tuple                       # source keys that inference does not need
    remarks: tuple                        # sentences for people


def convert(source, out, *, model=None, preset=None, class_names=None, input_size=None, key=None, checksum=True,
            source_name=None, notes="", force=False, dry_run=False):
    """Read the PyTorch checkpoint `source`, recognise the network, prove that every tensor has its place, write `out`.

    `model`, `preset`, `class_names` and `input_size` replace what the file shows or npvgg assumes; `key` chooses among
    several state dicts; `checksum=False` reads a zip whose CRCs were left out on purpose.  Nothing is written unless
    everything fits.  Returns a Report.  Raises BadFileError, UnsupportedError or StorageError (see `checkpoint.read`).
    """
    source, out = Path(source), Path(out)
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"{out} is the source itself; give another name for the result")
    read = checkpoint.read(source, key=key, checksum=checksum)
    tensors, remarks = key_map.strip_prefix(read.tensors), list(read.remarks)
    try:
        net = key_map.recognise(tensors, model, input_size)
        ignorable = key_map.counters(net)
        if net.num_classes is None:
            ignorable |= {name for name in tensors if name.startswith("classifier.")}
        parameters = verify.placed(tensors, key_map.key_map(net), net.parameters, ignorable)
    except BadFileError as error:
        raise BadFileError(f"{source}: {error}") from None
    remarks += [f"{name} was rounded from float64 to float32" for name in rounded(tensors)[:1]]
    if net.num_classes is None and any(name.startswith("classifier.") for name in tensors):
        remarks.append("the classifier holds nothing but NaN: the result gives features and cannot name what it sees")
    chosen = images.preset(preset or assumed_preset(net, tensors))
    if preset is None and net.input_size != chosen.crop:
        chosen = chosen.resized(net.input_size)
    vgg = VGG(net, parameters, chosen, named(class_names, net, read.metadata))
    report = Report(None, net, chosen.name, read.container, read.sha256, len(parameters),
                    tuple(sorted(set(tensors) & ignorable)), tuple(remarks))
    if dry_run:
        return report
    written = vgg.save(out, source_name=source_name or source.name, source_sha256=read.sha256, notes=notes, force=force)
    return replace(report, path=written)


def rounded(tensors):
    return [name for name, array in tensors.items() if array.dtype == np.float64]


def assumed_preset(net, tensors):
    """The NaN classifier marks torchvision's IMAGENET1K_FEATURES, which has its own mean and scale."""
    only_features = net.num_classes is None and any(name.startswith("classifier.") for name in tensors)
    return "torchvision-features" if only_features else "torchvision"


def named(class_names, net, metadata):
    """The names of the classes: given, found in the checkpoint, or ImageNet's where there are 1000."""
    if class_names is not None:
        if len(class_names) != net.num_classes:
            raise UsageError(f"{len(class_names)} class names were given for {net.num_classes} classes; give one for each")
        return tuple(class_names)
    found = tuple(metadata.get("classes", ()))
    if net.num_classes and len(found) == net.num_classes:
        return found
    return labels.imagenet() if net.num_classes == 1000 else None
