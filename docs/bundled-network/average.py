"""Average the weights of networks that lie close together, and measure their batch norms anew.

    python docs/bundled-network/average.py CIFAR10_FOLDER OUT.pth 0.4 four.mean.pth 0.4 five.mean.pth 0.2 three.mean.pth

Needs what train.py needs, and stands beside it.
"""
import argparse
from pathlib import Path

import torch
from train import VGG, measure_norms, read, table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="+", metavar="SHARE FILE", help="a share of the whole, and a checkpoint of train.py")
    options = parser.parse_args()
    x, _, names = read(options.data / "train")
    shares, states = map(float, options.parts[::2]), [torch.load(file)["state_dict"] for file in options.parts[1::2]]
    mean = {key: torch.zeros_like(value) for key, value in states[0].items() if value.is_floating_point()}
    for share, state in zip(shares, states, strict=True):
        for key in mean:
            mean[key] += share * state[key]
    model = VGG(table(len(mean["features.0.bias"]) / 64, len(names))).to(memory_format=torch.channels_last)
    model.load_state_dict(mean, strict=False)                                        # without the batch counters
    measure_norms(model, x, torch.Generator().manual_seed(0))
    torch.save({"state_dict": model.state_dict(), "classes": names}, options.out)


if __name__ == "__main__":
    main()
