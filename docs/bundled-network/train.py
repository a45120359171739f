"""Train the network that npvgg bundles: configuration B with batch norm at width 0.375, on CIFAR-10, with PyTorch.

    python docs/bundled-network/train.py CIFAR10_FOLDER OUT.pth [--start EARLIER.pth] [options]

CIFAR10_FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg.  Needs torch==2.13.0, NumPy and Pillow.  OUT.pth gets the last
parameters and OUT.mean.pth their running mean, both with the class names; convert either with weights_convert.  The README
beside this file has the commands that made the bundled network, and what they reached.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from npvgg import images, weights
from npvgg.architecture import architecture
from weights_convert.sources.torchvision import TORCHVISION

SIDE = 32
PRESET = images.preset("cifar10")
MEAN, STD = (torch.tensor(values)[:, None, None] for values in (PRESET.mean, PRESET.std))


class VGG(nn.Module):
    """The modules of torchvision's VGG, under its keys, from npvgg's table."""

    def __init__(self, net):
        super().__init__()
        sections = {"features": [], "classifier": []}
        for layer in net.layers:
            section = sections["classifier" if layer.op == "dense" else "features"]
            shapes, options = dict(layer.shapes), dict(layer.options)
            if layer.op == "conv2d":
                outputs, inputs, kernel, _ = shapes["weight"]
                section.append(nn.Conv2d(inputs, outputs, kernel, **options))
                nn.init.kaiming_normal_(section[-1].weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(section[-1].bias)
            elif layer.op == "batchnorm2d":
                section.append(nn.BatchNorm2d(shapes["weight"][0], **options))
            elif layer.op == "relu":
                section.append(nn.ReLU(inplace=True))
            elif layer.op == "maxpool2d":
                section.append(nn.MaxPool2d(options["size"], options["stride"]))
            elif layer.op == "dense":
                section.append(nn.Linear(*reversed(shapes["weight"])))
        self.features, self.classifier = (nn.Sequential(*modules) for modules in sections.values())

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def read(folder):
    """A folder of classes → (N, 3, 32, 32) float32 as the preset makes them, (N,) class numbers, class names."""
    names = sorted(path.name for path in folder.iterdir())
    pictures, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            pictures.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(number)
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / PRESET.divisor
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last), torch.tensor(labels), names


def augment(x, generator, strength):
    """Mirror every second picture and shift each by up to 4 pixels, the border reflected.

    With `strength` 1 also turn by up to 10°, scale by 15 %, change contrast and brightness by 20 % and blank a square of 10
    pixels; with 0 none of these, and no pixel is interpolated.
    """
    n = len(x)

    def uniform(*shape):
        return 2 * torch.rand(*shape, generator=generator) - 1

    angle, scale = 0.17 * strength * uniform(n), 1 + 0.15 * strength * uniform(n)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    shift = torch.randint(-4, 5, (n, 2), generator=generator) * (2 / SIDE)       # the sampling range is 2 wide
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([torch.stack([cos * mirror, -sin, shift[:, 0]], 1),
                          torch.stack([sin * mirror, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    y = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if strength:
        y = y * (1 + 0.2 * strength * uniform(n, 1, 1, 1)) + 0.2 * strength * uniform(n, 1, 1, 1)
        centre = torch.randint(0, SIDE, (n, 2), generator=generator)
        rows, columns = ((torch.arange(SIDE) - centre[:, k:k + 1]).abs() <= 5 * strength - 0.5 for k in range(2))
        y = y.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
    return y.contiguous(memory_format=torch.channels_last)


def earlier(path, net):
    """A checkpoint of this script, or an npvgg weights file → a state dict."""
    if path.suffix != ".h5":
        return torch.load(path)["state_dict"]
    parameters = weights.read(path, verify=True).parameters
    return {key: torch.tensor(parameters[name]) for key, name in TORCHVISION.paths(net).items()}


@torch.no_grad()
def accuracy(model, x, labels):
    model.eval()
    hits = sum((model(x[i:i + 500]).argmax(1) == labels[i:i + 500]).sum().item() for i in range(0, len(x), 500))
    model.train()
    return hits / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="the checkpoint of an earlier stage, or an npvgg weights file")
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--calm", type=int, default=32, help="how many of them, at the end, only shift and mirror")
    parser.add_argument("--strength", type=float, default=1.0, help="of the changes before that, see augment")
    parser.add_argument("--rate", type=float, default=0.12, help="the largest learning rate; it falls to 0 in a line")
    parser.add_argument("--warmup", type=int, default=3, help="epochs in which it rises")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay of the weights")
    parser.add_argument("--smoothing", type=float, default=0.05, help="of the labels")
    parser.add_argument("--width", type=float, default=0.375)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    x, labels, names = read(options.data / "train")
    test_x, test_labels, _ = read(options.data / "test")
    net = architecture("vgg13_bn", width=options.width, input_size=SIDE, pooled_size=1, hidden=(), num_classes=len(names))
    model = VGG(net).to(memory_format=torch.channels_last)
    if options.start:
        model.load_state_dict(earlier(options.start, net), strict=False)           # weights files lack the batch counters
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimiser = torch.optim.SGD([{"params": decayed, "weight_decay": options.decay}, {"params": others}],
                                lr=options.rate, momentum=0.9, nesterov=True)
    batches = len(x) // options.batch
    total, warm = options.epochs * batches, max(1, options.warmup * batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(total - step, 0) / max(total - warm, 1)))
    for epoch in range(options.epochs):
        start, loss_sum = time.time(), 0.0
        strength = options.strength if epoch < options.epochs - options.calm else 0.0
        order = torch.randperm(len(x), generator=generator)
        for b in range(batches):
            pick = order[b * options.batch:(b + 1) * options.batch]
            optimiser.zero_grad()
            loss = F.cross_entropy(model(augment(x[pick], generator, strength)), labels[pick],
                                   label_smoothing=options.smoothing)
            loss.backward()
            optimiser.step()
            schedule.step()
            mean.update_parameters(model)
            loss_sum += loss.item()
        print(f"epoch {epoch + 1:3d}  loss {loss_sum / batches:.4f}  test top-1 {accuracy(model, test_x, test_labels):.4f}"
              f"  mean {accuracy(mean, test_x, test_labels):.4f}  {time.time() - start:.0f} s", flush=True)
        torch.save({"state_dict": model.state_dict(), "classes": names}, options.out)
        torch.save({"state_dict": mean.module.state_dict(), "classes": names}, options.out.with_suffix(".mean.pth"))


if __name__ == "__main__":
    main()
