"""The keys in a file → the keys of a scheme: what wrappers, trainers and other names of the same modules changed is undone.

    module.features.0.weight, features.module.0.weight      features.0.weight      torch.nn.DataParallel, of all or of a part
    _orig_mod.features.0.weight, model.features.0.weight    features.0.weight      torch.compile; Lightning, or any other class
    0.weight, 3.weight, …; conv_layers.0.weight             features.0.weight      a Sequential alone, or of another name
    classifier.weight, fc1.weight, fc2.weight               classifier.N.weight    dense layers that are not in a Sequential
    classifier.6.0.weight                                   classifier.6.weight    a Sequential as the last module of another
    classifier.0.weight_orig, classifier.0.weight_mask      classifier.0.weight    torch.nn.utils.prune: the product of both

Every key keeps the one it came from, for messages.  A key that none of this explains stays and has no place in the network.
"""
import re
from dataclasses import dataclass

from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from npvgg.text import listed
from weights_convert import schemes
from weights_convert.refusals import quoted
from weights_convert.schemes.naming import TORCH_FIELDS, Scheme
from weights_convert.schemes.npvgg import NPVGG
from weights_convert.schemes.torchvision import TORCHVISION

# What stands anywhere in a key and names no module of the network: DataParallel and AveragedModel, torch.compile, FSDP twice.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
COUNTERS = {"n_averaged", "steps"}        # of averaged weights, in PyTorch and in mmengine
# Weights that are computed from others at each call; torch.nn.utils, older and newer.
COMPUTED = {
    "weight_g": "weight norm", "weight_v": "weight norm", "weight_u": "spectral norm", "weight_bar": "spectral norm",
    "parametrizations": "a parametrization",
}
BARE_BACKBONE = re.compile(r"(.*\.)?(features\.\d{1,4}\.conv\.weight)")     # of mmpretrain, without the classifier around it
BACKBONE = "backbone."
BETWEEN = 3                               # positions from one dense layer to the next: itself, ReLU, dropout


@dataclass(frozen=True)
class Spelled:
    """The tensors of a file under the keys of a scheme."""

    scheme: Scheme                        # whose keys `tensors` has
    origin: Scheme                        # who wrote the file: the same, or for a pickled network whose keys the file has
    tensors: dict                         # the scheme's key → array
    names: dict                           # the scheme's key → the file's
    counters: tuple                       # keys of the file that count averaged weights
    remarks: tuple                        # what was taken for what, as sentences


def spelled(tensors: dict, scheme: Scheme | None = None) -> Spelled:
    """{key: array} → Spelled; `scheme` is whose names they are, where the keys should not decide.

    BadFileError where they are named as those of no scheme, or two keys become one; UnsupportedError for two networks, and for
    weights that are computed from others.
    """
    counters = tuple(key for key, array in tensors.items() if key.rpartition(".")[2] in COUNTERS and array.size == 1)
    plain, pruned = unpruned({key: array for key, array in tensors.items() if key not in counters})
    refuse_computed(plain)
    names = renamed({key: key for key in plain}, unwrapped)
    names, prefix = renamed(names, with_backbone(names)), ""
    for candidate in [scheme] if scheme else schemes.SCHEMES.values():
        prefixes = candidate.prefixes(names)
        if len(prefixes) > 1:
            raise UnsupportedError(f"it has networks under {listed(sorted(prefixes), 5)}; save the one you want alone, with "
                                   "torch.save(model.state_dict(), …)")
        if prefixes:
            scheme, prefix = candidate, prefixes.pop()
            break
    names = renamed(names, lambda key: key.removeprefix(prefix))
    remarks = [f"{quoted([prefix])} in front of the keys was taken off"] if prefix else []
    if scheme in (None, TORCHVISION):
        names, taken = as_sequentials(names, {key: plain[name] for key, name in names.items()})
        remarks += taken
        scheme = scheme or (TORCHVISION if TORCHVISION.prefixes(names) else None)
    if scheme is None:
        raise schemes.unknown(tensors)
    if pruned:
        remarks.append(f"{len(pruned)} pruned tensors ({quoted(pruned)}) are their weights times their masks")
    if counters:
        remarks.append(f"{quoted(counters)}, which counts averaged weights, was left out")
    return Spelled(scheme, scheme, {key: plain[name] for key, name in names.items()}, names, counters, tuple(remarks))


def by_modules(tensors: dict, places: dict, origin: Scheme | None = None) -> Spelled:
    """{key: array}, {module: npvgg's name of the layer that it is} → Spelled, with npvgg's keys.

    The modules of a pickled network show where each tensor belongs, whatever it is called.  Errors: those of `spelled`.
    """
    if origin is None:
        try:
            origin = spelled(tensors).scheme
        except NpvggError:
            origin = TORCHVISION
    plain, _ = unpruned(tensors)
    refuse_computed(plain)
    fields = {theirs: ours for ours, theirs in TORCH_FIELDS.items()}
    names, arrays, counters = {}, {}, []
    for name, array in plain.items():
        module, _, field = name.rpartition(".")
        layer, kind = places.get(module), fields.get(f".{field}")
        if layer and field == "num_batches_tracked" or field in COUNTERS and array.size == 1:
            counters.append(name)
            continue
        key = f"{layer}/{kind}" if layer and kind else name
        is_dense = layer and layer.startswith("fc") and array.ndim == 4        # a convolution over the whole map
        names[key], arrays[key] = name, array.reshape(len(array), -1) if is_dense else array
    return Spelled(NPVGG, origin, arrays, names, tuple(counters), ())


def renamed(names, new):
    """{key: name in the file}, key → new key → the same under the new keys; BadFileError where two become one."""
    changed = {}
    for key, name in names.items():
        if new(key) in changed:
            raise BadFileError(f"{quoted([changed[new(key)], name])} are the same key without what wraps them; give a "
                               "checkpoint of one network")
        changed[new(key)] = name
    return changed


def unwrapped(key):
    """'module.features.module.0.weight' → 'features.0.weight'."""
    *path, field = key.split(".")
    return ".".join([part for part in path if part not in WRAPPERS] + [field])


def unpruned(tensors):
    """→ (the tensors with weight_orig · weight_mask as weight, the keys that became so).

    torch.nn.utils.prune computes this product, of the same numbers, at each call.
    """
    pruned = [key.removesuffix("_mask") for key in tensors if key.endswith("_mask") and is_masked(tensors, key)]
    if not pruned:
        return tensors, ()
    kept = {}
    for key, array in tensors.items():
        name = key.removesuffix("_orig").removesuffix("_mask")
        if name not in pruned or key == name:
            kept[key] = array
        elif key.endswith("_orig"):
            kept[name] = array * tensors[f"{name}_mask"]
    return kept, tuple(pruned)


def is_masked(tensors, mask):
    """Whether the tensor of that key is the mask of another, of its shape."""
    masked = tensors.get(mask.removesuffix("_mask") + "_orig")
    return masked is not None and masked.shape == tensors[mask].shape and mask.removesuffix("_mask") not in tensors


def refuse_computed(tensors):
    """UnsupportedError for weights that PyTorch computes from others at each call."""
    for key in tensors:
        for part in key.split("."):
            if part in COMPUTED or part.endswith("_orig"):
                what = COMPUTED.get(part, "a reparametrisation")
                raise UnsupportedError(f"{quoted([key])} is a part of {what}: the weight itself is computed from it at each "
                                       "call; make it permanent with PyTorch (torch.nn.utils.remove_weight_norm, "
                                       "parametrize.remove_parametrizations, prune.remove) and save again")


def with_backbone(names):
    """A function that puts mmpretrain's prefix before the keys of a backbone alone; one that changes nothing for others."""
    bare = [match for match in map(BARE_BACKBONE.fullmatch, names) if match]
    if not bare or any(f".{key}".find(f".{BACKBONE}") >= 0 for key in names):
        return lambda key: key
    prefix = bare[0][1] or ""
    return lambda key: prefix + BACKBONE + key.removeprefix(prefix) if key.startswith(prefix) else key


# ------------------------------------------------------------------------------------------------- two Sequentials


def as_sequentials(names, tensors):
    """Keys of convolutions and dense layers under any names → under torchvision's, and what was taken for which.

    The convolutions have to be numbered in one Sequential.  The dense layers may be numbered in the same one or in another, be
    one module, or be several with numbers in their names.  Unchanged where it is otherwise.
    """
    kernels = [key for key, array in tensors.items() if key.endswith(".weight") and array.ndim == 4]
    places = {place_of(key) for key in kernels}
    if len(places) != 1 or None in places or not all(TWO.fullmatch(key) for key in kernels):
        return names, []
    (features,) = places
    dense = [key for key, array in tensors.items() if key.endswith(".weight") and array.ndim == 2]
    new, where = dense_places(dense, tensors, features)
    if new is None:
        return names, []
    changed, remarks = {}, []
    for key, name in names.items():
        module, _, field = key.rpartition(".")
        usual = f"features.{module.rpartition('.')[2]}" if place_of(key) == features else module
        target = new.get(module, usual)
        changed[f"{target}.{field}" if module else key] = name
    if len(changed) != len(names):
        raise BadFileError("two of its keys name the same module of a VGG; give a checkpoint of one network")
    if (features, where) not in (("features", "classifier"), ("features", None)):
        behind = f", its dense layers under {quoted([where])}" if where not in (None, "", features) else ""
        numbers = f"under {quoted([features])}" if features else "numbered without a name"
        remarks.append(f"its convolutions are {numbers}{behind}")
    if any("." in module.removeprefix(f"{where}.") for module in new if where != module):
        remarks.append(f"the last module in {quoted([where])} is a Sequential, whose modules were counted on")
    return changed, remarks


TWO = re.compile(r"(?:.*\.)?\d{1,4}\.weight")


def place_of(key):
    """'features.0.weight' → 'features', '0.weight' → '', 'classifier.weight' → None: the Sequential of a module."""
    place, _, position = key.rpartition(".")[0].rpartition(".")
    return place if position.isdigit() and len(position) < 5 else None


def dense_places(dense, tensors, features):
    """The keys of dense layers → ({module of theirs: torchvision's}, the name of what holds them).

    ({}, None) without dense layers; (None, None) where they cannot be put into one order.
    """
    modules = [key.removesuffix(".weight") for key in dense]
    if not modules:
        return {}, None
    paths = [tuple(module.split(".")) for module in modules]
    shared = 0
    while len(paths) > 1 and all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    if len(paths) == 1:
        shared = next((depth for depth, part in enumerate(paths[0]) if part.isdigit()), len(paths[0]))
    where = ".".join(paths[0][:shared])
    inner = [path[shared:] for path in paths]
    if all(path and all(part.isdigit() for part in path) for path in inner):
        return numbered(where, features, tensors, dense), where
    if len(modules) == 1:
        return {modules[0]: "classifier.0"}, modules[0]
    numbers = [re.fullmatch(r"(.*\D)(\d{1,2})", path[0]) if len(path) == 1 else None for path in inner]
    if None in numbers or len({match[1] for match in numbers}) > 1:
        return None, None
    ordered = sorted(zip([int(match[2]) for match in numbers], modules))
    return {module: f"classifier.{BETWEEN * number}" for number, (_, module) in enumerate(ordered)}, where


def numbered(where, features, tensors, dense):
    """The modules of the Sequential `where` → torchvision's: those of a Sequential in it counted on.

    They count from the first dense layer where the convolutions are in the same one, or in a Sequential of it; None where
    another Sequential in it is not its last module.
    """
    front = f"{where}." if where else ""
    positions, first = {}, 0
    for key in tensors:
        module = key.rpartition(".")[0]
        path = module.removeprefix(front).split(".")
        if module.startswith(front) and all(part.isdigit() for part in path):
            positions[tuple(map(int, path))] = module
    if where != features:
        positions = {path: module for path, module in positions.items() if not module.startswith(f"{features}.")}
    if f"{features}.".startswith(front):
        first = min(path[0] for path, module in positions.items() if f"{module}.weight" in dense)
        positions = {path: module for path, module in positions.items() if path[0] >= first}
    if any(path[:depth] == other[:depth] and other[depth:depth + 1] > path[depth:depth + 1]
           for path in positions for depth in range(len(path) - 1) for other in positions):
        return None
    return {module: f"classifier.{sum(path) - first}" for path, module in positions.items()}
