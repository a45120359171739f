"""Where one number comes from: the window that a layer looked at, the weights, the products, and their sum.

    explanation = explain(vgg, "cat.png", "conv4_3", channel=17, y=5, x=9)
    print(explanation)                       a table for people
    explanation.products                     (512, 3, 3) float64; explanation.window and .weights likewise
    explanation.sum, explanation.kernel      the exact sum, rounded once, and the number that the kernel gave
    explanation.gap <= explanation.bound     is asserted

The products of float32 numbers are exact in float64 and `math.fsum` rounds their sum once, so it is the same in whatever order
they are shown.
"""
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from npvgg import text_table
from npvgg.counting import Row, describe
from npvgg.errors import HashMismatchError, ShapeError, UsageError
from npvgg.explorer import rounding, weighted_sum
from npvgg.explorer.photograph import Photograph
from npvgg.explorer.targets import checked_place, row_of
from npvgg.explorer.weighted_sum import WeightedSum, exact_sum
from npvgg.gap import gaps
from npvgg.layer import Layer
from npvgg.layer_names import PROBABILITIES
from npvgg.runner import ENGINE

ELEMENTWISE = ("batchnorm2d", "batchnorm1d", "relu", "dropout")
MOST = 12                                 # rows of the table


class Box(NamedTuple):
    """Rows top … bottom − 1 and columns left … right − 1."""

    top: float
    left: float
    bottom: float
    right: float


class Term(NamedTuple):
    """One product of the sum."""

    place: tuple[int, ...]                # in the output of the layer before: (channel, row, column), or (feature,)
    given: float
    weight: float
    product: float
    is_border: bool                       # outside the map, where a convolution sees zeros


class Following(NamedTuple):
    """What a layer behind makes of the number."""

    layer: str
    operation: str
    value: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """One number of one layer's output, taken apart.  `sum` is Σ products + bias, and `kernel` what the network computed."""

    network: str
    layer: str
    operation: str
    place: tuple[int, ...]                # (channel, row, column) or (unit,)
    label: str | None                     # the class, where the number is its logit or probability
    given: str                            # the layer before, or "input"
    given_shape: tuple[int, ...]          # of its output: (C, H, W) or (features,)
    map_shape: tuple[int, ...] | None     # of the map that was flattened to it, (C, H, W)
    summed: WeightedSum
    kernel: float
    bound: float                          # of |value − kernel|, see npvgg.explorer.rounding
    field: Box                            # in pixels of the prepared picture, border included
    seen: Box                             # the part of it inside the picture
    on_photograph: Box | None             # that in pixels of the picture as it was given; None for an array (C, H, W)
    step: int | None                      # pixels between the fields of neighbours in the map; None behind the map
    start: tuple[int, int] | None         # where the field of the map's first value begins
    then: tuple[Following, ...]           # batch norm, ReLU and dropout behind it, up to the next layer that looks around
    folded: "Explanation | None" = None   # the batch norm's number as a sum over the same window

    @property
    def window(self) -> np.ndarray:
        """What the layer looked at: (C, kh, kw), a pooling window (1, h, w), or (features,); float64."""
        return self.summed.window

    @property
    def weights(self) -> np.ndarray:
        """What it is weighed with, in the shape of the window."""
        return self.summed.weights

    @property
    def products(self) -> np.ndarray:
        """window · weights; for a soft-max the exponentials."""
        return self.summed.products

    @property
    def bias(self) -> float:
        """What is added to the products."""
        return self.summed.bias

    @property
    def sum(self) -> float:
        """Σ products + bias, rounded once."""
        return exact_sum([*self.products.ravel().tolist(), self.bias])

    @property
    def value(self) -> float:
        """What the layer's number would be without rounding: the sum, or the quotient of which it is the denominator."""
        return self.sum if self.summed.numerator is None else self.summed.numerator / self.sum

    @property
    def gap(self) -> float:
        """|value − kernel|; 0 where both are the same NaN or infinity."""
        return float(gaps(np.array([self.value]), np.array([self.kernel]))[0])

    @property
    def winner(self) -> tuple[int, ...] | None:
        """Where the largest value of a max-pooling's window lies in the map before it, (channel, row, column)."""
        return None if self.summed.winner is None else self.place_of(self.summed.winner)

    def check(self) -> "Explanation":
        """Itself; HashMismatchError where the kernel's number is farther from the sum than rounding can bring it."""
        if not self.gap <= self.bound:
            raise HashMismatchError(f"{self.layer}{list(self.place)} is {self.kernel:.9g} by the kernel and {self.value:.9g} "
                                    f"as a sum, {self.gap:.1e} apart where rounding makes at most {self.bound:.1e}; run "
                                    "`npvgg verify`, and report it")
        return self

    def place_of(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """A place in the window → in the output of the layer before; of a flattened map (channel, row, column)."""
        place = tuple(int(first + at) for first, at in zip(self.summed.corner, index, strict=True))
        return tuple(map(int, np.unravel_index(place[0], self.map_shape))) if self.map_shape else place

    def terms(self, most: int | None = None) -> list[Term]:
        """The products, the largest in size first, all or so many."""
        order = np.argsort(-np.abs(np.nan_to_num(self.products.ravel(), nan=np.inf)), kind="stable")[:most]
        shape = self.window.shape
        terms = []
        for index in zip(*(axis.tolist() for axis in np.unravel_index(order, shape)), strict=True):
            place = self.place_of(index)
            is_border = not self.map_shape and any(not 0 <= at < side for at, side in zip(place, self.given_shape))
            values = (float(array[index]) for array in (self.window, self.weights, self.products))
            terms.append(Term(place, *values, is_border))
        return terms

    def to_json(self) -> str:
        """One line of JSON with every number; NaN and infinities are null."""
        return json.dumps(finite(self.as_dict()), allow_nan=False)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return {
            "network": self.network, "layer": self.layer, "operation": self.operation, "place": list(self.place),
            "label": self.label, "given": self.given, "corner": list(map(int, self.summed.corner)),
            "window": self.window.tolist(), "weights": self.weights.tolist(), "products": self.products.tolist(),
            "bias": self.bias, "sum": self.sum, "numerator": self.summed.numerator, "value": self.value, "kernel": self.kernel,
            "gap": self.gap, "bound": self.bound, "winner": self.winner and list(self.winner), "parts": dict(self.summed.parts),
            "field": self.field._asdict(), "seen": self.seen._asdict(),
            "on_photograph": self.on_photograph and self.on_photograph._asdict(), "step": self.step,
            "start": self.start and list(self.start), "then": [following._asdict() for following in self.then],
            "folded": self.folded and self.folded.as_dict(),
        }

    def table(self, width: int | None = None, most: int = MOST) -> str:
        """The lines of the table: what it sees, the `most` largest products, the sum, and what follows."""
        axes = ("channel", "row", "column") if len(self.place_of((0,) * self.window.ndim)) == 3 else ("input",)
        terms, quotient = self.terms(most), self.summed.numerator is not None
        rows = [(*(f"{at}" for at in term.place), "border" if term.is_border else number(term.given), number(term.weight),
                 number(term.product)) for term in terms]
        rest = self.products.size - len(terms)
        if rest:
            others = exact_sum([*self.products.ravel().tolist(), *(-term.product for term in terms)])
            rows.append((f"{rest:,} more", *[""] * (len(axes) + 1), number(others)))
        if self.bias or self.operation in ("conv2d", "dense"):
            rows.append(("bias", *[""] * (len(axes) + 1), number(self.bias)))
        rows.append(("sum", *[""] * (len(axes) + 1), number(self.sum)))
        headings = (*axes, "given", "weight", "exponential" if self.operation == "softmax" else "product")
        lines = text_table.render(headings, rows, left=(), width=width)
        below = {}
        if quotient:
            below[f"{number(self.summed.numerator)} ÷ sum"] = number(self.value, 9)
        below |= {"by the kernel": f"{number(self.kernel, 9)}, {self.gap:.1e} away; rounding makes at most {self.bound:.1e}"}
        for following in self.then:
            below[following.layer] = number(following.value, 9)
        if self.folded:
            below["folded"] = (f"{self.folded.layer} = Σ given · weight · {number(self.folded.summed.parts['scale'])} + "
                               f"{number(self.folded.bias)} = {number(self.folded.sum, 9)}")
        return "\n".join([*text_table.definitions(self.facts(), width), "", *lines, "", *text_table.definitions(below, width)])

    def facts(self) -> dict[str, str]:
        """{what: words} of where it stands and what it sees."""
        kinds = ("channel", "row", "column") if len(self.place) == 3 else ("unit",)
        where = ", ".join(f"{kind} {at}" for kind, at in zip(kinds, self.place))
        facts = {self.layer: f"{where}{f', {self.label}' if self.label else ''}, in {self.network}", "given": self.given}
        cut = "" if self.field == self.seen else ", cut at the border"
        facts["sees"] = f"{region(self.seen)} of the prepared picture{cut}"
        if self.step is not None:
            height, width = self.field.bottom - self.field.top, self.field.right - self.field.left
            facts["field"] = f"{height}×{width} pixels, every {self.step}, the first from {self.start[0]}"
        if self.on_photograph:
            outer = Box(*map(math.floor, self.on_photograph[:2]), *map(math.ceil, self.on_photograph[2:]))
            facts["photograph"] = region(outer)
        if self.winner:
            facts["winner"] = ", ".join(f"{kind} {at}" for kind, at in zip(("channel", "row", "column"), self.winner))
        facts |= {name: number(value) for name, value in self.summed.parts.items() if self.operation != "softmax"}
        return facts

    def __str__(self):
        return self.table()


def explain(vgg, image, layer: str, channel: int | None = None, y: int | None = None, x: int | None = None) -> Explanation:
    """One number of a layer's output on one picture → its Explanation, checked.

    `image`: one of what `images.batch` takes; `layer` as in `features`, "prob" the probabilities; `channel` a unit where the
    output is flat.  What is left out is where the output is largest.  The kernel's number is that of `features`, and the window
    is what `features` gives of the layer before.  UsageError for a place that is not there; HashMismatchError where the sum is
    not the kernel's number within its bound; the errors of `features`.
    """
    photograph = Photograph.of(image, vgg.preset)
    given = vgg.prepare(photograph.picture)
    if len(given) != 1:
        raise ShapeError(f"{len(given)} pictures were given; explain one at a time")
    last, size = vgg.architecture.layers[-1], given.shape[2:]
    is_probability = isinstance(layer, str) and layer in PROBABILITIES
    if is_probability:
        vgg.require_classifier()
    row = row_of(vgg.architecture, last.name if is_probability else layer, size)
    rows = describe(vgg.architecture, size)
    at = rows.index(row)
    behind = () if is_probability else following_layers(rows, at)
    before = row.layer.name if is_probability else rows[at - 1].layer.name if at else None
    names = [row.layer.name, *(other.layer.name for other in behind), *([before] if before else [])]
    arrays = {name: array[0] for name, array in vgg.runner.features(given, names).items()}
    x_given = arrays[before] if before else given[0]
    output = vgg.probabilities(arrays[row.layer.name][None])[0] if is_probability else arrays[row.layer.name]
    place = place_in(row, output, channel, y, x)
    operation = vgg.architecture.output if is_probability else row.layer.op
    own = {path: array for path, array in vgg.parameters.items() if path.partition("/")[0] == row.layer.name}
    arguments, options = ([], {}) if is_probability else (row.layer.arrays(own), dict(row.layer.options))
    summed = weighted_sum.OPERATIONS[operation](x_given, place, *arguments, **options)
    map_at = map_place(row, rows, place)
    field = Box(*row.field(*map_at))
    seen = Box(max(0, field.top), max(0, field.left), min(size[0], field.bottom), min(size[1], field.right))
    names_of = vgg.class_names if len(vgg.class_names or ()) == len(output) and row.layer is last else None
    was_flattened = at > 0 and row.layer.op == "dense" and rows[at - 1].layer.op == "flatten" and not is_probability
    explanation = Explanation(
        network=vgg.architecture.name, layer=PROBABILITIES[0] if is_probability else row.layer.name, operation=operation,
        place=place, label=names_of[place[0]] if names_of else None, given=before or "input", given_shape=x_given.shape,
        map_shape=rows[at - 1].input_shape if was_flattened else None, summed=summed, kernel=float(output[place]),
        bound=bound_of(vgg, operation, summed, row, x_given, own, place), field=field, seen=seen,
        on_photograph=None if photograph.size is None else Box(*photograph.box(seen)), step=row.stride, start=row.start,
        then=tuple(Following(other.layer.name, other.layer.op, float(arrays[other.layer.name][place])) for other in behind))
    if behind and behind[0].layer.op.startswith("batchnorm"):
        explanation = replace(explanation, folded=folded(explanation, behind[0].layer, vgg.parameters).check())
    return explanation.check()


def following_layers(rows: tuple[Row, ...], at: int) -> tuple[Row, ...]:
    """The layers behind number `at` that change each number by itself."""
    end = at + 1
    while end < len(rows) and rows[end].layer.op in ELEMENTWISE:
        end += 1
    return rows[at + 1:end]


def place_in(row: Row, output: np.ndarray, channel, y, x) -> tuple[int, ...]:
    """The indices that were given, and for those that were not, where the rest of the output is largest."""
    indices = [channel, y, x]
    if output.ndim == 1 and (y, x) not in ((None, None), (0, 0)):
        raise UsageError(f"{row.layer.name} gives {len(output)} numbers without rows and columns; leave out y and x")
    indices = indices[:output.ndim]
    checked_place(row, [0 if index is None else index for index in indices])
    chosen = output[tuple(slice(None) if index is None else slice(index, index + 1) for index in indices)]
    largest = np.unravel_index(np.nanargmax(chosen) if not np.isnan(chosen).all() else 0, chosen.shape)
    return tuple(int(at if index is None else index) for at, index in zip(largest, indices, strict=True))


def map_place(row: Row, rows: tuple[Row, ...], place: tuple[int, ...]) -> tuple[int, int]:
    """A place in a layer's output → the (row, column) whose field it has: of a flattened map that of the feature."""
    if len(place) == 3:
        return place[1:]
    sides = len(row.seen[0]), len(row.seen[1])
    return tuple(map(int, np.unravel_index(place[0], (row.output_elements // math.prod(sides), *sides))[1:]))


def bound_of(vgg, operation: str, summed: WeightedSum, row: Row, given: np.ndarray, own: Mapping[str, np.ndarray],
             place: tuple[int, ...]) -> float:
    """How far rounding can bring the kernel's number from the sum."""
    if summed.numerator is not None:
        spread = float(np.ptp(summed.window))                    # exponents are rounded, and small where they are far apart
        if not math.isfinite(spread):
            return math.inf
        count = summed.products.size + rounding.OTHERS + 2 * (rounding.POWERS + math.ceil(spread))
        return rounding.gamma(count, vgg.dtype) + float(np.finfo(vgg.dtype).tiny)
    bound = rounding.of_sum(summed.products, abs(summed.bias) + summed.hidden, vgg.dtype)
    if operation == "local_response_norm":
        bound *= rounding.POWERS
    layer, is_engine = row.layer, vgg.options.tier == ENGINE and vgg.dtype == np.float32 and vgg.options.algorithm != "direct"
    if operation == "conv2d" and is_engine and dict(layer.shapes)["weight"][2:] == (3, 3):
        bound = max(bound, rounding.of_winograd(given, own[f"{layer.name}/weight"][place[0]], summed.bias, place[1:],
                                                dict(layer.options)["padding"], row.output_shape[1:], vgg.dtype))
    return bound


def folded(explanation: Explanation, norm: Layer, parameters: Mapping[str, np.ndarray]) -> Explanation:
    """The batch norm behind a convolution or dense layer, as a sum over that one's window: its weights times the scale."""
    own = explanation.summed
    arrays = (array[explanation.place[0]:][:1] for array in norm.arrays(parameters))
    alone = weighted_sum.batch_norm(np.array([explanation.sum]), (0,), *arrays, **dict(norm.options))
    scale, dtype = alone.parts["scale"], next(iter(parameters.values())).dtype
    summed = replace(own, weights=own.weights * scale, products=own.products * scale, bias=own.bias * scale + alone.bias,
                     parts=alone.parts)
    bound = abs(scale) * explanation.bound + rounding.of_sum(alone.products, abs(alone.bias) + alone.hidden, dtype)
    return replace(explanation, layer=norm.name, operation=norm.op, summed=summed, kernel=explanation.then[0].value,
                   bound=bound, then=explanation.then[1:])


def region(box: Box) -> str:
    """"rows 0 … 49, columns 12 … 103"."""
    return f"rows {box.top} … {box.bottom - 1}, columns {box.left} … {box.right - 1}"


def number(value: float, digits: int = 6) -> str:
    """A number with so many digits that count."""
    return f"{value:.{digits}g}"


def finite(value: Any) -> Any:
    """The same with None in the place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
