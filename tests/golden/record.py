"""python tests/golden/record.py: ask PyTorch again for everything in this folder (tests/witnesses/golden.py says what)."""
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[2]))

import numpy as np
import torch
from PIL import Image
from witnesses import golden
from witnesses.networks import lively, synthetic

from npvgg.parity import recording
from weights_convert.schemes.torchvision import TORCHVISION


def main():
    torch.set_num_threads(1)                              # so that one machine gives the same bits each time
    for name in golden.CASES:
        net, parameters, x = golden.fresh(name)
        golden.save(name, parameters, x, *(trace(net, parameters, x.astype(dtype)) for dtype in (np.float32, np.float64)))
    checkpoints()
    Image.fromarray(synthetic(3, 40, 53)).save(golden.FOLDER / "tiny.png")
    recording.record(golden.FOLDER / "tiny-zip.pth", [golden.FOLDER / "tiny.png"], golden.FOLDER / "tiny-trace.h5",
                        force=True)
    print(f"{sum(path.stat().st_size for path in golden.FOLDER.glob('*.*')):,} bytes by PyTorch {torch.__version__}")


def trace(net, parameters, x):
    """→ {layer: what PyTorch computes}."""
    return {layer.name: y for layer, y in recording.outputs(torch, net, parameters, x)}


def checkpoints():
    """The same network in both containers: bare in the old one, nested beside its class names in the new one."""
    vgg = lively("vgg11_bn", seed=11, width=1 / 32, hidden=(12, 9), num_classes=4, pooled_size=1, input_size=32)
    state = {key: torch.tensor(vgg.parameters[path]) for key, path in TORCHVISION.paths(vgg.architecture).items()}
    state |= {key: torch.tensor(7) for key in TORCHVISION.ignorable(vgg.architecture)}
    # Not contiguous, and cut out of a larger storage, as a slice of a parameter is.
    state["classifier.0.weight"] = torch.cat([state["classifier.0.weight"]] * 2).T.contiguous().T[:12]
    nested = {"state_dict": state, "classes": ["ant", "bee", "cat", "dog"], "epoch": 90}
    torch.save(state, golden.FOLDER / "tiny-legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(nested, golden.FOLDER / "tiny-zip.pth")
    digests = {key: golden.digest(tensor.numpy()) for key, tensor in state.items()}
    (golden.FOLDER / "tiny-digests.json").write_text(json.dumps(digests, indent=0) + "\n")


if __name__ == "__main__":
    main()
