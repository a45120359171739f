"""What goes wrong with local response normalisation: its four numbers are written differently everywhere."""
from npvgg.parity.catalogue.mistake import Case, Mistake

LRN = ("local_response_norm",)
FORMULA = "x ÷ (k + α/size · Σ x²)^β over `size` channels, with k = 2, α = 1e-4, β = 0.75, size = 5"


def with_options(name: str, change) -> Mistake:
    """A mistake in the numbers: change(options) → those that it makes others."""
    return Mistake(name, LRN, lambda case: case.again(options=change(case.options)), FORMULA)


def other_size(case: Case):
    """More or fewer neighbours."""
    for size in (3, 7, 9, 2, 4):
        for alpha in (case.options["alpha"], case.options["alpha"] * size / case.options["size"]):
            yield case.again(options={"size": size, "alpha": alpha}), {"size": size}


LOCAL_RESPONSE = (
    with_options("with alpha not divided by the size", lambda o: {"alpha": o["alpha"] * o["size"]}),
    with_options("with alpha divided by the size twice", lambda o: {"alpha": o["alpha"] / o["size"]}),
    with_options("with k = 1", lambda o: {"k": 1.0}),
    with_options("with k = 1 and alpha not divided by the size", lambda o: {"k": 1.0, "alpha": o["alpha"] * o["size"]}),
    with_options("with β = 0.5", lambda o: {"beta": 0.5}),
    with_options("with β = 1", lambda o: {"beta": 1.0}),
    Mistake("over {size} channels", LRN, other_size, FORMULA),
)
