"""The checkpoints that others publish, as data.

    find("D")                   Checkpoint("vgg16", "vgg16-397923af.pth", …)
    find("vgg16").url           https://download.pytorch.org/models/vgg16-397923af.pth
    find("vgg16@timm")          the same network by another publisher

A name is NETWORK@PUBLISHER.  NETWORK is npvgg's name for it, with _features behind it where the file has no usable classifier;
a publisher's several files of one network have -VARIANT there (ONNX: the opset).  torchvision's need no @torchvision.

Publishers are named as in `weights_convert.schemes`.  CellEight/PytorchVGGNet is not among them: its README has a link to
weights that leads nowhere.
"""
from dataclasses import dataclass

from npvgg.architecture import canonical_name
from npvgg.errors import UnsupportedError, UsageError

DATASET = "ImageNet-1K"

# In the order in which `npvgg models` lists them.
PUBLISHERS = {
    "torchvision": "PyTorch's own",
    "timm": "torchvision's weights under timm's keys",
    "mmpretrain": "trained by OpenMMLab",
    "onnx": "the ONNX model zoo, float32 files; -7 and so on is the opset",
    "keras": "keras.applications; probabilities, the authors' weights",
    "caffe": "the authors' own, Oxford 2014; probabilities",
}

# What publishers give sizes in, and how far from it a size known only roughly may lie.
MIB = 2**20
ROUNDING = 525                            # half of the last of three decimals of MiB, in bytes
HEADER = 1 << 14                          # bytes of names and positions beside the numbers
METADATA = 1 << 20                        # … and of class names, configuration and whatever else is in `meta`


@dataclass(frozen=True)
class Checkpoint:
    """One published file, and what it is good for."""

    name: str                             # under which npvgg knows it
    file: str                             # what it is called on a mirror, and in the cache if it is kept
    url: str
    architecture: str
    size_bytes: int
    digest: str | None                    # "SHA-256:…" or the beginning of it, "SHA-1:…", "MD5:…"; None: none is known
    size_slack: int = 0                   # the published size is exact (0) or right to so many bytes
    top1: float | None = None             # per cent on the 50,000 validation pictures, one centre crop
    top5: float | None = None
    accuracy_source: str = "none is published"
    num_classes: int | None = 1000        # None: there is no usable classifier
    preset: str = "torchvision"
    opset: int | None = None              # of an ONNX file
    dataset: str = DATASET

    @property
    def publisher(self):
        """Who publishes it: what stands behind @ in its name, torchvision otherwise."""
        return self.name.partition("@")[2] or "torchvision"

    @property
    def checked_by(self):
        """What a download is compared with: 'SHA-256', 'SHA-256 (8/64)' where so many of its digits are known, 'size only'."""
        if self.digest is None:
            return "size only"
        algorithm, _, digits = self.digest.partition(":")
        all_digits = DIGITS[algorithm]
        return algorithm if len(digits) == all_digits else f"{algorithm} ({len(digits)}/{all_digits})"

    def has_size(self, count):
        """Whether a file of `count` bytes may be this one."""
        return abs(count - self.size_bytes) <= self.size_slack


# MD5 and SHA-1 tell a damaged file from a sound one, not a forged one; they are used where nothing better is published.
DIGITS = {"SHA-256": 64, "SHA-1": 40, "MD5": 32}


def find(name):
    """'vgg16', 'D', 'vgg16_features', 'vgg16-7@onnx' → its Checkpoint.

    UsageError where there is no such network or publisher, or the publisher has several; UnsupportedError where nobody
    publishes its weights.
    """
    lowered = str(name).lower().removesuffix("@torchvision").replace("-bn", "_bn")
    network, _, publisher = lowered.partition("@")
    if lowered in CHECKPOINTS:
        return CHECKPOINTS[lowered]
    if publisher and publisher not in PUBLISHERS:
        raise UsageError(f"there is no publisher called {publisher!r:.80}; npvgg knows {', '.join(PUBLISHERS)}")
    known = canonical_name(network)
    if not publisher and known in CHECKPOINTS:
        return CHECKPOINTS[known]
    offered = [entry for entry in CHECKPOINTS.values() if entry.publisher == publisher]
    same = [entry for entry in offered if entry.architecture == known and entry.num_classes]
    if len(same) == 1:
        return same[0]
    if same:
        raise UsageError(f"{publisher} publishes several files of {known}: {', '.join(entry.name for entry in same)}; "
                         "name one of them")
    lacking = f"{publisher} publishes no weights of {known}" if publisher else f"nobody publishes weights of {known}"
    have = f"{publisher} has {', '.join(entry.name for entry in offered)}; or " if publisher else ""
    raise UnsupportedError(f"{lacking}; {have}start from fresh ones with npvgg.create({known!r}), or convert a checkpoint of "
                           f"your own with `python -m weights_convert FILE OUT.h5 --model {known}`")


# ------------------------------------------------------------------------------------------------- torchvision

# URLs, accuracies and sizes are those of torchvision 0.28, models/vgg.py; the eight digits in a file's name are the first of
# its SHA-256.  The full digests and exact sizes stand in docs/provenance/vgg.md of github.com/LibreYOLO/libreyolo, whose
# authors hashed the files, and each in at least one unrelated table (VGG-16, VGG-16-BN: github.com/plai-group/
# ubc_primitives).  A digest from a single unofficial source is left out: a wrong one would refuse the right file.


def torchvision(name, digits, size_bytes, top1=None, top5=None, *, file=None, sha256=None, **facts):
    """An entry from torchvision's file name: 8 digits of its SHA-256, bytes or rounded MiB, accuracies in per cent."""
    file = file or f"{name}-{digits}.pth"
    size, slack = (size_bytes, 0) if isinstance(size_bytes, int) else (round(size_bytes * MIB), ROUNDING)
    source = "torchvision 0.28, models/vgg.py, _metrics" if top1 else "none is published"
    return Checkpoint(name, file, f"https://download.pytorch.org/models/{file}", name.removesuffix("_features"), size,
                      f"SHA-256:{sha256 or digits}", slack, top1, top5, source, **facts)


TORCHVISION = (
    torchvision("vgg11", "8a719046", 506.84, 69.020, 88.628),
    torchvision("vgg13", "19584684", 507.545, 69.928, 89.246),
    torchvision("vgg16", "397923af", 553_433_881, 71.592, 90.382,
                sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    torchvision("vgg19", "dcbb9e9d", 574_673_361, 72.376, 90.876,
                sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
    torchvision("vgg11_bn", "6002323d", 506.881, 70.370, 89.810),
    torchvision("vgg13_bn", "abd245e5", 507.59, 71.586, 90.374),
    torchvision("vgg16_bn", "6c64b313", 553_507_836, 73.360, 91.516,
                sha256="6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a"),
    torchvision("vgg19_bn", "c79401a0", 574_769_405, 74.218, 91.842,
                sha256="c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6"),
    # IMAGENET1K_FEATURES: trained on the paper's own input scaling, by way of amdegroot/ssd.pytorch; fc6–8 are NaN.
    torchvision("vgg16_features", "88682ab5", 527.802, file="vgg16_features-amdegroot-88682ab5.pth", num_classes=None,
                preset="torchvision-features"),
)

# ------------------------------------------------------------------------------------------------- timm

# Digests: the pages of the files, huggingface.co/timm/vgg16.tv_in1k/blob/main/model.safetensors and so on, which give the
# SHA-256 that Git LFS stores a file under; those of vgg11 and vgg16 also in ferrotorch-hub, src/registry.rs.  No copy of
# vgg13's and vgg11_bn's pages for .safetensors was at hand: vgg13 is taken as pytorch_model.bin, whose page was, and vgg11_bn
# from the only commit that touched the file.  Sizes: the parameters and their header as safetensors writes it; the pages round.
# Accuracies: timm 1.0, results/results-imagenet.csv.


def timm(name, size_bytes, top1, top5, sha256, *, file="model.safetensors", revision="main"):
    """An entry on timm's hub page: bytes, accuracies in per cent, SHA-256."""
    url = f"https://huggingface.co/timm/{name}.tv_in1k/resolve/{revision}/{file}"
    return Checkpoint(f"{name}@timm", f"{name}.tv_in1k.{file}", url, name, size_bytes, sha256 and f"SHA-256:{sha256}", HEADER,
                      top1, top5, "timm 1.0, results/results-imagenet.csv")


TIMM = (
    timm("vgg11", 531_455_312, 69.050, 88.630, "682c023808812148d4e60c76d80ad83dbeaf5d50eb1a952a0b836895003151e5"),
    timm("vgg13", 532_198_000, 69.950, 89.262, "0646b051329fb1361118694368b128f7b0564a808e493fa849e17cf92353880f",
         file="pytorch_model.bin"),
    timm("vgg16", 553_433_016, 71.594, 90.398, "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"),
    timm("vgg19", 574_672_336, 72.400, 90.878, "11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669"),
    timm("vgg11_bn", 531_502_832, 70.374, 89.802, None, revision="1eb350bbb712e01a71a259d3296ac996539a9f0e"),
    timm("vgg13_bn", 532_245_152, 71.560, 90.372, "7dae235e35772693cd527e7ac9ef8f6594707a14a8d26aabdb83c0baa6847861"),
    timm("vgg16_bn", 553_506_288, 73.354, 91.490, "88bbedbc8e780413736db38ac4efd41b06fc0e93fd5b8879b584bba63a950129"),
    timm("vgg19_bn", 574_767_416, 74.230, 91.848, "f8249087e63bae61c6166bb23d7c26efe1b2a43fd9fb5cd60ac6ce00535ba312"),
)

# ------------------------------------------------------------------------------------------------- mmpretrain

# URLs and accuracies: mmpretrain, configs/vgg/README.md and metafile.yml (older copies of the latter give vgg19_bn's file for
# vgg19).  The last eight digits of a name are the first of the file's SHA-256 (tools/model_converters/publish_model.py).
# The sizes are not published.


def mmpretrain(name, released, digits, stored_bytes, top1, top5):
    """An entry of OpenMMLab's model zoo: date of release, 8 digits of its SHA-256, bytes, accuracies in per cent."""
    file = f"{name}_batch256_imagenet_{released}-{digits}.pth"
    return Checkpoint(f"{name}@mmpretrain", file, f"https://download.openmmlab.com/mmclassification/v0/vgg/{file}", name,
                      stored_bytes, f"SHA-256:{digits}", METADATA, top1, top5, "mmpretrain, configs/vgg/README.md",
                      preset="mmpretrain")


MMPRETRAIN = (
    mmpretrain("vgg11", 20210208, "4271cd6c", 531_453_344, 68.75, 88.87),
    mmpretrain("vgg13", 20210208, "4d1d6080", 532_191_392, 70.02, 89.46),
    mmpretrain("vgg16", 20210208, "db26f1a5", 553_430_176, 71.62, 90.49),
    mmpretrain("vgg19", 20210208, "e6920e4a", 574_668_960, 72.41, 90.80),
    mmpretrain("vgg11_bn", 20210207, "f244902c", 531_497_376, 70.67, 90.16),
    mmpretrain("vgg13_bn", 20210207, "1a8b7864", 532_238_496, 72.12, 90.66),
    mmpretrain("vgg16_bn", 20210208, "7e55cd29", 553_497_760, 73.74, 91.66),
    mmpretrain("vgg19_bn", 20210208, "da620c4f", 574_757_024, 74.68, 92.27),
)

# ------------------------------------------------------------------------------------------------- ONNX model zoo

# Sizes and SHA-256: ONNX_HUB_MANIFEST.json and the Git LFS pointers of github.com/onnx/models (vgg16-7's also in a table of
# unofficial sources that hashed it); since July 2025 the files themselves are at huggingface.co/onnxmodelzoo.  Accuracies: the
# zoo's vgg/README.md, whose pictures were squashed to 256×256 rather than resized; the Caffe2 files have none there.
# Those are Oxford's VGG-19: pictures in BGR from 0 to 255, and probabilities.

ZOO = "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/vgg/model"


def onnx(name, opset, size_bytes, sha256, top1=None, top5=None, *, caffe2=False):
    """An entry of the ONNX model zoo, for one opset: bytes, SHA-256, accuracies in per cent."""
    variant = f"-caffe2-{opset}" if caffe2 else f"-{opset}"
    file = f"{name.replace('_', '-')}{variant}.onnx"
    source = "github.com/onnx/models, vgg/README.md" if top1 else "none is published"
    return Checkpoint(f"{name}{variant}@onnx", file, f"{ZOO}/{file}", name, size_bytes, f"SHA-256:{sha256}", 0, top1, top5,
                      source, preset="caffe" if caffe2 else "torchvision", opset=opset)


ONNX = (
    onnx("vgg16", 7, 553_437_328, "f20805a3ecccaa88647bbab4ad011ff2412a9838485ea844de0fcbce349820b9", 72.62, 91.14),
    onnx("vgg16", 12, 553_437_752, "722c42f53ca03a5480296bf8f9c85a151de3eed9ec982d7d2302ff6e2900c67b", 72.38, 91.00),
    onnx("vgg16_bn", 7, 553_512_191, "4fdceabf1ef715c9ed3020fa2eac1cb2a448296c086b03633c80cf47e1c5afce", 72.71, 91.21),
    onnx("vgg19", 7, 574_677_321, "692f9f927f1df1b89033787a77a73eac59fd9b3344f9ecdf0b13221e41c2046f", 73.72, 91.58),
    onnx("vgg19_bn", 7, 574_774_380, "ce0987dfa6228ad29708013f38b7f73cbc14ca6066a05fc22ee49b35871c63ed", 73.83, 91.79),
    onnx("vgg19", 3, 574_674_684, "2a7d16457887670e978c9bcfc64e686482d1da807fcfbd7536074e47ad4540f7", caffe2=True),
    onnx("vgg19", 6, 574_674_798, "088ee597d84957594ded3fd44d669ed142ce2484048e1d9f7fafeb66d12913fa", caffe2=True),
    onnx("vgg19", 7, 574_674_712, "967f4f585137782d541301ba2d4a9c006be92671de53e37739d92e386e3124ea", caffe2=True),
    onnx("vgg19", 8, 574_674_712, "639ce28961555254d0726c6bb7b2ae7bb9665233d00e04d1add3425aae86cb87", caffe2=True),
    onnx("vgg19", 9, 574_674_712, "cfb97260b303ad3963999662456571b89c5f73dbdd2fd9dffd19fed7a90f766b", caffe2=True),
)

# ------------------------------------------------------------------------------------------------- Keras

# Addresses and MD5: keras/src/applications/vgg16.py and vgg19.py.  Sizes: what Keras' progress bar counts to, in many logs.
# Accuracies: keras-applications' table of errors, 28.732 and 9.950 (VGG16), 28.744 and 10.012 (VGG19).


def keras(name, size_bytes, md5, top1=None, top5=None):
    """An entry of keras-applications: bytes, MD5, accuracies in per cent."""
    network, features, _ = name.partition("_features")
    file = f"{network}_weights_tf_dim_ordering_tf_kernels{'_notop' if features else ''}.h5"
    source = "none is published" if features else "keras-applications, README.md"
    return Checkpoint(f"{name}@keras", file, f"https://storage.googleapis.com/tensorflow/keras-applications/{network}/{file}",
                      network, size_bytes, f"MD5:{md5}", 0, top1, top5, source, None if features else 1000, "caffe")


KERAS = (
    keras("vgg16", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b", 71.268, 90.050),
    keras("vgg19", 574_710_816, "cbe5617147190e668d6c5d5026f83318", 71.256, 89.988),
    keras("vgg16_features", 58_889_256, "6d6bbae143d832006294945121d1f1fc"),
    keras("vgg19_features", 80_134_624, "253f8cb515780f3b799900260a226db6"),
)

# ------------------------------------------------------------------------------------------------- Caffe

# Sizes, accuracies (single centre crop) and VGG-16's SHA-256: open_model_zoo, models/public/vgg16 and vgg19, and the first
# twelve digits in another's notes.  VGG-19's SHA-256 is not published; the SHA-1 is in mxnet's caffe_converter/model_zoo.py and
# others' download scripts.


def caffe(name, size_bytes, digest, top1, top5):
    """An entry of the authors' own Caffe models: bytes, digest, accuracies in per cent."""
    file = f"VGG_ILSVRC_{name.removeprefix('vgg')}_layers.caffemodel"
    return Checkpoint(f"{name}@caffe", file, f"https://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/{file}", name,
                      size_bytes, digest, 0, top1, top5, "open_model_zoo, models/public", preset="caffe")


CAFFE = (
    caffe("vgg16", 553_432_081, "SHA-256:a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197", 70.968, 89.878),
    caffe("vgg19", 574_671_192, "SHA-1:239785e7862442717d831f682bb824055e51e9ba", 71.062, 89.832),
)

CHECKPOINTS = {entry.name: entry for entry in (*TORCHVISION, *TIMM, *MMPRETRAIN, *ONNX, *KERAS, *CAFFE)}

# ------------------------------------------------------------------------------------------------- files that are met elsewhere

# The authors' weights under torchvision's keys, and so with Caffe's preparation: github.com/jcjohnson/pytorch-vgg.  Digits of
# the SHA-256 as in their names → name, preset.
MET_ELSEWHERE = {"00b39a1b": ("vgg16-00b39a1b.pth", "caffe"), "d01eb7cb": ("vgg19-d01eb7cb.pth", "caffe")}


@dataclass(frozen=True)
class Published:
    """What is known of a file because it is a published one."""

    preset: str
    sentence: str                         # how it was known


def published(name: str, sha256: str) -> Published | None:
    """A file's name and SHA-256 → what is known of it; None for a file that nobody here knows.

    The digest decides; a name alone is believed where keys and shapes cannot tell two preparations apart, and said.
    """
    files = {entry.digest.removeprefix("SHA-256:"): (entry.file, entry.preset) for entry in CHECKPOINTS.values()
             if entry.digest and entry.digest.startswith("SHA-256:")} | MET_ELSEWHERE
    for digits, (file, preset) in files.items():
        if sha256.startswith(digits):
            return Published(preset, f"it is {file} by its SHA-256, prepared as {preset} does")
    for file, preset in MET_ELSEWHERE.values():
        if name == file:
            return Published(preset, f"it is called {file}, whose pictures are prepared as {preset} does; its SHA-256 is "
                                     "another (--preset)")
    return None
