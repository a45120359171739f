"""Conversion: a published file → an npvgg weights file, or a file that other programs read."""
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from npvgg import heads, images, labels
from npvgg.architecture import Architecture
from npvgg.checks import check_choice, check_flags
from npvgg.errors import BadFileError, NpvggError, UsageError
from npvgg.network import VGG
from npvgg.storage import atomic_file, half_precision, hdf5_writing
from weights_convert import catalog, export, formats, keys, recognition, schemes, verify
from weights_convert.recognition import Known
from weights_convert.schemes.naming import Scheme

KERAS_FILE = ".weights.h5"                # how Keras calls its own weights, which npvgg does not write
GRAPHS = ("onnx", "keras-model", "caffe")     # schemes of files that hold their layers in order
FACTS = ("padding_mode", "has_lrn", "head", "pooling", "eps", "output")       # what a file may prove of its network


@dataclass(frozen=True)
class Report:
    """What a conversion did, or would do."""

    path: Path | None                     # None after a dry run
    architecture: Architecture
    preset: str
    scheme: str                           # "torchvision", "timm", …: whose names the tensors carry
    source_output: str                    # "logits" or "probabilities": what the file's own last layer gives
    container: str                        # "PyTorch zip", …
    sha256: str                           # of the file that was read
    used: int                             # tensors that became parameters
    left_out: tuple                       # keys that inference does not need
    remarks: tuple                        # sentences for people
    plan: tuple                           # (key, its shape, its dtype, our path, our shape) of each tensor used


def convert(file, out, *, scheme=None, keys=None, preset=None, class_names=None, key=None, checksum=True, source_name=None,
            notes="", force=False, dry_run=False, accept=None, opset=None, softmax=False, sigmoid=False,
            store=None, **network_options) -> Report:
    """Read `file`, recognise the network, prove that every tensor has its place, write `out`.

    `out` is an npvgg weights file, unless its name ends as one of `export.ENDINGS`: then its tensors get the names that
    the scheme `keys` gives them, or it is an ONNX graph of that `opset`, with a `softmax` or `sigmoid` at its end or without.

    `store` "float16" or "bfloat16" halves a weights file (VGG.save).

    `scheme` says whose names the tensors have (see `schemes.SCHEMES`) where the keys should not decide.  `preset` (a name of
    `images.PRESETS`, or a Preset), `class_names` and `network_options` (model, head, output, pooling, eps, padding_mode,
    input_size: recognition.Known) replace what the file says or npvgg assumes; where the file proves it they have to agree.
    Every assumption is a remark of the Report, and stands in the weights file behind `notes`.  `key` chooses among several
    state dicts; `checksum=False` reads a zip whose CRCs were left out on purpose.  `accept` is called with the Architecture
    that was found, and may raise.  Nothing is written unless everything fits.

    Raises BadFileError, UnsupportedError or StorageError (see `formats.read`, `export.write`); UsageError for an unknown
    scheme, option or ending, and where the tensors could be those of two networks.
    """
    check_flags(checksum=checksum, force=force, dry_run=dry_run, softmax=softmax, sigmoid=sigmoid)
    file, out = Path(file), Path(out)
    atomic_file.refuse_inputs(out, [file])
    is_export = out.suffix.lower() not in hdf5_writing.ENDINGS
    if out.name.lower().endswith(KERAS_FILE):
        raise UsageError(f"{out} is called as Keras' own weights are, which npvgg does not write; give a name such as "
                         f"{out.name[:-len(KERAS_FILE)] or 'vgg'}.h5 for an npvgg weights file")
    if is_export:
        export.check(out, keys, opset, softmax, sigmoid)
    elif keys:
        raise UsageError(f"{out} is an npvgg weights file, which has npvgg's keys; use --keys with {', '.join(export.WRITERS)}")
    elif opset is not None or softmax or sigmoid:
        raise UsageError(f"{out} is an npvgg weights file, not a graph; use --opset, --softmax and --sigmoid with .onnx")
    check_choice("store", store, (None, *half_precision.STORES))
    if is_export and store is not None:
        raise UsageError(f"{out} is no npvgg weights file, which --store is about; leave it out, or give OUT a "
                         "name such as vgg.h5")
    if not dry_run:
        atomic_file.destination(out, force)                          # refused now rather than after the work
    read = formats.read(file, key=key, checksum=checksum)
    atomic_file.refuse_inputs(out, read.files)                       # in a folder, and shards of an index
    published = catalog.published(file.name, read.sha256) if preset is None and "preset" not in read.stated else None
    sentences = [published.sentence] if published else []
    stated = read.stated | ({"preset": images.preset(published.preset)} if published else {})
    try:
        network = understood(read.tensors, scheme=scheme, preset=preset, stated=stated, **network_options)
    except NpvggError as error:
        error.args = (f"{file}: {error}",)
        raise
    net, remarks = network.architecture, [*read.remarks, *sentences, *network.remarks]
    if accept is not None:
        accept(net)
    if any(array.dtype == np.float64 for array in read.tensors.values()):
        remarks.append("float64 values were rounded to float32")
    if any(array.dtype == np.float16 for array in read.tensors.values()):
        remarks.append("npvgg computes in float32 with its float16 values; who computes in float16 gets other digits")
    vgg = VGG(net, network.parameters, network.preset, named(class_names, net, read.metadata),
              source_output=network.source_output)
    report = Report(None, net, network.preset.name, network.scheme.name, network.source_output, read.container, read.sha256,
                    len(network.parameters), network.left_out, tuple(remarks), network.plan)
    if dry_run:
        return report
    if is_export:
        unsaid = export.write(vgg, out, keys, opset=opset, softmax=softmax, sigmoid=sigmoid, force=force)
        return replace(report, path=out, remarks=(*report.remarks, *unsaid))
    written = vgg.save(out, source_name=source_name or file.name, source_sha256=read.sha256,
                       notes="; ".join(filter(None, (notes, *read.assumptions, *sentences, *network.remarks))),
                       store=store or "float32", force=force)
    return replace(report, path=written)


@dataclass(frozen=True)
class Understood:
    """What the tensors of a checkpoint are."""

    scheme: Scheme
    architecture: Architecture
    parameters: dict                      # npvgg path → float32 array
    preset: images.Preset
    source_output: str                    # as in Report
    left_out: tuple                       # keys that inference does not need
    remarks: tuple                        # what was assumed or left out, as sentences
    plan: tuple                           # as in Report


def understood(tensors: dict, *, scheme=None, preset=None, stated=None, **network_options) -> Understood:
    """{key: array} → Understood; `scheme`, `preset` and `network_options` as in `convert`.

    `stated` is what the file says beside its tensors: FACTS and "input_size"; "is_head_assumed", where --head may say
    another; the whole "architecture"; "preset"; "source_output"; the "order" of its layers; the "places" of its modules,
    {"features.0": "conv1_1", …}; biases that they have not, as "without_bias", ["fc6/bias", …].

    Raises BadFileError where the tensors are those of no network or do not fit it, UnsupportedError where their order is
    another or they are computed from others, UsageError for an unknown scheme, and where an option contradicts the file.
    """
    stated, asked = stated or {}, schemes.find(scheme) if scheme else None
    places = stated.get("places")
    spelled = keys.by_modules(tensors, places, asked) if places else keys.spelled(tensors, asked)
    scheme, origin, tensors = spelled.scheme, spelled.origin, spelled.tensors
    net, assumptions, useless = architecture_of(scheme, tensors, stated, known(network_options))
    ignorable, places = scheme.ignorable(net) | useless, scheme.places(net)
    if "order" in stated:
        verify.ordered(stated["order"], net, "its graph" if scheme.name in GRAPHS else "it")
    # Dense layers of npvgg's have a bias, convolutions all or none.
    tensors = tensors | {path: np.zeros(net.parameters[path], np.float32) for path in stated.get("without_bias", ())
                         if path in net.parameters}
    parameters = verify.placed(tensors, places, net.parameters, ignorable, spelled.names)
    chosen = preset_of(origin, net, bool(useless), preset, stated, network_options.get("input_size"))
    if preset is None and "preset" not in stated:
        assumptions = (*assumptions, f"pictures prepared as {chosen.name} does (--preset)")
    plan = tuple((spelled.names.get(key, "(zeros)"), tensors[key].shape, tensors[key].dtype.name, place.path,
                  net.parameters[place.path]) for key, place in places.items())
    remarks = [f"not shown by the tensors, and so assumed: {'; '.join(assumptions)}"] if assumptions else []
    if useless:
        remarks.append("the classifier holds nothing but NaN: the result gives features and cannot name what it sees")
    left_out = sorted([*spelled.counters, *(spelled.names[key] for key in tensors.keys() & ignorable)])
    return Understood(origin, net, parameters, chosen, stated.get("source_output", origin.source_output),
                      tuple(left_out), (*spelled.remarks, *remarks), plan)


def preset_of(scheme, net, is_without_classifier, name, stated, input_size):
    """How pictures are prepared: as the option says, as the file says, or as the scheme does."""
    if name is None and "preset" in stated:
        return stated["preset"].resized(input_size) if input_size else stated["preset"]
    if isinstance(name, images.Preset):
        return name
    # A NaN classifier marks torchvision's IMAGENET1K_FEATURES, which has its own mean and scale.
    chosen = images.preset(name or ("torchvision-features" if is_without_classifier else scheme.preset))
    if name is not None:
        return chosen
    if chosen.channels != net.input_channels:
        return images.default_preset(net)
    return chosen.resized(net.input_size) if net.input_size != chosen.crop else chosen


def known(network_options):
    """The keyword arguments of `convert` that say something of the network → Known; UsageError for any other."""
    names = [field.name for field in fields(Known) if field.name != "has_lrn"]
    unknown = network_options.keys() - set(names)
    if unknown:
        raise UsageError(f"a conversion has no option {min(unknown)!r}; of the network it takes {', '.join(names)}")
    return Known(**network_options)


def architecture_of(scheme, tensors, stated, asked):
    """→ (Architecture, what was assumed, keys of a useless classifier)."""
    is_head_assumed = stated.get("is_head_assumed", False)
    facts = {name: stated[name] for name in FACTS if name in stated and not (name == "head" and is_head_assumed and asked.head)}
    for name in ("pooling", "eps", "output", "padding_mode"):
        said, option = getattr(asked, name), f"--{name.removesuffix('_mode')}"
        if said is not None and facts.get(name, said) != said:
            raise UsageError(f"{option} says {said} and the file shows {facts[name]}; leave {option} out")
    claimed = None if asked.model else stated.get("architecture")
    if claimed is not None and not facts:
        return changed(claimed, asked), (), frozenset()
    size = asked.input_size if claimed is None and asked.input_size else stated.get("input_size")
    merged = {**vars(asked), **facts, "input_size": size}
    recognised = recognition.recognise(scheme, tensors, Known(**merged))
    net = recognised.architecture
    if claimed is not None:
        check_agreement(claimed, net, facts)
        net = claimed
    if "head" in facts and (asked.head or asked.input_size or claimed):
        wanted = changed(net, asked)
        if not recognition.computes_the_same(wanted, net) and asked.head:
            raise UsageError(f"--head says {wanted.head!r} and the file shows {net.head!r}; leave --head out")
        net = wanted
    of_code = (f"the head {net.head!r}, for what is computed between its modules is in its code (--head)",)
    return net, (*(of_code if is_head_assumed and "head" in facts else ()), *recognised.assumptions), recognised.useless


def changed(net, asked):
    """An Architecture with what `asked` (Known) names in place of its own."""
    changes = {name: getattr(asked, name) for name in ("head", "output", "pooling", "eps", "input_size", "padding_mode")
               if getattr(asked, name) is not None}
    if "head" in changes and "output" not in changes:
        usual = heads.output_of(changes["head"], None)
        if usual == "none" or net.output == "none" or (net.output, usual) == ("softmax", "sigmoid"):
            changes["output"] = usual
    return replace(net, **changes)


def check_agreement(claimed, net, facts):
    """Refuse metadata of npvgg's that tell of another network than the graph."""
    pairs = {name: (getattr(claimed, name), getattr(net, name))
             for name in ("input_size", "input_channels", "pooling", "bias", "padding_mode")}
    pairs["head"] = claimed.head, net.head if not recognition.computes_the_same(claimed, net) else claimed.head
    if recognition.has_eps(net):
        pairs["eps"] = claimed.eps, net.eps
    if "output" in facts:
        pairs["output"] = claimed.output, net.output
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise BadFileError(f"its metadata tell of the {name} {theirs!r}, its graph of {ours!r}; write it again")


def named(class_names, net, metadata):
    """The names of the classes: the ones asked for, those in the checkpoint, or ImageNet's where there are 1000."""
    if class_names is not None:
        return tuple(class_names)
    theirs = tuple(metadata.get("classes", ()))
    if net.label_count and len(theirs) == net.label_count:
        return theirs
    return labels.imagenet() if net.num_classes == 1000 else None
