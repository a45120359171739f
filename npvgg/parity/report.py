"""What a comparison found, for people and for programs: the first wrong layer, its cause, one line a layer."""
import json
import math
from dataclasses import asdict, dataclass

from npvgg import text_table
from npvgg.parity import page
from npvgg.parity.diagnosis import Cause
from npvgg.parity.facts import sizes
from npvgg.parity.layer_table import cells, headings, number
from npvgg.parity.verdicts import DIVERGES, FOLLOWS, Row
from npvgg.text import counted, listed

MOST_FINDINGS = 8                         # in the text; JSON and HTML hold all


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    rows: tuple                           # of Row, in the order of the data
    first: Row | None                     # the first layer with an error of its own
    findings: tuple                       # of Finding, one for each run that errs in a layer
    notes: tuple                          # how names and layouts were understood
    a: str                                # what the runs say about themselves
    b: str
    only_in_a: tuple
    only_in_b: tuple

    @property
    def diverges(self) -> bool:
        """Whether any layer is wrong."""
        return self.first is not None

    @property
    def run(self) -> str | None:
        """The run that is wrong in the first wrong layer, "A" or "B"; None where both are, or nobody knows."""
        runs = {finding.run for finding in self.findings if self.first and finding.layer == self.first.name}
        return runs.pop() if len(runs) == 1 else None

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Every mistake that was found, those of the first wrong layer first; one that several layers make is one."""
        first_of: dict[tuple, Cause] = {}
        for finding in self.findings:
            for cause in finding.causes:
                first_of.setdefault((cause.run, cause.mistake), cause)
        return tuple(first_of.values())

    def layers_of(self, cause: Cause) -> list[str]:
        """The layers that make one mistake."""
        return [other.layer for finding in self.findings for other in finding.causes
                if (other.run, other.mistake) == (cause.run, cause.mistake)]

    def text(self, width: int | None = None) -> str:
        """The verdict, then one line a layer, on a terminal of so many columns (`text_table`)."""
        verdict = [part for line in self.headline() for part in text_table.wrapped(line, width, 2 + 2 * line.startswith(" "))]
        return "\n".join([*verdict, "", *self.table(width)])

    def headline(self):
        """The lines above the table."""
        if self.first is None:
            measured = [row for row in self.rows if row.difference is not None]
            worst = max(measured, key=lambda row: row.difference.largest_relative)
            yield (f"agree: {counted(len(self.rows), 'layer')} within {self.tolerances}; the largest gap is "
                   f"{number(worst.difference.largest_relative)} of the largest value, at {worst.name}")
        else:
            yield f"DIVERGE first at {self.first.name}: {reason(self.first)}"
            yield from self.explanations()
            agreed = self.rows.index(self.first)
            follow = sum(row.verdict == FOLLOWS for row in self.rows)
            yield (f"  {counted(agreed, 'layer')} before it {'agrees' if agreed == 1 else 'agree'}"
                   + (f"; the gap of {counted(follow, 'layer')} comes from before" if follow else ""))
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

    def explanations(self):
        """The causes, each with its evidence and what to do about it, and what is known where there is none."""
        for cause in self.causes[:MOST_FINDINGS]:
            also = self.layers_of(cause)[1:]
            yield f"  {cause.name}" + (f"; so are {listed(also)}" if also else "")
            yield f"    {cause.evidence}"
            yield f"    → {cause.remedy}"
        unknown = [finding for finding in self.findings if not finding.causes]
        for finding in unknown[:MOST_FINDINGS]:
            who = f"{finding.run} is wrong at {finding.layer}" if finding.run else f"at {finding.layer} the runs part"
            yield f"  {who}; no known mistake reproduces it"
            yield from (f"    {fact}" for fact in finding.facts)
        left = max(0, len(self.causes) - MOST_FINDINGS) + max(0, len(unknown) - MOST_FINDINGS)
        if left:
            yield f"  and {left} more, which --json and --html list"

    @property
    def has_own_errors(self) -> bool:
        """Whether any layer was judged by its own error."""
        return any(row.own_a is not None or row.own_b is not None for row in self.rows)

    @property
    def tolerances(self) -> str:
        """The tolerances that were used, as text: "0.0001", or "1e-10 or 0.0001"."""
        return " or ".join(f"{tolerance:g}" for tolerance in sorted({row.tolerance for row in self.rows}))

    def table(self, width: int | None = None) -> list[str]:
        """The lines of the table: headings and a row for each layer; own errors are in what rounding explains."""
        heads = headings(self.has_own_errors)
        rows = [cells(row, self.has_own_errors) for row in self.rows]
        return text_table.render(heads, rows, left=(0, 1, len(heads) - 1), width=width)

    def as_dict(self) -> dict:
        """The same as plain values for JSON; infinite gaps, which JSON lacks, are null.

        {"verdict": "agree" or "diverge", "first": the first wrong layer or null, "run": "A" or "B" where that one alone is
        wrong there, "causes": [{"name", "layer", "evidence", …}], "findings": [one object a wrong layer and run], "layers":
        [one object a layer], …}
        """
        return {
            "verdict": "diverge" if self.diverges else "agree", "diverges": self.diverges,
            "first": self.first and self.first.name, "run": self.run,
            "causes": [{"name": cause.name, "layer": cause.layer, "layers": self.layers_of(cause), "run": cause.run,
                        "evidence": cause.evidence, "explained": cause.explained, "residual": finite(cause.residual),
                        "remedy": cause.remedy} for cause in self.causes],
            "findings": [{"layer": finding.layer, "run": finding.run, "causes": [cause.name for cause in finding.causes],
                          "facts": list(finding.facts)} for finding in self.findings],
            "notes": list(self.notes), "a": self.a, "b": self.b, "only_in_a": list(self.only_in_a),
            "only_in_b": list(self.only_in_b), "layers": [plain(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """What `as_dict` gives as one line of JSON, which is what `npvgg parity --json` prints."""
        return json.dumps(self.as_dict(), allow_nan=False)

    def to_html(self) -> str:
        """A page for a browser, complete in itself, with maps of the errors (`page`)."""
        return page.page(self)


def reason(row: Row) -> str:
    """Why this layer is wrong, for the first line."""
    if row.difference is None:
        return f"A has shape {sizes(row.shapes[0])}, B {sizes(row.shapes[1])}"
    if math.isinf(row.difference.largest_gap):
        return "NaN or infinity stands in one of the two where the other has another value"
    gap = (f"the largest gap is {number(row.difference.largest_relative)} of the largest value and the rms gap "
           f"{number(row.difference.rms_relative)} of the rms")
    if row.verdict == DIVERGES:
        return gap + (f", where {row.tolerance:g} is allowed" if row.gap > row.tolerance else
                      ", many times that of the layers before")
    own = " and ".join(f"{which}'s own error is {times(error)} what rounding explains"
                       for which, error in (("A", row.own_a), ("B", row.own_b)) if which in row.wrong and error is not None)
    return f"{own or 'it is not what was prepared'}; {gap}"


def times(error: float) -> str:
    """An own error as text: "1,200 times", or for another shape "beyond all"."""
    return f"{error:,.3g} times" if error < 1e4 else f"{error:.1e} times" if math.isfinite(error) else "beyond"


def plain(row: Row) -> dict:
    """A Row → a dict of values that JSON can hold."""
    values = {"name": row.name, "verdict": row.verdict, "tolerance": row.tolerance, "shape_a": list(row.shapes[0]),
              "shape_b": list(row.shapes[1]), "own_a": finite(row.own_a), "own_b": finite(row.own_b),
              "argmax_flips": row.argmax_flips}
    if row.difference is not None:
        values |= {key: finite(value) for key, value in asdict(row.difference).items()}
    return values


def finite(value: float | None) -> float | None:
    """A number, None where JSON has none for it."""
    return value if value is not None and math.isfinite(value) else None
