"""Two traces → where they part: one line a layer, the first layer that diverges on top.

A is the run that is asked about, B the reference.  Layers are matched by their paper names and taken in A's order, which
is that of the data.  A layer diverges if its shapes differ, or if its largest gap ÷ largest value or its rms gap ÷ rms is
more than the tolerance.  Layers that only one trace holds are named and not judged.
"""
import math
from dataclasses import asdict, dataclass

from npvgg import text_table
from npvgg.architecture import Architecture
from npvgg.errors import UsageError
from npvgg.gap import FLOAT32_BOUND
from npvgg.parity import difference, suspects
from npvgg.text import counted, listed

# By the coarser dtype of the two arrays.  Rounding alone, through all layers of VGG-19, stays below 1e-12 in float64.
TOLERANCE = {"float16": 1e-2, "float32": FLOAT32_BOUND, "float64": 1e-10}

HEADINGS = ("layer", "shape", "largest gap", "÷ largest", "rms ÷ rms", "ulp", "flips", "verdict")
EQUAL, CLOSE, DIVERGES = "equal", "ok", "DIVERGES"


def compare(ours, reference, *, tolerance=None, network=None):
    """Two traces (`traces.read`, or dicts as `VGG.trace` gives) → Comparison.

    `tolerance` replaces the TOLERANCE of every layer.  With the VGG that made one of the runs as `network`, mistakes in the
    weights can be told apart (see `suspects`).  UsageError where the tolerance makes no sense or no layer is in both.
    """
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise UsageError(f"tolerance is {tolerance!r}; give a number of at least 0, for example 1e-4")
    names = [name for name in ours if name in reference]
    if not names:
        raise UsageError(f"the traces have no layer in common: A holds {listed(ours)}, B holds {listed(reference)}; "
                         "record both under the paper's names")
    rows = tuple(judged(name, ours[name], reference[name], tolerance) for name in names)
    first = next((row for row in rows if row.verdict == DIVERGES), None)
    hints = ()
    if first:
        layers = network.architecture.layers if network else recorded_layers(ours) or recorded_layers(reference)
        hints = suspects.explain(first.name, ours, reference, first.tolerance, layers, network and network.parameters)
    return Comparison(rows, first, tuple(hints), described(ours), described(reference),
                      tuple(name for name in ours if name not in reference),
                      tuple(name for name in reference if name not in ours))


@dataclass(frozen=True)
class Row:
    """One layer in both traces."""

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
    hints: tuple                          # sentences about its likely cause
    a: str                                # what the traces say about themselves
    b: str
    only_in_a: tuple
    only_in_b: tuple

    @property
    def diverges(self):
        """Whether any layer diverges."""
        return self.first is not None

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
        """The same as plain values for JSON; infinite gaps, which JSON lacks, are null."""
        return {
            "diverges": self.diverges, "first": self.first and self.first.name, "hints": list(self.hints),
            "a": self.a, "b": self.b, "only_in_a": list(self.only_in_a), "only_in_b": list(self.only_in_b),
            "layers": [plain(row) for row in self.rows],
        }


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


def recorded_layers(trace):
    """The layers of the architecture that a trace file names; () for a plain dict."""
    text = getattr(trace, "architecture_json", "")
    return Architecture.from_json(text).layers if text else ()


def described(trace):
    """What a trace file says about itself; "" for a plain dict."""
    facts = (getattr(trace, fact, "") for fact in ("path", "model_name", "made_by"))
    return "; ".join(str(fact) for fact in facts if fact)


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
