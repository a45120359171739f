"""What follows pool5, as data: the notation of architecture.HEAD.

    "avg7 flatten 4096 relu drop 4096 relu drop 1000"      the paper's
    "avg1 flatten 10"                                      global average pooling and one dense layer
    ""                                                     nothing: the network ends at pool5

    avgK        average pooling to K×K (avg1: global)              on maps
    maxK        maximum pooling to K×K (max1: global)              on maps
    flatten     maps (C, H, W) become C·H·W features
    4096        a dense layer of so many outputs                   on features
    bn          batch norm, with the network's ε; bn0.001 with its own
    relu
    drop        dropout with p = ½; drop0.3 with another p (the identity at inference)

Dense layers are numbered on from pool5, and what follows one bears its number: fc6 relu6 drop6 fc7 …  What comes before the
first bears a 5, and a second of a kind a letter: relu6 relu6b … relu6z relu6aa.
"""
import math
import re
from collections import Counter

from npvgg.checks import check_choice
from npvgg.errors import UsageError
from npvgg.layer import Layer, norm_layer

TOKEN = re.compile(r"(avg|max)(\d{1,2})|(flatten)|(\d{1,7})|(bn|drop)(\d[\d.]*(?:e-?\d+)?)?|(relu)")
OUTPUTS = ("softmax", "sigmoid", "none")    # what makes probabilities of the last layer's numbers
KNOWN = "avgK, maxK, flatten, a number of outputs, bn, relu, drop"
LONGEST = 64                    # tokens


def canonical(head: str) -> str:
    """The head with single spaces and each token in its shortest form; UsageError where it makes no sense."""
    return " ".join(spelled(kind, value) for kind, value in tokens(head))


def tokens(head: str) -> list:
    """"avg7 flatten 10" → [("avg", 7), ("flatten", None), ("dense", 10)], each where it can be."""
    if not isinstance(head, str):
        raise UsageError(f"head is {head!r}; give text such as 'avg7 flatten 4096 relu drop 1000'")
    words = head.split()
    if len(words) > LONGEST:
        raise UsageError(f"the head has {len(words)} tokens; give at most {LONGEST}")
    read, is_flat = [], False
    for word in words:
        kind, value = token(word)
        if kind == "dense" and not is_flat:
            raise UsageError(f"the head {head!r} has the dense layer {word} on maps; put flatten before it")
        if kind in ("avg", "max", "flatten") and is_flat:
            raise UsageError(f"the head {head!r} has {word} behind flatten; leave it out or put it before")
        is_flat |= kind == "flatten"
        read.append((kind, value))
    return read


def token(word):
    """"avg7" → ("avg", 7), "drop" → ("drop", 0.5), "bn" → ("bn", None); UsageError for a word that is no token."""
    match = TOKEN.fullmatch(word)
    pool, side, flatten, outputs, kind, number, relu = match.groups() if match else [None] * 7
    if pool and 1 <= int(side) <= 64:
        return pool, int(side)
    if outputs and 1 <= int(outputs) <= 1 << 20:
        return "dense", int(outputs)
    if kind and number is None:
        return kind, 0.5 if kind == "drop" else None
    if kind and number.count(".") < 2 and float(number) < 1:
        return kind, float(number)
    if flatten or relu:
        return word, None
    raise UsageError(f"the head has no {word!r}; it is made of {KNOWN} (K from 1 to 64, 1 to {1 << 20} outputs, bn0.001 and "
                     "drop0.3 with a number of their own below 1)")


def spelled(kind, value):
    """("avg", 7) → "avg7": the shortest text that `token` reads as these two."""
    if kind == "dense":
        return str(value)
    is_default = value is None or (kind, value) == ("drop", 0.5)
    return kind if is_default else f"{kind}{value!r}"


def output_of(head: str, output: str | None) -> str:
    """What the last layer's numbers mean: as given, or by the head; UsageError where they cannot mean that.

    None: "softmax" where a dense layer of several outputs comes last, "sigmoid" where it has one, "none" elsewhere.
    """
    read = tokens(head)
    dense = [value for kind, value in read if kind == "dense"]
    last = next((kind for kind, _ in reversed(read) if kind != "drop"), None)
    if output is None:
        return "none" if last != "dense" else "softmax" if dense[-1] > 1 else "sigmoid"
    check_choice("output", output, OUTPUTS)
    if output != "none" and not dense:
        raise UsageError(f"output is {output!r}, but the head {head!r} has no dense layer; give output='none' or another head")
    if output == "softmax" and dense[-1] == 1:
        raise UsageError("output is 'softmax' for one output, whose probability would always be 1; give output='sigmoid'")
    return output


def layers(head: str, shape: tuple, blocks: int, default_eps: float):
    """The layers of the head, for the maps (C, H, W) = `shape` behind the last of so many blocks."""
    dense, seen = 0, Counter()

    def named(kind):
        name = kind if kind in ("avgpool", "maxpool", "flatten") else f"{kind}{blocks + dense}"
        seen[name] += 1
        return name + ("" if seen[name] == 1 else letters(seen[name] - 1))

    for kind, value in tokens(head):
        if kind in ("avg", "max"):
            yield Layer(f"adaptive_{kind}pool2d", named(f"{kind}pool"), options=(("size", value),))
            shape = shape[0], value, value
        elif kind == "flatten":
            yield Layer("flatten", named("flatten"))
            shape = (math.prod(shape),)
        elif kind == "dense":
            dense += 1
            yield Layer("dense", named("fc"), (("weight", (value, *shape)), ("bias", (value,))))
            shape = (value,)
        elif kind == "bn":
            eps = default_eps if value is None else value
            yield norm_layer("batchnorm2d" if len(shape) == 3 else "batchnorm1d", named("bn"), shape[0], eps)
        elif kind == "relu":
            yield Layer("relu", named("relu"))
        else:
            yield Layer("dropout", named("drop"), options=(("p", value),))


def letters(number):
    """0 → "a", 25 → "z", 26 → "aa"."""
    more, last = divmod(number, 26)
    return (letters(more - 1) if more else "") + chr(ord("a") + last)
