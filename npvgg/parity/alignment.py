"""Two runs without common names → the layers that belong together, by their order, their shapes and, where one run lacks some,
their signs."""
import itertools

import numpy as np

from npvgg.errors import UsageError
from npvgg.parity.facts import sizes
from npvgg.text import counted, listed


def aligned(a: dict, b: dict, kept: frozenset | set = frozenset()) -> list[tuple]:
    """Two runs in order → [(name in A, name in B), …].  UsageError where there is not exactly one way.

    `kept` are names in B that are left out last, where one run has fewer layers.
    """
    ours, reference = (stretches(run) for run in (a, b))
    shapes = [shape for shape, _ in ours], [shape for shape, _ in reference]
    common = [shape for shape in shapes[0] if shape in shapes[1]]
    if shapes[0] != shapes[1]:
        repeated = any(len(set(run)) != len(run) for run in shapes)
        if not common or repeated or common != [shape for shape in shapes[1] if shape in shapes[0]]:
            raise UsageError(f"the layers cannot be matched in order: A's shapes are {listed(map(sizes, shapes[0]))}, B's "
                             f"{listed(map(sizes, shapes[1]))}; give both runs the paper's names")
        ours = [stretch for stretch in ours if stretch[0] in common]
        reference = [stretch for stretch in reference if stretch[0] in common]
    pairs = []
    for (shape, left), (_, right) in zip(ours, reference):
        found = paired(left, right, kept)
        if found is None:
            raise UsageError(f"of shape {sizes(shape)} A has {counted(len(left), 'layer')} ({listed(left)}) and B "
                             f"{len(right)} ({listed(right)}), and which are which is not certain; give them the paper's "
                             "names, or leave out what the other run lacks")
        pairs += found
    return pairs


def stretches(run: dict) -> list[tuple]:
    """A run → [(shape, {name: array}), …], one for each stretch of layers of one shape; 1×1 maps count as vectors."""
    return [(shape, dict(layers)) for shape, layers in itertools.groupby(run.items(), key=lambda item: vector(item[1]))]


def paired(a: dict, b: dict, kept: frozenset | set = frozenset()) -> list[tuple] | None:
    """Layers of one shape in both runs → [(name in A, name in B), …]; None where it is not certain."""
    if len(a) == len(b):
        return list(zip(a, b))
    a, b = without_repeats(a), without_repeats(b)
    if len(a) == len(b):
        return list(zip(a, b))
    shorter, longer = sorted((a, b), key=len)
    signs = [{name: bool((array < 0).any()) for name, array in run.items()} for run in (shorter, longer)]
    ways = [way for way in itertools.combinations(signs[1], len(shorter))
            if [signs[1][name] for name in way] == list(signs[0].values())] if len(longer) <= 12 else []
    most = max((len(kept & set(way)) for way in ways), default=0)
    ways = [way for way in ways if len(kept & set(way)) == most]
    if len(ways) != 1:
        return None
    pairs = list(zip(shorter, ways[0]))
    return pairs if shorter is a else [pair[::-1] for pair in pairs]


def without_repeats(layers: dict) -> dict:
    """The layers that differ from the one before them."""
    kept, before = {}, None
    for name, array in layers.items():
        if before is None or not np.array_equal(array.reshape(before.shape), before, equal_nan=True):
            kept[name] = array
        before = array
    return kept


def vector(array: np.ndarray) -> tuple:
    """The shape of an array, (N, C) for (N, C, 1, 1)."""
    return array.shape[:2] if array.ndim == 4 and array.shape[2:] == (1, 1) else array.shape
