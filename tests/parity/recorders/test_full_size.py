"""torchvision's VGG-16 with batch norm at full size, recorded: npvgg agrees with it as well as float32 does with float64.

Takes half a minute of processor time and 3 GB of memory.
"""
import copy

import numpy as np
import pytest
from witnesses.networks import photograph
from witnesses.torchvision_witness import torchvision

from npvgg import converter, parity
from npvgg.network import VGG
from npvgg.parity.difference import measure

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.heavy
FACTOR = 3


def test_vgg16_bn_agrees_and_one_wrong_epsilon_is_found():
    torch.manual_seed(0)
    module = torchvision().models.vgg16_bn().eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", ".bias")):
                tensor.normal_(0, 0.1)
    known = converter.understood({key: tensor.numpy() for key, tensor in module.state_dict().items()})
    vgg = VGG(known.architecture, known.parameters, known.preset)
    x = vgg.prepare(photograph(0))

    theirs = parity.record(module, x)
    comparison = parity.compare(theirs, vgg.trace(x), vgg)
    assert not comparison.diverges and len(comparison.rows) >= 50, comparison.text()
    exact = parity.record(copy.deepcopy(module).double(), x)
    rounding = max(measure(theirs[name], exact[name]).largest_relative for name in theirs)
    assert max(row.difference.largest_relative for row in comparison.rows) <= FACTOR * rounding
    assert max(max(row.own_a or 0, row.own_b or 0) for row in comparison.rows) < 1

    norms = [layer for layer in module.features if isinstance(layer, torch.nn.BatchNorm2d)]
    norms[4].eps = 2e-5
    comparison = parity.compare(vgg.trace(x), parity.record(module, np.asarray(x)), vgg)
    assert (comparison.first.name, comparison.run) == ("bn3_1", "B")
    assert [cause.name for cause in comparison.causes] == ["B is bn3_1 with ε = 2e-05 instead of 1e-05"]
