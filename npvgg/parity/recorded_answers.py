"""Does a network give the answers that its source's own runtime recorded?

    test_data_set_0/input_0.pb, output_0.pb      a folder a test, as ONNX has them
    NAME.npz                                     a file a test, with the arrays `input` and `output`

    input    (N, C, H, W), prepared as the source wants it
    output   (N, classes): logits, or probabilities if the source ends with a soft-max or a sigmoid (`VGG.source_output`)

Judged is the largest gap ÷ the largest recorded value, and rms ÷ rms, against a bound:

    logits          10⁻⁴, as between any two float32 runs (gap.FLOAT32_BOUND)
    probabilities   2 · 10⁻⁴ · largest |logit| of a soft-max, half of that of a sigmoid, and never above 10⁻²

for a soft-max turns a gap δ between logits into one of p_i(1 − p_i) · 2δ at most, to first order: 2δ of the largest
probability, where δ is 10⁻⁴ of the largest logit.  A sigmoid makes p_i(1 − p_i) · δ of it.  A probability of nearly 1 hides
gaps; tests with several plausible classes say more.  A network within its bound may have another top-1 where two classes are
as close as that, so the top-1 is shown and not judged.
"""
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npvgg import converter, text_table
from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.gap import FLOAT32_BOUND
from npvgg.parity import difference, facts, layer_table, verdicts
from npvgg.text import listed

LARGEST_BOUND = 1e-2
FACTORS = {"softmax": 2, "sigmoid": 1}                    # what becomes of a gap between logits in probabilities
SETS = "test_data_set_*"
PB = ("input_0.pb", "output_0.pb")
NPZ = (("input", "output"), ("inputs", "outputs"))        # the second in archives of the ONNX model zoo from 2017
HEADINGS = ("test", "input", "gap ÷ largest", "rms ÷ rms", "bound", "top-1", "verdict")


def find(folder) -> list[Path]:
    """A folder → the tests in it, each a folder or an .npz, in the order of the numbers in their names.

    StorageError where there is no such folder, UsageError where it holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder; give one that holds test_data_set_0 or .npz files")
    tests = [path for path in folder.glob(SETS) if path.is_dir()] + list(folder.glob("*.npz"))
    if (folder / PB[0]).exists():
        tests.append(folder)
    if not tests:
        raise UsageError(f"{folder} holds no test; npvgg looks for test_data_set_0/{PB[0]} and {PB[1]}, and for .npz files "
                         "with the arrays input and output")
    return sorted(tests, key=lambda path: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)])


@dataclass(frozen=True)
class Outcome:
    """One test of one network."""

    name: str
    shape: tuple                          # of the input
    difference: difference.Difference
    bound: float
    argmax_flips: int | None              # pictures with another best class; None without a classifier
    verdict: str                          # verdicts.EQUAL, CLOSE or DIVERGES


def check(vgg, test):
    """A VGG, and one of what `find` gives → Outcome.

    Raises BadFileError for files that are damaged or hold something else, UnsupportedError, StorageError.
    """
    net = vgg.architecture
    x, recorded = read(test, net.input_channels)
    ours = logits = vgg.forward(x)
    if recorded.size != ours.size or len(recorded) != len(x):
        raise BadFileError(f"{test}: {recorded.shape} is recorded as the output where this network gives {ours.shape}; give "
                           "the tests of the same network")
    bound, middle = FLOAT32_BOUND, 0.0
    if vgg.source_output == "probabilities" and net.output in FACTORS:
        ours, middle = vgg.probabilities(logits), 0.5
        bound = min(LARGEST_BOUND, FACTORS[net.output] * FLOAT32_BOUND * float(abs(logits).max()))
    recorded = recorded.reshape(ours.shape)
    gap = difference.measure(ours, recorded)
    verdict = verdicts.DIVERGES if not gap.within(bound) else verdicts.CLOSE if gap.unequal else verdicts.EQUAL
    flips = difference.argmax_flips(ours, recorded, middle) if ours.ndim == 2 else None
    return Outcome(test.name or str(test), x.shape, gap, bound, flips, verdict)


def table(outcomes, width=None):
    """[Outcome, …] → the lines of a table, on a terminal of so many columns."""
    return text_table.render(HEADINGS, [cells(outcome) for outcome in outcomes], left=(0, 1, 6), width=width)


def cells(outcome):
    """An Outcome → the texts of its row in the table, under HEADINGS."""
    gap, flips = outcome.difference, outcome.argmax_flips
    same = "—" if flips is None else "equal" if flips == 0 else f"{flips} of {outcome.shape[0]} differ"
    return (outcome.name, facts.sizes(outcome.shape), layer_table.number(gap.largest_relative),
            layer_table.number(gap.rms_relative), layer_table.number(outcome.bound), same, outcome.verdict)


def read(test, channels):
    """A test → (input as float32 (N, channels, H, W), recorded output)."""
    x, recorded = read_archive(test) if test.suffix == ".npz" else (converter.read_tensor_proto(test / name) for name in PB)
    if x.ndim == 5 and len(x) == 1 and len(recorded) == 1:             # the zoo's .npz hold a list of the inputs, which is one
        x, recorded = x[0], recorded[0]
    if x.ndim != 4 or x.shape[1] != channels or x.dtype.kind != "f" or not x.size:
        raise BadFileError(f"{test}: its input is {x.dtype.name} of shape {x.shape}; this VGG takes floating point "
                           f"(N, {channels}, H, W)")
    if not recorded.ndim or recorded.dtype.kind != "f":
        raise BadFileError(f"{test}: its output is {recorded.dtype.name} of shape {recorded.shape}; a VGG gives floating point")
    with np.errstate(over="ignore"):                                   # the next line refuses the infinity
        x = x.astype(np.float32)
    if not (np.isfinite(x).all() and np.isfinite(recorded).all()):
        raise BadFileError(f"{test}: it holds NaN or infinity (the file is damaged: fetch it again)")
    return x, recorded


def read_archive(path):
    """A .npz file → [input, output], under one of the pairs of names in NPZ; BadFileError where it has none of them."""
    arrays = converter.read_npz(path)
    for names in NPZ:
        if all(name in arrays for name in names):
            return [arrays[name] for name in names]
    raise BadFileError(f"{path}: it holds {listed(arrays)}; a test has the arrays input and output")
