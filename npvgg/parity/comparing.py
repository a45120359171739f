"""Two runs → where they part, which of them is wrong there, and by which mistake.

Layers are matched as `matching` says and taken in the order of the network, or where it is not known of A.  Layers that only
one run holds are named and not judged: what lies between two layers that both have is one stage.
"""
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from npvgg.architecture import Architecture
from npvgg.checks import is_number
from npvgg.errors import UsageError
from npvgg.gap import FLOAT32_BOUND, largest
from npvgg.images import Preset
from npvgg.network import VGG
from npvgg.parity import input_diagnosis, matching, runs
from npvgg.parity.diagnosis import Cause, Finding, diagnosed
from npvgg.parity.facts import facts, rms
from npvgg.parity.own_error import own_errors
from npvgg.parity.profile import profile
from npvgg.parity.relations import relations
from npvgg.parity.report import Comparison
from npvgg.parity.stages import OUTPUT, units_of
from npvgg.parity.verdicts import DIVERGES, FOLLOWS, WRONG, Row, measured, with_verdicts
from npvgg.text import counted, listed


@np.errstate(all="ignore")                   # NaN and infinities are findings, not accidents
def compare(a: object, b: object, network: VGG | None = None, *, tolerance: float | None = None,
            picture: object = None) -> Comparison:
    """Two runs, each a file, {layer: array} or a list of arrays (`runs`) → Comparison.

    With the VGG whose weights both were meant to use as `network`, each layer of each run is judged by its own error.
    With `picture`, the file that the inputs were prepared from or a list of one for each, mistakes of resizing and cropping
    can be told apart.  `tolerance`: the largest gap of any layer, over its largest value, at which the runs agree.  UsageError
    where an argument makes no sense or no layer is in both; the errors of `runs.opened` and `images.batch` for what cannot be
    read.
    """
    if tolerance is not None and (not is_number(tolerance) or tolerance < 0):
        raise UsageError(f"tolerance is {tolerance!r:.80}; give a number of at least 0, for example 1e-4")
    if network is not None and not isinstance(network, VGG):
        raise UsageError(f"network is of type {type(network).__name__}; give a VGG, as npvgg.load(\"vgg16.h5\") gives it")
    given = runs.opened(a, "A"), runs.opened(b, "B")
    net = next((known.architecture for known in (network, *given) if known and known.architecture), None)
    pair = matching.matched(*given, net, network)
    pair = with_output(pair, net) if net else pair
    names = in_order_of_data(pair, given, net)
    notes, both = list(pair.notes), [{name: arrays[name] for name in names} for arrays in (pair.a, pair.b)]
    lend_input(*both, pair, notes)
    units = [units_of(arrays, run.dtype) for arrays, run in zip(both, given)]
    parameters = network.parameters if network else {}
    own = []
    for arrays, unit in zip(both, units):
        errors, refusal = own_errors(arrays, net, parameters, unit) if net else ({}, "")
        own.append(errors)
        notes += [refusal] if refusal else []
    rows = with_verdicts([measured(name, pair.a[name], pair.b[name], tolerance) for name in names], own, tolerance is not None)
    rows, findings = explained(rows, both, own, net, parameters, units)
    preset = network.preset if network else preset_of(given)
    pictures = input_diagnosis.checked(picture, preset, both)
    if rows[0].name == "input" and rows[0].is_wrong:
        findings[0] = input_diagnosis.diagnosed(*(arrays["input"] for arrays in both), preset, pictures)
        rows[0] = replace(rows[0], verdict=WRONG.get(findings[0].run, DIVERGES))
    elif pictures:
        notes += input_diagnosis.unlike(both, preset, pictures)
    first = next((row for row in rows if row.is_wrong), None)
    return Comparison(tuple(rows), first, tuple(findings), tuple(dict.fromkeys([*notes, *strangers(rows)])),
                      *(run.about for run in given), tuple(name for name in pair.a if name not in pair.b),
                      tuple(name for name in pair.b if name not in pair.a))


def in_order_of_data(pair: matching.Matched, given: tuple, net: Architecture | None) -> list[str]:
    """The names that both runs of a Matched have, in the order in which the data flows."""
    names = [name for name in pair.a if name in pair.b]
    if not given[0].has_order:
        names = [name for name in pair.b if name in pair.a]
    order = ["input", *(layer.name for layer in net.layers), "prob", OUTPUT.name] if net else []
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=places.get) if places.keys() >= set(names) else names


def with_output(pair: matching.Matched, net: Architecture) -> matching.Matched:
    """Where a run under known names ends with an array that is no layer's, of the last layer's shape and yet another one: it is
    what the network returned, and is compared with the other run's last layer."""
    last = net.layers[-1].name
    for ours, theirs, places in ((pair.a, pair.b, "ab"), (pair.b, pair.a, "ba")):
        name, known = next(reversed(ours)), {layer.name for layer in net.layers} | {"input", "prob"}
        is_known = name in known | theirs.keys() or name.endswith((" of A", " of B"))
        if is_known or last not in ours.keys() & theirs.keys() or ours[name].shape != theirs[last].shape:
            continue
        if not np.array_equal(ours[name], ours[last], equal_nan=True):
            ours = {OUTPUT.name if key == name else key: array for key, array in ours.items()}
            both = {places[0]: ours, places[1]: theirs | {OUTPUT.name: theirs[last]}}
            return replace(pair, **both)
    return pair


def lend_input(ours: dict, theirs: dict, pair: matching.Matched, notes: list) -> None:
    """A run that holds no input is judged from that of the other one."""
    for which, whose, arrays, others in (("A", "B", pair.a, pair.b), ("B", "A", pair.b, pair.a)):
        if "input" in others and "input" not in arrays:
            notes.append(f"{which} holds no input; {whose}'s is taken for it")
            ours["input"] = theirs["input"] = others["input"]


def preset_of(given: tuple) -> Preset | None:
    """The preset that a trace names."""
    text = next((run.preset_json for run in given if run.preset_json), "")
    return Preset.from_json(text) if text else None


def explained(rows: list[Row], both: list[dict], own: list[dict], net: Architecture | None, parameters: Mapping,
              units: list[dict]) -> tuple[list[Row], list[Finding]]:
    """Rows, and what is known of the runs → rows, of which consequences no longer count as wrong, and a Finding for each that
    does."""
    kept, findings, covered = [], [], {"A": set(), "B": set()}
    for place, row in enumerate(rows):
        found, runs_left = [], ""
        for side, which in enumerate("AB"):
            if which in row.wrong:
                finding, covers = diagnosed(which, own[side][row.name], both[side], net, parameters, units[side])
                if row.name in covered[which] and finding.causes:
                    continue
                covered[which] |= {later.name for later in rows[place + 1:place + 1 + covers]}
                found.append(finding)
                runs_left += which
        if row.verdict == DIVERGES:
            found.append(parted(row, both, net))
        if row.is_wrong and not found:
            row = replace(row, verdict=FOLLOWS)
        elif runs_left and runs_left != row.wrong:
            row = replace(row, verdict=WRONG[runs_left])
        kept.append(row)
        findings += found
    return kept, findings


def parted(row: Row, both: list[dict], net: Architecture | None) -> Finding:
    """A layer that is known by the gap of the two runs only → Finding."""
    a, b = (arrays[row.name] for arrays in both)
    before = list(both[1])[:list(both[1]).index(row.name)]
    maps = next((both[1][name].shape[1:] for name in reversed(before) if both[1][name].ndim == 4), None)
    bound = min(row.tolerance, FLOAT32_BOUND)
    causes = tuple(Cause(said, said, row.name, None, f"equal within {bound:g}", 1.0, 0.0, remedy)
                   for said, remedy in relations(row.name, *both, bound, maps))
    pair = sorted(((np.asarray(array, np.float64), which) for array, which in ((a, "A"), (b, "B"))),
                  key=lambda named: -rms(named[0]))       # the larger as a multiple of the smaller, whichever is called A
    (larger, ours), (smaller, theirs) = pair
    sentences = () if causes else tuple(facts(larger, smaller, bound * largest(smaller.ravel()), ours, theirs))
    return Finding(row.name, None, causes, sentences, profile(larger, smaller))


def strangers(rows: list[Row]) -> list[str]:
    """A sentence where both runs are alike and both are not what the network given computes."""
    alike = [row.name for row in rows if not row.is_wrong and min(row.own_a or 0, row.own_b or 0) > 1]
    return [f"both runs have the same error at {counted(len(alike), 'layer')} ({listed(alike)}): the network given may not be "
            "theirs"] if alike else []
