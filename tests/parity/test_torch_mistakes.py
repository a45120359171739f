"""Mistakes as they are made in PyTorch's own modules, recorded by hooks, are named too."""
import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg import parity

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.usefixtures("one_torch_thread")
SIZES = {"width": 1 / 16, "hidden": (20, 20), "num_classes": 10, "pooled_size": 2, "input_size": 64}
MODULES = {"relu": lambda *_: nn.ReLU(inplace=True), "batchnorm2d": lambda w, *_: nn.BatchNorm2d(len(w)),
           "conv2d": lambda w, _: nn.Conv2d(w.shape[1], len(w), 3, padding=1), "maxpool2d": lambda *_: nn.MaxPool2d(2),
           "dense": lambda w, _: nn.Linear(w.shape[1], len(w)), "dropout": lambda *_: nn.Dropout()}


class Network(nn.Module):
    """torchvision's VGG."""

    def __init__(self, vgg):
        super().__init__()
        parts = {True: nn.Sequential(), False: nn.Sequential()}
        is_feature = True
        for layer in vgg.architecture.layers:
            is_feature = is_feature and layer.op != "adaptive_avgpool2d"
            if layer.op in MODULES:
                arrays = [torch.tensor(np.array(array)) for array in layer.arrays(vgg.parameters)]
                module = MODULES[layer.op](*arrays)
                module.load_state_dict(dict(zip(("weight", "bias", "running_mean", "running_var"), arrays)), strict=False)
                parts[is_feature].append(module)
        self.features, self.avgpool, self.classifier = parts[True], nn.AdaptiveAvgPool2d(2), parts[False]
        self.axes, self.last = (0, 1, 2, 3), nn.Identity()

    def forward(self, x):
        x = self.avgpool(self.features(x)).permute(self.axes)
        return self.last.forward(self.classifier(x.flatten(1)))              # without its hooks: a function


@pytest.fixture(scope="module", params=["vgg11", "vgg11_bn"])
def runs(request):
    vgg = lively(request.param, **SIZES)
    x = vgg.prepare([photograph(0), photograph(1)])
    return vgg, x, vgg.trace(x)


def places(network, kind):
    return [place for place, module in enumerate(network.features) if isinstance(module, kind)]


def put(kind, number, module):
    """Another module in the place of the numbered one of a kind."""
    return lambda network: network.features.__setitem__(places(network, kind)[number], module())


def without(kind, number):
    return lambda network: network.features.__delitem__(places(network, kind)[number])


def at(kind, number, change):
    return lambda network: change(network.features[places(network, kind)[number]])


def set_to(**values):
    return lambda module: [setattr(module, name, value) for name, value in values.items()]


def halves(network):
    network.to(torch.bfloat16)


def folded_twice(network):
    conv, norm = (network.features[places(network, kind)[2]] for kind in (nn.Conv2d, nn.BatchNorm2d))
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight *= scale.view(-1, 1, 1, 1)
        conv.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)


MISTAKES = {
    "leaky": (put(nn.ReLU, 2, lambda: nn.LeakyReLU(0.05)), "relu3_1", "slope of 0.05"),
    "PReLU": (put(nn.ReLU, 2, lambda: nn.PReLU(init=0.25)), "relu3_1", "slope of 0.25"),
    "clipped": (put(nn.ReLU, 1, lambda: nn.Hardtanh(0, 1.5)), "relu2_1", "cut off at 1.5"),
    "GELU": (put(nn.ReLU, 2, nn.GELU), "relu3_1", "GELU"),
    "no ReLU": (put(nn.ReLU, 2, nn.Identity), "relu3_1", "left out"),
    "ReLU taken out": (without(nn.ReLU, 2), "conv3_2", "relu3_1 left out"),
    "replicate": (at(nn.Conv2d, 2, set_to(padding_mode="replicate", _reversed_padding_repeated_twice=[1] * 4)), "conv3_1",
                  "repeated"),
    "circular": (at(nn.Conv2d, 2, set_to(padding_mode="circular", _reversed_padding_repeated_twice=[1] * 4)), "conv3_1",
                 "circular"),
    "valid": (at(nn.Conv2d, 2, set_to(padding=(0, 0))), "conv3_1", "valid"),
    "dilation": (at(nn.Conv2d, 2, set_to(padding=(2, 2), dilation=(2, 2))), "conv3_1", "dilation of 2"),
    "average": (put(nn.MaxPool2d, 1, lambda: nn.AvgPool2d(2)), "pool2", "averages instead of maxima"),
    "3×3/2": (put(nn.MaxPool2d, 1, lambda: nn.MaxPool2d(3, 2, 1)), "pool2", "3×3 windows, stride 2, padding 1"),
    "dropout": (lambda network: network.classifier[2].train(), "drop6", "active"),
    "soft-max": (set_to(last=nn.Softmax(1)), "output", "soft-max at the end"),
    "HWC": (set_to(axes=(0, 2, 3, 1)), "fc6", "(H, W, C)"),
    "bfloat16": (halves, "input", "bfloat16"),
    "float64": (lambda network: network.double(), None, None),
}
NORMS = {
    "ε": (at(nn.BatchNorm2d, 3, set_to(eps=1e-3)), "bn3_2", "ε = 0.001"),
    "training": (at(nn.BatchNorm2d, 2, lambda module: module.train()), "bn3_1", "batch's own statistics"),
    "not loaded": (put(nn.BatchNorm2d, 2, lambda: nn.BatchNorm2d(16).eval()), "bn3_1", "nothing loaded"),
    "no norm": (put(nn.BatchNorm2d, 2, nn.Identity), "bn3_1", "left out"),
    "norm taken out": (without(nn.BatchNorm2d, 2), "relu3_1", "bn3_1 left out"),
    "folded twice": (folded_twice, "conv3_1", "applied twice"),
}


@pytest.mark.parametrize("what", MISTAKES | NORMS)
def test_a_mistake_in_a_module_is_named(runs, what):
    vgg, x, right = runs
    if what in NORMS and not vgg.architecture.has_batch_norm:
        pytest.skip("a network without batch norm")
    network = Network(vgg).eval()
    change, layer, words = (MISTAKES | NORMS)[what]
    change(network)
    comparison = parity.compare(right, parity.record(network, x), vgg)
    assert (comparison.first and comparison.first.name) == layer, comparison.text()
    if layer:
        assert comparison.run == "B" and words in comparison.causes[0].name
    if what == "bfloat16":
        assert len(comparison.causes) == 2 and "in bfloat16 arithmetic" in comparison.causes[1].name
