"""VGGs in PyTorch as others build them, so that their state dicts have others' keys; small in every layer."""
import torch
from torch import nn
from torch.nn import functional

from npvgg.architecture import CONFIGURATIONS

WIDTH, HIDDEN, CLASSES, POOLED = 1 / 16, (12, 9), 5, 1          # for pictures of 32×32


def tokens(name):
    """'vgg11_bn' → [4, "M", 8, "M", …], with (filters, 1) for a 1×1 convolution."""
    for token in CONFIGURATIONS[name.removesuffix("_bn")].split():
        filters, _, side = token.partition("/")
        yield token if not filters.isdigit() else round(int(filters) * WIDTH) if not side else (round(int(filters) * WIDTH), 1)


def stirred(model):
    """Every parameter and statistic away from 0 and 1, in evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    for key, tensor in model.state_dict().items():
        if tensor.dtype == torch.float32:
            is_scale = key.endswith("running_var") or key.endswith(".weight") and tensor.ndim == 1
            low, high = (0.5, 1.5) if is_scale else (-0.3, 0.3)
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
            if tensor.ndim == 4:
                tensor *= 3 / (tensor[0].numel() / 9) ** 0.5
    return model.eval()


class EarlyTorchvision(nn.Module):
    """torchvision until 2017: dropout before the dense layers."""

    def __init__(self, name):
        super().__init__()
        self.features = nn.Sequential(*plain(name))
        last = list(tokens(name))[-2]
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(last * POOLED**2, HIDDEN[0]), nn.ReLU(True), nn.Dropout(), nn.Linear(*HIDDEN),
            nn.ReLU(True), nn.Linear(HIDDEN[1], CLASSES))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def plain(name):
    channels = 3
    for token in tokens(name):
        if token == "M":
            yield nn.MaxPool2d(2, 2)
        else:
            yield from (nn.Conv2d(channels, token, 3, padding=1), nn.ReLU(True))
            channels = token


class OpenMMLab(nn.Module):
    """mmpretrain's ImageClassifier with a VGG backbone."""

    def __init__(self, name):
        super().__init__()
        self.backbone = nn.Module()
        channels, steps = 3, []
        for token in tokens(name):
            if token == "M":
                steps.append(nn.MaxPool2d(2, 2))
                continue
            module = nn.Sequential()
            module.add_module("conv", nn.Conv2d(channels, token, 3, padding=1))
            if name.endswith("_bn"):
                module.add_module("bn", nn.BatchNorm2d(token))
            module.add_module("activate", nn.ReLU(True))
            steps.append(module)
            channels = token
        self.backbone.features = nn.Sequential(*steps)
        self.backbone.classifier = nn.Sequential(
            nn.Linear(channels * POOLED**2, HIDDEN[0]), nn.ReLU(True), nn.Dropout(), nn.Linear(*HIDDEN), nn.ReLU(True),
            nn.Dropout(), nn.Linear(HIDDEN[1], CLASSES))

    def forward(self, x):
        return self.backbone.classifier(self.backbone.features(x).flatten(1))


class NamedModules(nn.Module):
    """PytorchVGGNet: one attribute a layer, borders reflected, and what has no parameters shared."""

    def __init__(self, name):
        super().__init__()
        self.order, channels, block, position = [], 3, 1, 1
        for token in tokens(name):
            if token == "M":
                self.order.append("pool")
                block, position = block + 1, 1
            elif token == "LRN":
                self.lrn = nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2)
                self.order.append("lrn")
            else:
                filters, side = token if isinstance(token, tuple) else (token, 3)
                conv = nn.Conv2d(channels, filters, side, padding=side // 2, padding_mode="reflect")
                self.order.append(f"conv{block}_{position}")
                self.add_module(self.order[-1], conv)
                channels, position = filters, position + 1
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2 = nn.Linear(channels * POOLED**2, HIDDEN[0]), nn.Linear(*HIDDEN)
        self.fc3 = nn.Linear(HIDDEN[1], CLASSES)

    def forward(self, x):
        for step in self.order:
            x = getattr(self, step)(x)
            x = functional.relu(x) if step.startswith("conv") else x
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(functional.relu(self.fc2(x)))


class Altered(NamedModules):
    """The same, with attributes of its modules changed to what no VGG has."""

    def __init__(self, name, **changes):
        super().__init__(name)
        for module in self.modules():
            for attribute, value in changes.items():
                if hasattr(module, attribute):
                    setattr(module, attribute, value)


class Twin(nn.Module):
    """An Architecture as PyTorch's users write one: torchvision's two Sequentials, any head between and behind them."""

    def __init__(self, net):
        super().__init__()
        names = [layer.name for layer in net.layers]
        self.is_flat = "flatten" in names
        first, second = names.index("pool5") + 1, names.index("flatten") if self.is_flat else len(names)
        parts = net.layers[:first], net.layers[first:second], net.layers[second + 1:]
        self.features, self.avgpool, self.classifier = (nn.Sequential(*map(module, part)) for part in parts)

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1)) if self.is_flat else x


def module(layer):
    """A Layer → the torch.nn.Module that computes it."""
    options, shapes = dict(layer.options), dict(layer.shapes)
    if layer.op == "conv2d":
        outputs, inputs, side, _ = shapes["weight"]
        return nn.Conv2d(inputs, outputs, side, padding=options["padding"], bias="bias" in shapes)
    if layer.op in ("batchnorm2d", "batchnorm1d"):
        kind = nn.BatchNorm2d if layer.op == "batchnorm2d" else nn.BatchNorm1d
        return kind(shapes["weight"][0], eps=options["eps"])
    return {
        "dense": lambda: nn.Linear(*shapes["weight"][::-1]), "relu": nn.ReLU,
        "dropout": lambda: nn.Dropout(options["p"]),
        "reflection_pad2d": lambda: nn.ReflectionPad2d(options["size"]),
        "maxpool2d": lambda: nn.MaxPool2d(options["size"], options["stride"]),
        "avgpool2d": lambda: nn.AvgPool2d(options["size"], options["stride"]),
        "local_response_norm": lambda: nn.LocalResponseNorm(**options),
        "adaptive_avgpool2d": lambda: nn.AdaptiveAvgPool2d(options["size"]),
        "adaptive_maxpool2d": lambda: nn.AdaptiveMaxPool2d(options["size"]),
    }[layer.op]()


class Swish(nn.Module):
    """A module that PyTorch does not have."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class OwnHead(nn.Module):
    """Dense layers that are attributes of the network; what lies between them is in the code."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(*plain("vgg11"))
        self.fc1, self.relu, self.fc2 = nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 5)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(self.features(x).flatten(1))))
