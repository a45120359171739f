"""The checkpoints that torchvision publishes, as data.

    find("D")                   Checkpoint("vgg16", "vgg16-397923af.pth", …)
    find("vgg16").url           https://download.pytorch.org/models/vgg16-397923af.pth

URLs, accuracies and sizes are those of torchvision 0.28, models/vgg.py; the eight digits in a file's name are the first
of its SHA-256.
"""
import re
from dataclasses import dataclass

from npvgg.architecture import canonical_name
from npvgg.errors import UnsupportedError

SERVER = "https://download.pytorch.org/models"
DATASET = "ImageNet-1K"

# torchvision gives sizes in MiB with three decimals: half a unit of the last one, in bytes.
MIB, ROUNDING = 2**20, 525


@dataclass(frozen=True)
class Checkpoint:
    """One published file, and what it is good for."""

    name: str                             # under which npvgg knows it
    file: str
    architecture: str
    size_bytes: int
    size_slack: int = 0                   # the published size is exact (0) or right to so many bytes
    full_sha256: str | None = None        # None: no more is known than the digits in the file's name
    top1: float | None = None             # per cent on the 50,000 validation pictures, one centre crop
    top5: float | None = None
    num_classes: int | None = 1000        # None: there is no usable classifier
    preset: str = "torchvision"
    accuracy_source: str = "torchvision 0.28, models/vgg.py, _metrics"
    dataset: str = DATASET

    @property
    def url(self):
        return f"{SERVER}/{self.file}"

    @property
    def sha256(self):
        """All 64 digits where `full_sha256` has them, otherwise the eight in the file's name."""
        return self.full_sha256 or re.search(r"-([0-9a-f]{8})\.pth$", self.file)[1]

    def has_size(self, count):
        """Whether a file of `count` bytes may be this one."""
        return abs(count - self.size_bytes) <= self.size_slack


# The full digests and exact sizes stand in docs/provenance/vgg.md of github.com/LibreYOLO/libreyolo, whose authors
# hashed the files, and each in at least one unrelated table (VGG-16, VGG-16-BN: github.com/plai-group/ubc_primitives).
# A digest that only one source gives is left out: a wrong one would refuse the right file.
CHECKPOINTS = {checkpoint.name: checkpoint for checkpoint in (
    Checkpoint("vgg11", "vgg11-8a719046.pth", "vgg11", round(506.84 * MIB), ROUNDING, top1=69.020, top5=88.628),
    Checkpoint("vgg13", "vgg13-19584684.pth", "vgg13", round(507.545 * MIB), ROUNDING, top1=69.928, top5=89.246),
    Checkpoint("vgg16", "vgg16-397923af.pth", "vgg16", 553_433_881, top1=71.592, top5=90.382,
               full_sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    Checkpoint("vgg19", "vgg19-dcbb9e9d.pth", "vgg19", 574_673_361, top1=72.376, top5=90.876,
               full_sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
    Checkpoint("vgg11_bn", "vgg11_bn-6002323d.pth", "vgg11_bn", round(506.881 * MIB), ROUNDING,
               top1=70.370, top5=89.810),
    Checkpoint("vgg13_bn", "vgg13_bn-abd245e5.pth", "vgg13_bn", round(507.59 * MIB), ROUNDING,
               top1=71.586, top5=90.374),
    Checkpoint("vgg16_bn", "vgg16_bn-6c64b313.pth", "vgg16_bn", 553_507_836, top1=73.360, top5=91.516,
               full_sha256="6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a"),
    Checkpoint("vgg19_bn", "vgg19_bn-c79401a0.pth", "vgg19_bn", 574_769_405, top1=74.218, top5=91.842,
               full_sha256="c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6"),
    # IMAGENET1K_FEATURES: trained on the paper's own input scaling, by way of amdegroot/ssd.pytorch; fc6–8 are NaN.
    Checkpoint("vgg16_features", "vgg16_features-amdegroot-88682ab5.pth", "vgg16", round(527.802 * MIB), ROUNDING,
               num_classes=None, preset="torchvision-features", accuracy_source="none is published"),
)}


def find(name):
    """'vgg16', 'D' or 'vgg16_features' → its Checkpoint.

    UsageError where there is no such network, UnsupportedError where nobody publishes its weights.
    """
    lowered = str(name).lower()
    known = lowered if lowered in CHECKPOINTS else canonical_name(name)
    if known not in CHECKPOINTS:
        raise UnsupportedError(f"torchvision publishes no weights of {known}; start from fresh ones with "
                               f"npvgg.create({known!r}), or convert a checkpoint of your own with "
                               f"`python -m weights_convert FILE OUT.h5 --model {known}`")
    return CHECKPOINTS[known]
