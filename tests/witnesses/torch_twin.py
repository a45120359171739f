"""An Architecture in PyTorch's modules, built from the table of configurations and the words of the head alone.

    twin = Twin(net, parameters)
    twin.double()(x)                       (N, C, H, W) → {"conv1_1": tensor, …} of every layer, in float64

Nothing of Architecture.layers goes in, so names, order, options and shapes of npvgg's layers are on trial too.
"""
from collections import Counter

import torch
from torch import nn

from npvgg.architecture import CONFIGURATIONS

BLOCKS = 5


class Twin(nn.Module):
    """Layers under the paper's names.  `paths` are those of all its parameters, in the order of the layers."""

    def __init__(self, net, parameters):
        super().__init__()
        self.net, self.given, self.steps, self.paths, self.seen = net, parameters, {}, [], Counter()
        with torch.device("meta"):                         # no weights are drawn that the given ones replace
            self.add_features()
            self.add_head()
        self.eval()

    def add_features(self):
        net, channels, block, position = self.net, self.net.input_channels, 1, 1
        for word in CONFIGURATIONS[net.name.removesuffix("_bn")].split():
            if word == "M":
                self.add(f"pool{block}", nn.MaxPool2d(2, 2) if net.pooling == "max" else nn.AvgPool2d(2, 2))
                block, position = block + 1, 1
            elif word == "LRN":
                self.add(f"lrn{block}", nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0))
            else:
                number, filters = f"{block}_{position}", max(1, round(int(word.removesuffix("/1")) * net.width))
                side = 1 if word.endswith("/1") else 3
                is_mirrored = side == 3 and net.padding_mode == "reflect"
                if is_mirrored:
                    self.add(f"pad{number}", nn.ReflectionPad2d(1))
                padding = 1 if side == 3 and not is_mirrored else 0
                self.add(f"conv{number}", nn.Conv2d(channels, filters, side, padding=padding, bias=net.bias))
                if net.name.endswith("_bn"):
                    self.add(f"bn{number}", nn.BatchNorm2d(filters, eps=net.eps))
                self.add(f"relu{number}", nn.ReLU())
                channels, position = filters, position + 1
        self.channels, self.side = channels, net.input_size // 2**BLOCKS

    def add_head(self):
        dense, features = 0, None
        for word in self.net.head.split():
            count = self.channels if features is None else features
            if word.startswith(("avg", "max")):
                self.side = int(word[3:])
                self.add_once(f"{word[:3]}pool", (nn.AdaptiveAvgPool2d if word[0] == "a" else nn.AdaptiveMaxPool2d)(self.side))
            elif word == "flatten":
                self.add_once("flatten", nn.Flatten())
                features = self.channels * self.side**2
            elif word.isdigit():
                dense, features = dense + 1, int(word)
                self.add_once(f"fc{BLOCKS + dense}", nn.Linear(count, features))
            elif word == "relu":
                self.add_once(f"relu{BLOCKS + dense}", nn.ReLU())
            elif word.startswith("drop"):
                self.add_once(f"drop{BLOCKS + dense}", nn.Dropout(float(word[4:] or 0.5)))
            else:
                eps = float(word.removeprefix("bn") or self.net.eps)
                self.add_once(f"bn{BLOCKS + dense}", (nn.BatchNorm2d if features is None else nn.BatchNorm1d)(count, eps=eps))

    def add_once(self, name, module):
        """Layers of one name are told apart by a letter: relu6, relu6b, relu6c."""
        self.seen[name] += 1
        self.add(name + " bcdefghijklmnopqrstuvwxyz"[self.seen[name] - 1].strip(), module)

    def add(self, name, module):
        kinds = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "var"}
        for key, tensor in list(module.state_dict().items()):
            if key in kinds:
                path = f"{name}/{kinds[key]}"
                given = torch.tensor(self.given[path], device="cpu")
                assert given.shape == tensor.shape, path
                setattr(module, key, given if key.startswith("running") else nn.Parameter(given, requires_grad=False))
                self.paths.append(path)
        self.steps[name] = module
        self.add_module(name, module)

    def forward(self, x):
        answers = {}
        with torch.inference_mode():
            for name, module in self.steps.items():
                answers[name] = x = module(x)
        return answers
