"""Train the network that npvgg bundles: configuration B with batch norm, narrow, on CIFAR-10, with PyTorch.

    torchrun --nproc-per-node 2 docs/bundled-network/train.py CIFAR10_FOLDER OUT.pth [--earlier FILE] [options]

CIFAR10_FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg.  Needs torch==2.13.0, NumPy and Pillow.  OUT.pth gets the last
parameters and OUT.mean.pth their running mean, both with the class names; convert either with weights_convert.  The README
beside this file has the commands that made the bundled network, and what they reached.

Each process trains on one thread with its share of every batch, and the gradients are averaged: on a machine that does other
work too, one exchange a step waits less than the hundreds of OpenMP barriers of a single process with two threads.
"""
import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import distributed, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from npvgg import images, weights
from npvgg.architecture import architecture
from weights_convert.schemes.torchvision import TORCHVISION

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


def table(width, classes):
    return architecture("vgg13_bn", width=width, input_size=SIDE, pooled_size=1, hidden=(), num_classes=classes)


def earlier(path, classes):
    """A checkpoint of this script, or an npvgg weights file → the network."""
    if path.suffix == ".h5":
        parameters = weights.read(path, verify=True).parameters
        keys = TORCHVISION.paths(table(parameters["conv1_1/weight"].shape[0] / 64, classes))
        state = {key: torch.tensor(parameters[name]) for key, name in keys.items()}
    else:
        state = torch.load(path)["state_dict"]
    model = VGG(table(state["features.0.weight"].shape[0] / 64, classes)).to(memory_format=torch.channels_last)
    model.load_state_dict(state, strict=False)                                     # weights files lack the batch counters
    return model


def widen(old, model, noise=0.03):
    """Copy the channels of a trained network into a wider one that computes the same (Net2Wider, Chen et al. 2016, section 2).

    A channel that is copied k times enters the next layer with 1/k of its weights; `noise` × their standard deviation, added
    to the copies, lets them part.
    """
    state, wider = old.state_dict(), model.state_dict()
    source, copies = torch.arange(3), torch.ones(3)
    for key in (key for key in state if state[key].ndim == 4):
        number, inputs = int(key.split(".")[1]), source
        outputs, added = state[key].shape[0], wider[key].shape[0] - state[key].shape[0]
        source = torch.cat([torch.arange(outputs), torch.randperm(outputs)[:added]])
        weight = state[key][source][:, inputs] / copies[inputs][:, None, None]
        weight[outputs:] += noise * weight.std() * torch.randn_like(weight[outputs:])
        wider[key] = weight
        wider[f"features.{number}.bias"] = state[f"features.{number}.bias"][source]
        for field in ("weight", "bias", "running_mean", "running_var"):
            wider[f"features.{number + 1}.{field}"] = state[f"features.{number + 1}.{field}"][source]
        copies = torch.bincount(source, minlength=outputs).float()
    wider["classifier.0.weight"] = state["classifier.0.weight"][:, source] / copies[source]
    wider["classifier.0.bias"] = state["classifier.0.bias"]
    model.load_state_dict(wider)


def average(tensors):
    """The mean over the processes, in place."""
    if distributed.is_initialized():
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view_as(tensor) / distributed.get_world_size())


@torch.no_grad()
def measure_norms(model, x, generator):
    """Batch norms' means and variances anew, over all training pictures.

    Those of averaged weights are not the averages of theirs (Izmailov et al. 2018, section 3.2).
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None                                                         # the plain mean over the batches
    order = torch.randperm(len(x), generator=generator)
    for i in range(0, len(x), 500):
        model(augment(x[order[i:i + 500]], generator, 0.0))
    average([buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)])


@torch.no_grad()
def accuracy(model, x, labels):
    """Top-1 over all processes' equal shares of the pictures."""
    model.eval()
    hits = sum((model(x[i:i + 500]).argmax(1) == labels[i:i + 500]).sum() for i in range(0, len(x), 500))
    model.train()
    top1 = hits / torch.tensor(float(len(x)))
    average([top1])
    return top1.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--earlier", type=Path, help="a checkpoint of this script or a weights file, of this width or less")
    parser.add_argument("--teacher", type=Path, nargs="*", default=[], help="networks whose answers are part of the target")
    parser.add_argument("--trust", type=float, default=0.5, help="their part")
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--minutes", type=float, help="stop after so long instead: the rates then follow the clock")
    parser.add_argument("--calm", type=float, default=1.0, help="share of it, at the end, that only shifts and mirrors")
    parser.add_argument("--strength", type=float, default=1.0, help="of the changes before that, see augment")
    parser.add_argument("--rate", type=float, default=0.12, help="the largest learning rate; it falls to 0 in a line")
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the training in which it rises")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay of the weights")
    parser.add_argument("--smoothing", type=float, default=0.05, help="of the labels")
    parser.add_argument("--width", type=float, default=0.375)
    parser.add_argument("--batch", type=int, default=128, help="pictures a step, over all processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if "RANK" in os.environ:                                                         # started by torchrun
        distributed.init_process_group("gloo")
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    torch.manual_seed(options.seed)                                                  # the same network in every process
    order_generator = torch.Generator().manual_seed(options.seed)
    generator = torch.Generator().manual_seed(1000 * options.seed + rank)
    x, labels, names = read(options.data / "train")
    test_x, test_labels, _ = read(options.data / "test")
    test_x, test_labels = test_x[rank::processes], test_labels[rank::processes]
    model = VGG(table(options.width, len(names))).to(memory_format=torch.channels_last)
    if options.earlier:
        widen(earlier(options.earlier, len(names)), model)
    teachers = [earlier(path, len(names)).eval() for path in options.teacher]
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimiser = torch.optim.SGD([{"params": decayed, "weight_decay": options.decay}, {"params": others}],
                                lr=options.rate, momentum=0.9, nesterov=True)
    share = options.batch // processes
    batches = len(x) // options.batch
    began, epoch, progress = time.time(), 0, torch.zeros(())
    while progress < 1:
        start, loss_sum = time.time(), 0.0
        order = torch.randperm(len(x), generator=order_generator)
        for b in range(batches):
            done = (time.time() - began) / (60 * options.minutes) if options.minutes else (epoch + b / batches) / options.epochs
            progress.fill_(done)
            average([progress])                                                      # the clocks differ by microseconds
            if progress >= 1:
                break
            optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = options.rate * min(
                (progress.item() + 1e-3) / max(options.warmup, 1e-3), (1 - progress.item()) / (1 - options.warmup))
            pick = order[b * options.batch + rank * share:b * options.batch + (rank + 1) * share]
            pictures = augment(x[pick], generator, options.strength if progress < 1 - options.calm else 0.0)
            target = F.one_hot(labels[pick], len(names)) * (1 - options.smoothing) + options.smoothing / len(names)
            if teachers:
                # The loss is linear in its target, so one teacher drawn a step, with or without mirroring, stands for the mean
                # of all of them.
                teacher, mirrored = teachers[torch.randint(len(teachers), ()).item()], torch.rand(()) < 0.5
                with torch.no_grad():
                    answer = teacher(pictures.flip(3) if mirrored else pictures).softmax(1)
                target = (1 - options.trust) * target + options.trust * answer
            optimiser.zero_grad()
            loss = F.cross_entropy(model(pictures), target)
            loss.backward()
            average([parameter.grad for parameter in model.parameters()])
            optimiser.step()
            mean.update_parameters(model)
            loss_sum += loss.item()
        epoch += 1
        average([buffer for network in (model, mean.module) for buffer in network.buffers() if buffer.is_floating_point()])
        if progress >= 1 or not options.minutes and epoch == options.epochs:
            measure_norms(mean.module, x, generator)
        top1, mean_top1 = accuracy(model, test_x, test_labels), accuracy(mean, test_x, test_labels)
        if rank == 0:
            print(f"epoch {epoch:3d}  {progress.item():6.1%}  loss {loss_sum / max(b, 1):.4f}  test top-1 {top1:.4f}"
                  f"  mean {mean_top1:.4f}  {time.time() - start:.0f} s", flush=True)
            for path, network in ((options.out, model), (options.out.with_suffix(".mean.pth"), mean.module)):
                torch.save({"state_dict": network.state_dict(), "classes": names}, path)
        if not options.minutes and epoch == options.epochs:
            break
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
