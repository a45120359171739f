"""What a layer is: data that every consumer reads."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One step: the kernel `op`, called with the parameters stored under `name` and with `options`."""

    op: str
    name: str
    shapes: tuple = ()            # (("weight", (O, C, kh, kw)), ("bias", (O,))), in the order the kernel takes them
    options: tuple = ()           # (("padding", 1),)

    def arrays(self, parameters: dict) -> list:
        """Its own among {"conv1_1/weight": array, …}, in the order in which the kernel takes them."""
        return [parameters[f"{self.name}/{kind}"] for kind, _ in self.shapes]


def norm_layer(op: str, name: str, count: int, eps: float) -> Layer:
    """A batch norm of `count` channels or features."""
    return Layer(op, name, tuple((kind, (count,)) for kind in ("weight", "bias", "mean", "var")), (("eps", eps),))
