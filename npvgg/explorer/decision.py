"""Why this class: what each input of the last dense layer gives to its logit.

    logit = bias + Σ_k weight[class, k] · feature[k]
"""
import json
from dataclasses import dataclass

import numpy as np

from npvgg import text_table
from npvgg.errors import UnsupportedError
from npvgg.explorer.explanation import Explanation, Term, explain, finite, number
from npvgg.explorer.photograph import Photograph
from npvgg.explorer.targets import best_class, of_class
from npvgg.explorer.weighted_sum import exact_sum

MOST = 10


@dataclass(frozen=True, eq=False)
class Decision:
    """The logit of one class as a sum of contributions, `sign` times those of the output that stands for it.

    A network with one output tells two classes apart, and the logit of the first is −z.
    """

    label: str
    explanation: Explanation
    probability: float
    sign: int = 1

    @property
    def logit(self) -> float:
        """The kernel's logit of the class."""
        return self.sign * self.explanation.kernel

    @property
    def contributions(self) -> np.ndarray:
        """(features,) float64: what each input of the last dense layer gives to the logit."""
        return self.sign * self.explanation.products

    def terms(self, most: int | None = None) -> list[Term]:
        """The inputs, the largest contribution in size first, all or so many."""
        return [term._replace(weight=self.sign * term.weight, product=self.sign * term.product)
                for term in self.explanation.terms(most)]

    def part(self, most: int = MOST) -> float:
        """The sum of the `most` largest contributions in size."""
        return exact_sum([term.product for term in self.terms(most)])

    def to_json(self) -> str:
        """One line of JSON: the class, its logit and every input by contribution."""
        return json.dumps(finite({
            "label": self.label, "logit": self.logit, "probability": self.probability, "layer": self.explanation.layer,
            "bias": self.sign * self.explanation.bias, "sum": self.sign * self.explanation.sum, "gap": self.explanation.gap,
            "bound": self.explanation.bound, "top_ten": self.part(),
            "contributions": [{"place": list(term.place), "given": term.given, "weight": term.weight, "gives": term.product}
                              for term in self.terms()]}), allow_nan=False)

    def table(self, width: int | None = None, most: int = MOST) -> str:
        """The lines of the table: the largest contributions, how much they give together, the bias and the logit."""
        terms, total = self.terms(most), self.contributions.size
        axes = ("channel", "row", "column") if self.explanation.map_shape else ("input",)
        gap = [""] * (len(axes) + 1)
        rows = [(*map(str, term.place), number(term.given), number(term.weight), number(term.product)) for term in terms]
        rows.append((f"these {len(terms)}", *gap, number(self.part(most))))
        if total > len(terms):
            rest = exact_sum([*self.contributions.tolist(), *(-term.product for term in terms)])
            rows.append((f"{total - len(terms):,} more", *gap, number(rest)))
        rows.append(("bias", *gap, number(self.sign * self.explanation.bias)))
        rows.append(("logit", *gap, number(self.sign * self.explanation.sum)))
        facts = {self.label: f"{self.probability:.2%}, logit {number(self.logit)}, in {self.explanation.network}",
                 "by": f"{total:,} inputs of {self.explanation.layer}, given by {self.explanation.given}"}
        below = {"by the kernel": f"{number(self.logit, 9)}, {self.explanation.gap:.1e} away; rounding makes at most "
                                  f"{self.explanation.bound:.1e}"}
        return "\n".join([*text_table.definitions(facts, width), "",
                          *text_table.render((*axes, "given", "weight", "gives"), rows, left=(), width=width), "",
                          *text_table.definitions(below, width)])

    def __str__(self):
        return self.table()


def why(vgg, image, label: str | int | None = None) -> Decision:
    """One picture and a class, by its name or number → its Decision; None: the class that the network names.

    UsageError for a class that there is not; UnsupportedError for a network without class scores; the errors of `explain`.
    """
    vgg.require_classifier()
    last = vgg.architecture.layers[-1]
    if last.op != "dense":
        raise UnsupportedError(f"the last layer of this {vgg.architecture.name} is {last.name}, and not a dense one whose "
                               "inputs could be told apart; explain a dense layer before it")
    photograph = Photograph.of(image, vgg.preset)
    logits = vgg(photograph.picture)
    target = of_class(vgg, best_class(logits, vgg.architecture) if label is None else label)
    explanation = explain(vgg, photograph.picture, last.name, target.index[0])
    chance = float(vgg.probabilities(logits)[0][target.index])
    if vgg.architecture.num_classes == 1 and target.sign < 0:
        chance = 1 - chance
    return Decision(target.name, explanation, chance, target.sign)
