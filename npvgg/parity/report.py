"""Two runs → where they part: one line a layer, the first layer that diverges on top.

A is the run that is asked about, B the reference.  Layers are matched as `matching` says and taken in the order of the
network, or where it is not known of A.  A layer diverges if its shapes differ, or if its largest gap ÷ largest value or its
rms gap ÷ rms is more than the tolerance.  Layers that only one run holds are named and not judged.
"""
import json
import math
from dataclasses import asdict, dataclass

from npvgg import text_table
from npvgg.checks import is_number
from npvgg.errors import UsageError
from npvgg.gap import FLOAT32_BOUND
from npvgg.network import VGG
from npvgg.parity import difference, matching, runs, suspects
from npvgg.text import counted

# By the coarser dtype of the two arrays.  Rounding alone, through all layers of VGG-19, stays below 1e-12 in float64.
TOLERANCE = {"float16": 1e-2, "float32": FLOAT32_BOUND, "float64": 1e-10}

HEADINGS = ("layer", "shape", "largest gap", "÷ largest", "rms ÷ rms", "ulp", "flips", "verdict")
EQUAL, CLOSE, DIVERGES = "equal", "ok", "DIVERGES"


def compare(a: object, b: object, network: VGG | None = None, *, tolerance: float | None = None) -> "Comparison":
    """Two runs, each a file, {layer: array} or a list of arrays (`runs`) → Comparison.

    `tolerance` replaces the TOLERANCE of every layer.  With the VGG that made one of the runs as `network`, mistakes in the
    weights can be told apart (see `suspects`).  UsageError where an argument makes no sense or no layer is in both; the
    errors of `runs.opened` for what cannot be read.
    """
    if tolerance is not None and (not is_number(tolerance) or tolerance < 0):
        raise UsageError(f"tolerance is {tolerance!r:.80}; give a number of at least 0, for example 1e-4")
    if network is not None and not isinstance(network, VGG):
        raise UsageError(f"network is of type {type(network).__name__}; give a VGG, as npvgg.load(\"vgg16.h5\") gives it")
    given = runs.opened(a, "A"), runs.opened(b, "B")
    net = next((known.architecture for known in (network, *given) if known and known.architecture), None)
    pair = matching.matched(*given, net)
    ours, reference = pair.a, pair.b
    rows = tuple(judged(name, ours[name], reference[name], tolerance) for name in in_order_of_data(pair, given, net))
    first = next((row for row in rows if row.verdict == DIVERGES), None)
    findings = suspects.Findings()
    if first:
        layers = net.layers if net else ()
        findings = suspects.explain(first.name, ours, reference, first.tolerance, layers, network and network.parameters)
    return Comparison(rows, first, findings, pair.notes, *(run.about for run in given),
                      tuple(name for name in ours if name not in reference),
                      tuple(name for name in reference if name not in ours))


@dataclass(frozen=True)
class Row:
    """One layer in both runs."""

    name: str
    shapes: tuple                         # (A's, B's)
    tolerance: float
    difference: difference.Difference | None          # None where the shapes differ
    argmax_flips: int | None              # see difference.argmax_flips; None unless the arrays are (N, classes)
    verdict: str                          # EQUAL, CLOSE or DIVERGES


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    rows: tuple
    first: Row | None                     # the first layer that diverges
    findings: suspects.Findings           # about its likely cause
    notes: tuple                          # how names and layouts were understood
    a: str                                # what the runs say about themselves
    b: str
    only_in_a: tuple
    only_in_b: tuple

    @property
    def diverges(self):
        """Whether any layer diverges."""
        return self.first is not None

    @property
    def hints(self):
        """The sentences about the likely cause of the first layer that diverges."""
        return self.findings.causes + self.findings.remarks

    def text(self, width=None):
        """The verdict, then one line a layer, on a terminal of so many columns (`text_table`)."""
        verdict = [part for line in self.headline() for part in text_table.wrapped(line, width, 2)]
        return "\n".join([*verdict, "", *self.table(width)])

    def headline(self):
        """The lines above the table."""
        if self.first is None:
            worst = max(self.rows, key=lambda row: row.difference.largest_relative)
            yield (f"agree: {counted(len(self.rows), 'layer')} within {self.tolerances}; the largest gap is "
                   f"{number(worst.difference.largest_relative)} of the largest value, at {worst.name}")
        else:
            agreed = self.rows.index(self.first)
            yield f"DIVERGE first at {self.first.name}: {reason(self.first)}"
            yield from (f"  {hint}" for hint in self.hints)
            yield (f"  {counted(agreed, 'layer')} before it {'agrees' if agreed == 1 else 'agree'}; "
                   f"{sum(row.verdict == DIVERGES for row in self.rows)} of {counted(len(self.rows), 'layer')} diverge")
        logits = self.rows[-1]
        if logits.argmax_flips is not None:
            yield f"arg-max of {logits.name} differs in {logits.argmax_flips} of {counted(logits.shapes[0][0], 'picture')}"
        yield from self.notes
        for which, missing in (("A", self.only_in_a), ("B", self.only_in_b)):
            if missing:
                yield f"not compared, only in {which}: {', '.join(missing)}"
        for which, description in (("A", self.a), ("B", self.b)):
            if description:
                yield f"{which}  {description}"

    @property
    def tolerances(self):
        """The tolerances that were used, as text: "0.0001", or "1e-10 or 0.0001"."""
        return " or ".join(f"{tolerance:g}" for tolerance in sorted({row.tolerance for row in self.rows}))

    def table(self, width=None):
        """The lines of the table: HEADINGS and a row for each layer."""
        return text_table.render(HEADINGS, [cells(row) for row in self.rows], left=(0, 1, len(HEADINGS) - 1), width=width)

    def as_dict(self):
        """The same as plain values for JSON; infinite gaps, which JSON lacks, are null.

        {"verdict": "agree" or "diverge", "first": the first layer that diverges or null, "run": "A" or "B" where the other
        one alone is what npvgg computes there, "causes": [{"name", "layer", "evidence"}], "layers": [one object a layer], …}
        """
        return {
            "verdict": "diverge" if self.diverges else "agree", "diverges": self.diverges,
            "first": self.first and self.first.name, "run": self.findings.wrong,
            "causes": [{"name": cause, "layer": self.first.name, "evidence": f"accounts for all but {self.first.tolerance:g}"}
                       for cause in self.findings.causes],
            "hints": list(self.hints), "notes": list(self.notes), "a": self.a, "b": self.b, "only_in_a": list(self.only_in_a),
            "only_in_b": list(self.only_in_b), "layers": [plain(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """What `as_dict` gives as one line of JSON, which is what `npvgg parity --json` prints."""
        return json.dumps(self.as_dict(), allow_nan=False)


def in_order_of_data(pair, given, net):
    """The names that both runs of a Matched have, in the order in which the data flows."""
    names = [name for name in pair.a if name in pair.b]
    if not given[0].has_order:
        names = [name for name in pair.b if name in pair.a]
    places = {name: place for place, name in enumerate(["input", *(layer.name for layer in net.layers), "prob"] if net else ())}
    return sorted(names, key=places.get) if places.keys() >= set(names) else names


def judged(name, ours, reference, tolerance):
    """Two arrays of one layer → Row."""
    if tolerance is None:
        tolerance = TOLERANCE[difference.coarser(ours.dtype, reference.dtype).name]
    if ours.shape != reference.shape:
        return Row(name, (ours.shape, reference.shape), tolerance, None, None, DIVERGES)
    gap = difference.measure(ours, reference)
    verdict = EQUAL if not gap.unequal else CLOSE if gap.within(tolerance) else DIVERGES
    flips = difference.argmax_flips(ours, reference) if ours.ndim == 2 else None
    return Row(name, (ours.shape, reference.shape), tolerance, gap, flips, verdict)


def reason(row):
    """Why this layer diverges, for the first line."""
    if row.difference is None:
        return f"A has shape {shape(row.shapes[0])}, B {shape(row.shapes[1])}"
    if math.isinf(row.difference.largest_gap):
        return "NaN or infinity stands in one of the two where the other has another value"
    return (f"the largest gap is {number(row.difference.largest_relative)} of the largest value and the rms gap "
            f"{number(row.difference.rms_relative)} of the rms, where {row.tolerance:g} is allowed")


def cells(row):
    """A Row → the texts of its row in the table, under HEADINGS."""
    if row.difference is None:
        return (row.name, f"{shape(row.shapes[0])} | {shape(row.shapes[1])}", "—", "—", "—", "—", "—", row.verdict)
    gap = row.difference
    ulp = f"{gap.ulp:.1f}" if 0 < gap.ulp < 1e4 else number(gap.ulp)
    return (row.name, shape(row.shapes[0]), number(gap.largest_gap), number(gap.largest_relative),
            number(gap.rms_relative), ulp, f"{gap.flips:,}", row.verdict)


def plain(row):
    """A Row → a dict of values that JSON can hold."""
    values = {"name": row.name, "verdict": row.verdict, "tolerance": row.tolerance, "shape_a": list(row.shapes[0]),
              "shape_b": list(row.shapes[1]), "argmax_flips": row.argmax_flips}
    if row.difference is not None:
        values |= {key: value if math.isfinite(value) else None for key, value in asdict(row.difference).items()}
    return values


def number(value):
    """A relative gap as text, with two digits: "1.3e-06"; "0" for 0."""
    return "0" if value == 0 else f"{value:.1e}"


def shape(sizes):
    """(64, 224, 224) → "64×224×224"; () → "scalar"."""
    return "×".join(map(str, sizes)) or "scalar"
