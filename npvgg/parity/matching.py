"""Two runs → the arrays that belong together, under one name each and in one layout; what was done is said.

    names     the paper's, torchvision's, timm's, mmpretrain's, Keras' or Caffe's (`layer_names.understood`)
    order     where a run has no names, or names that nobody knows: layers are matched by the order and shapes of both runs
    layout    maps (N, H, W, C) are turned to (N, C, H, W), 1×1 maps that stand for vectors to (N, C)

Whatever allows two answers is refused.  Values decide nothing but this: of layers of one shape, of which one run has fewer,
those are left out that repeat the array before them (dropout at rest, a pooling that changes nothing), and then those with
and without negative numbers are told apart.
"""
from dataclasses import dataclass

import numpy as np

from npvgg import layer_names
from npvgg.architecture import BLOCKS, Architecture
from npvgg.errors import ShapeError, UsageError
from npvgg.network import VGG
from npvgg.parity.alignment import aligned, vector
from npvgg.parity.runs import Run
from npvgg.text import counted, listed


@dataclass(frozen=True, eq=False)
class Matched:
    """Two runs with one name for each layer that both have."""

    a: dict
    b: dict
    notes: tuple = ()                     # what was understood, in sentences


def matched(a: Run, b: Run, net: Architecture | None, network: VGG | None = None) -> Matched:
    """Two runs, and their architecture or network where they are known → Matched.  UsageError where no layer is in both for
    certain."""
    notes = []
    ours, reference = (named(run, which, net, network, notes) for which, run in (("A", a), ("B", b)))
    if network is not None and ours is None and reference is None:
        ours, reference = (named_by_run(run, which, network, notes) for which, run in (("A", a), ("B", b)))
    if ours and reference:
        pair = ours, reference
    elif a.has_names and b.has_names and shared(a.arrays, b.arrays):
        notes, pair = [], (a.arrays, b.arrays)
    elif (ours or reference or not (a.has_names and b.has_names)) and a.has_order and b.has_order:
        return in_order(a, b, ours, reference, net, notes)
    else:
        pair = a.arrays, b.arrays
    if not pair[0].keys() & pair[1].keys():
        raise UsageError(f"the runs have no layer in common: A holds {listed(a.arrays)}, B holds {listed(b.arrays)}; give the "
                         "network, or the layers under the paper's names, or a list of arrays to have them matched in order")
    return in_one_layout(*pair, net, notes)


def shared(a: dict, b: dict) -> bool:
    """Whether half of the names of the smaller run, or more, are in the other one too."""
    return 2 * len((a.keys() & b.keys()) - {"input"}) >= min(len(a), len(b)) > 0


def named(run: Run, which: str, net: Architecture | None, network: VGG | None, notes: list) -> dict | None:
    """A run's {paper name: array}, with what nobody knows under its own name; None where its names say nothing.

    Names of another program count its modules, so that one which was left out moves all behind it.
    """
    if not run.has_names:
        return None
    if net is None:
        return run.arrays if layer_names.are_papers(run.arrays) else None
    whose, names = layer_names.understood(net, run.arrays)
    if not names:
        return None
    arrays = {}
    for name, array in run.arrays.items():
        if names.get(name, name) in arrays:
            raise UsageError(f"{which} holds {names.get(name, name)} twice, once as {name}; leave one of them out")
        arrays[names.get(name, name)] = array
    if arrays.keys() != run.arrays.keys():
        if network is not None and is_miscounted(arrays, net):
            counted_anew = named_by_run(run, which, network, notes)
            if counted_anew is not None:
                return counted_anew
        notes.append(f"{which}'s names are {whose}")
    return arrays


def is_miscounted(arrays: dict, net: Architecture) -> bool:
    """Whether maps have the channels of other layers than their names say, or the last of them is missing."""
    channels = channels_of(net)
    maps = {name: array for name, array in arrays.items() if name in channels and array.ndim == 4}
    wrong = [name for name, array in maps.items() if channels[name] not in (array.shape[1], array.shape[3])]
    return bool(wrong) or f"pool{BLOCKS}" not in arrays and {"conv1_1", "relu1_1"} <= arrays.keys()


def named_by_run(run: Run, which: str, network: VGG, notes: list) -> dict | None:
    """A run under the names of the layers that the network gives for its input, whatever its own names; None where it has no
    input, or the layers cannot be told apart.  Where it has fewer, convolutions and dense layers are those that it has."""
    x = next(iter(run.arrays.values()))
    if not run.has_order or x.ndim != 4 or x.shape[1] != network.architecture.input_channels:
        return None
    try:
        own = {"input": x} | network.trace(np.ascontiguousarray(x, network.dtype))
        kept = {layer.name for layer in network.architecture.layers if layer.op in ("conv2d", "dense")}
        pairs = aligned(run.arrays, own, kept)
    except (ShapeError, UsageError):
        return None
    notes.append(f"{which}'s names are not those of this network: {counted(len(pairs), 'layer')} matched with its layers by "
                 "order and shape, and by sign where layers are missing")
    return renamed(run.arrays, dict(pairs), which)


# ------------------------------------------------------------------------------------------------- layout


def in_one_layout(a: dict, b: dict, net: Architecture | None, notes: list) -> Matched:
    """Runs with common names → Matched, both channels first."""
    channels = channels_of(net) if net else {}
    turned = [set(), set()]
    for names in ({"input"}, (a.keys() | b.keys()) - {"input"}):      # some networks turn their input themselves
        for place, is_last in enumerate(channels_last(*({name: run[name] for name in run if name in names} for run in (a, b)),
                                                      channels)):
            turned[place] |= names if is_last else set()
    a, b = (channels_first(run, names, which, notes) for run, names, which in ((a, turned[0], "A"), (b, turned[1], "B")))
    vectors = {name for name in a.keys() & b.keys() if a[name].shape != b[name].shape and vector(a[name]) == vector(b[name])}
    if vectors:
        notes.append(f"1×1 maps are compared with vectors: {listed(name for name in a if name in vectors)}")
    a, b = ({name: array.reshape(vector(array)) if name in vectors else array for name, array in run.items()} for run in (a, b))
    return Matched(a, b, tuple(notes))


def channels_last(a: dict, b: dict, channels: dict) -> tuple[bool, bool]:
    """Whether the maps of each run have their channels last, by how many there should be, or by the other run."""
    found = tuple(layout({name: array.shape for name, array in run.items()}, channels) == {3} for run in (a, b))
    relative = relative_layout(a, b), relative_layout(b, a)
    return relative if not any(found) and not all(relative) else found


def channels_of(net: Architecture) -> dict:
    """{"input": 3, "conv1_1": 64, …}: the channels of every layer that gives maps."""
    channels = {"input": net.input_channels}
    count = net.input_channels
    for layer in net.layers:
        if layer.op == "flatten":
            break
        count = layer.shapes[0][1][0] if layer.op == "conv2d" else count
        channels[layer.name] = count
    return channels


def layout(shapes: dict, channels: dict) -> set:
    """{name: shape} and how many channels there should be → the axes, 1 and 3, that are right where only one of them is."""
    places = [[axis for axis in (1, 3) if shape[axis] == channels[name]]
              for name, shape in shapes.items() if name in channels and len(shape) == 4]
    return {axes[0] for axes in places if len(axes) == 1}


def relative_layout(run: dict, other: dict) -> bool:
    """Whether the maps of a run have the shapes of the other's with the channels last, and none that fits only as it is."""
    pairs = [(array.shape, other[name].shape) for name, array in run.items()
             if name in other and array.ndim == other[name].ndim == 4]
    as_they_are = any(a == b and first(a) != b for a, b in pairs)
    return not as_they_are and any(a != b and first(a) == b for a, b in pairs)


def first(shape: tuple) -> tuple:
    """(N, H, W, C) → (N, C, H, W); other shapes as they are."""
    return (shape[0], shape[3], *shape[1:3]) if len(shape) == 4 else shape


def channels_first(run: dict, names: set, which: str, notes: list) -> dict:
    """{name: array} with maps (N, H, W, C) under these names → with (N, C, H, W); a flattened copy of one of them likewise."""
    maps = {name: array for name, array in run.items() if name in names and array.ndim == 4}
    if not maps:
        return run
    what, verb = ("input has its", "is") if maps.keys() == {"input"} else ("maps have their", "are")
    notes.append(f"{which}'s {what} channels last (N, H, W, C) and {verb} compared as (N, C, H, W)")
    turned = {}
    for name, array in run.items():
        turned[name] = np.moveaxis(array, 3, 1) if name in maps else array
        if array.ndim == 2:
            same = next((y for y in maps.values() if np.array_equal(y.reshape(len(y), -1), array)), None)
            if same is not None:
                turned[name] = np.moveaxis(same, 3, 1).reshape(array.shape)
                notes.append(f"so is {which}'s {name}, which is flattened as (H, W, C)")
    return turned


# ------------------------------------------------------------------------------------------------- order


def in_order(a: Run, b: Run, ours: dict | None, reference: dict | None, net: Architecture | None, notes: list) -> Matched:
    """Runs of which one at least (`ours` or `reference` is None) has no names that say anything → Matched."""
    nameless = [which for which, arrays in (("A", ours), ("B", reference)) if arrays is None]
    plain = [run.arrays if arrays is None else arrays for run, arrays in ((a, ours), (b, reference))]
    ways = [(*plain, [])]
    for place, which in enumerate("AB"):
        said = []
        runs = [*plain]
        runs[place] = channels_first(runs[place], set(runs[place]), which, said)
        ways.append((*runs, said))
    ours, reference, said = max(ways, key=lambda way: maps_in_common(*way[:2]))           # as they are, of equals
    pairs = aligned(ours, reference)
    notes.append(f"{' and '.join(nameless)} {'has' if len(nameless) == 1 else 'have'} no names that npvgg knows: "
                 f"{counted(len(pairs), 'layer')} matched by order and shape, and by sign where layers are missing")
    has_b_names = nameless == ["A"] or nameless == ["A", "B"] and b.has_names
    names = {left: right if has_b_names else left for left, right in pairs}
    ours = renamed(ours, names, "A" if "A" in nameless else "")
    reference = renamed(reference, {right: names[left] for left, right in pairs}, "B" if "B" in nameless else "")
    return in_one_layout(ours, reference, net, [*notes, *said])


def renamed(run: dict, names: dict, nameless: str) -> dict:
    """A run with the names of its matched layers; what else is in a run without names is said to be of that run."""
    return {names.get(name, f"{name} of {nameless}" if nameless else name): array for name, array in run.items()}


def maps_in_common(a: dict, b: dict) -> int:
    """How many shapes of maps occur in both."""
    ours, reference = ({array.shape for array in run.values() if array.ndim == 4} for run in (a, b))
    return len(ours & reference)
