"""What the tensors of a head show of it, and what is taken for granted.

Dense layers and batch norms have tensors.  What lies between has none, so it is read off the gap that it leaves where modules
are numbered by their position in a Sequential, and otherwise is what the paper has there, ReLU and dropout.
"""
from dataclasses import dataclass

from npvgg.architecture import BLOCKS, Architecture
from npvgg.errors import BadFileError

# Modules without tensors between two with: how many → what they are taken for.
BETWEEN = {0: "", 1: "relu", 2: "relu drop"}
BEFORE_THE_FIRST = {0: "", 1: "drop"}     # torchvision's order until 2017
BEHIND_RELU_AND_NORM = {0: "", 1: "drop"}     # a batch norm behind a ReLU has no second one behind it
HIDDEN = 4096                             # outputs of the paper's hidden layers; where the last has so many, it is one


@dataclass(frozen=True)
class Shown:
    """A head as far as its tensors tell, and what they are taken for beyond that."""

    keys: tuple                           # of its tensors that lead to the rest
    inputs: int                           # how many numbers the first of them takes
    tokens: str                           # of the notation (npvgg.heads) from flatten on: "4096 relu drop 1000"
    on_maps: str = ""                     # and before flatten


@dataclass(frozen=True)
class Part:
    """A dense layer or a batch norm."""

    key: str
    inputs: int
    token: str                            # "4096" or "bn"
    position: int = 0                     # in its Sequential


def by_position(parts: list, where: str) -> Shown | None:
    """Parts in the order of their positions in the Sequential called `where` → Shown.

    BadFileError where a gap is wider than what npvgg knows to stand there.
    """
    if not parts:
        return None
    tokens, before, gaps = [], -1, BEFORE_THE_FIRST
    for part in parts:
        gap = part.position - before - 1
        if gap not in gaps:
            raise BadFileError(f"{gap} modules without tensors stand in front of {where}.{part.position}, and npvgg cannot "
                               "tell what they are; say what the head is with --head")
        is_behind_relu = part.token == "bn" and gaps[gap].startswith("relu")
        tokens += [gaps[gap], part.token]
        before, gaps = part.position, BEHIND_RELU_AND_NORM if is_behind_relu else BETWEEN
    return shown(parts, [*tokens, ending(parts)])


def in_turn(parts: list, is_classifier: bool | None = None) -> Shown | None:
    """Parts in the order of the data, each dense layer but the last with ReLU and dropout behind it → Shown.

    `is_classifier`: whether the last gives the classes; None where nothing says so, and the number of its outputs decides.
    """
    if not parts:
        return None
    dense, tokens = [number for number, part in enumerate(parts) if part.token != "bn"], []
    for number, part in enumerate(parts):
        is_hidden = dense and dense[0] <= number < dense[-1] and parts[number + 1].token != "bn"
        tokens += [part.token, "relu drop" if is_hidden else ""]
    return shown(parts, [*tokens, ending(parts) if is_classifier is None else "" if is_classifier else "relu"])


def shown(parts, tokens):
    """Parts of a head and its tokens → Shown, without the tokens that are empty."""
    return Shown(tuple(part.key for part in parts), parts[0].inputs, " ".join(filter(None, tokens)))


def ending(parts):
    """"relu" where the last dense layer has HIDDEN outputs, and so gives features; "" otherwise."""
    return "relu" if parts[-1].token == str(HIDDEN) else ""


def part(key: str, size: tuple, position: int = 0) -> Part:
    """The key and the (outputs, inputs) of a dense layer → Part."""
    return Part(key, size[1], str(size[0]), position)


# ------------------------------------------------------------------------------------------------- the way back


def lacks_before_flatten(net: Architecture) -> str:
    """What stands between pool5 and flatten beside average pooling, as "no …"; "" for nothing."""
    names = [layer.name for layer in net.layers]
    behind = net.layers[names.index(f"pool{BLOCKS}") + 1:]
    for number, layer in enumerate(behind):
        if layer.op == "flatten":
            break
        if number or layer.op != "adaptive_avgpool2d":
            return f"no {layer.name} between pool{BLOCKS} and its classifier"
    return ""


def lacks_in_turn(net: Architecture) -> str:
    """What of a head is not dense layers with a ReLU behind each but the last, as "no …"; "" for nothing."""
    ops = without_dropout(net)
    for before, (op, name) in zip(["relu", *(op for op, _ in ops)], ops):
        if op not in ("dense", "relu"):
            return f"no {name} in its classifier"
        if op == before:
            return f"no {op} layer behind another ({name})"
    return lacks_before_flatten(net)


def without_dropout(net: Architecture) -> list:
    """[(operation, name), …] of what comes behind flatten, dropout left out."""
    names = [layer.name for layer in net.layers]
    behind = net.layers[names.index("flatten") + 1:] if "flatten" in names else ()
    return [(layer.op, layer.name) for layer in behind if layer.op != "dropout"]
