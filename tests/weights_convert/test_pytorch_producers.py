"""Files as PyTorch's trainers write them, by the genuine ones: converted, the network gives the answer of the model inside.

Lightning 2.6 (pytorch_lightning), timm 1.0 (CheckpointSaver, save_for_hf), huggingface_hub 2 (save_torch_state_dict), PyTorch's
AveragedModel, DataParallel, compile and prune, in the layouts of torchvision's references.  Each is skipped where it is not
installed:

    pip install --no-deps pytorch-lightning lightning-utilities torchmetrics timm huggingface_hub
    python -m pytest -m heavy tests/weights_convert/test_pytorch_producers.py
"""
import argparse
import warnings

import numpy as np
import pytest
from witnesses.torchvision_witness import torchvision

from npvgg import network
from weights_convert.convert import convert

torch = pytest.importorskip("torch")
torch_networks = pytest.importorskip("witnesses.torch_networks")
pytestmark = pytest.mark.heavy


def model():
    """torchvision's VGG-11, narrow."""
    vgg = torchvision().models.VGG(torch.nn.Sequential(*torch_networks.plain("vgg11")), num_classes=5, init_weights=False)
    vgg.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    vgg.classifier = torch.nn.Sequential(torch.nn.Linear(32, 12), torch.nn.ReLU(True), torch.nn.Dropout(),
                                         torch.nn.Linear(12, 5))
    return torch_networks.stirred(vgg)


def agrees(report, vgg, side=32):
    x = np.random.default_rng(1).standard_normal((2, 3, side, side), np.float32)
    with torch.inference_mode():
        exact = vgg.eval().double()(torch.from_numpy(x).double()).numpy()
    ours = network.load_file(report.path).forward(x)
    return ours.shape == exact.shape and abs(ours - exact).max() <= 1e-5 * abs(exact).max() > 0


def test_lightning(tmp_path):
    torchvision()
    lightning = pytest.importorskip("pytorch_lightning", exc_type=ImportError)

    class Trained(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.model = model()

        def training_step(self, batch, index):
            return torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)

    data = torch.utils.data.TensorDataset(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
    trained = Trained()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
                                    enable_model_summary=False, default_root_dir=tmp_path)
        trainer.fit(trained, torch.utils.data.DataLoader(data, batch_size=2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    report = convert(tmp_path / "last.ckpt", tmp_path / "out.h5")
    assert agrees(report, trained.model) and any("'model.' in front of the keys" in remark for remark in report.remarks)


@pytest.mark.parametrize("key", [None, "state_dict_ema"])
def test_timms_saver(tmp_path, key):
    torchvision()
    pytest.importorskip("timm")
    from timm.models.vgg import VGG
    from timm.utils import CheckpointSaver, ModelEmaV3

    vgg = torch_networks.stirred(VGG(list(torch_networks.tokens("vgg11")), num_classes=5, mlp_ratio=0.005))
    average = ModelEmaV3(vgg)
    for parameter in average.module.parameters():
        parameter.data *= 0.5
    optimizer = torch.optim.SGD(vgg.parameters(), lr=0.1, momentum=0.9)
    saver = CheckpointSaver(vgg, optimizer, args=argparse.Namespace(model="vgg11"), model_ema=average,
                            checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path))
    saver.save_checkpoint(1, metric=0.5)
    report = convert(tmp_path / "last.pth.tar", tmp_path / "out.h5", key=key)
    assert agrees(report, average.module if key else vgg, 224)
    assert any("'state_dict_ema' were left alone" in remark for remark in report.remarks) == (key is None)


def test_timms_folder(tmp_path):
    torchvision()
    timm = pytest.importorskip("timm")
    pytest.importorskip("huggingface_hub.hf_api", exc_type=ImportError)
    from timm.models import save_for_hf

    vgg = torch_networks.stirred(timm.create_model("vgg11", num_classes=3, mlp_ratio=0.005, pretrained_cfg_overlay={
        "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}))
    save_for_hf(vgg, tmp_path / "hub", model_config={"label_names": ["a", "b", "c"], "num_classes": 3})
    report = convert(tmp_path / "hub", tmp_path / "out.h5")
    preset = network.load_file(report.path).preset
    assert (preset.mean, preset.std, preset.crop) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 224) and agrees(report, vgg, 224)
    assert network.load_file(report.path).class_names == ("a", "b", "c")


@pytest.mark.parametrize("pattern", ["model{suffix}.safetensors", "pytorch_model{suffix}.bin"])
def test_shards_of_the_hub(tmp_path, pattern):
    hub = pytest.importorskip("huggingface_hub")
    vgg = model()
    hub.save_torch_state_dict(vgg.state_dict(), tmp_path, filename_pattern=pattern, max_shard_size=60_000,
                              safe_serialization=pattern.endswith("safetensors"))
    assert len(list(tmp_path.glob("*-of-*"))) > 1
    assert agrees(convert(tmp_path, tmp_path / "out.h5"), vgg)


@pytest.mark.parametrize("key", [None, "model_ema"])
def test_torchvisions_reference(tmp_path, key):
    """references/classification/train.py keeps both, the average as an AveragedModel."""
    vgg = model()
    average = torch.optim.swa_utils.AveragedModel(vgg)
    for parameter in average.parameters():
        parameter.data *= 0.5
    content = {"model": vgg.state_dict(), "optimizer": torch.optim.SGD(vgg.parameters(), lr=0.1).state_dict(), "epoch": 3,
               "args": argparse.Namespace(model="vgg11"), "model_ema": average.state_dict()}
    torch.save(content, tmp_path / "model_3.pth")
    report = convert(tmp_path / "model_3.pth", tmp_path / "out.h5", key=key)
    assert agrees(report, average.module if key else vgg)


WRAPPED = {
    "DataParallel": torch.nn.DataParallel, "compile": torch.compile,
    "both": lambda vgg: torch.compile(torch.nn.DataParallel(vgg)),
    "twice": lambda vgg: torch.nn.DataParallel(torch.nn.DataParallel(vgg)),
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers(tmp_path, wrap):
    vgg = model()
    torch.save(wrap(vgg).state_dict(), tmp_path / "net.pth")
    assert agrees(convert(tmp_path / "net.pth", tmp_path / "out.h5"), vgg)


def test_pytorchs_examples(tmp_path):
    """imagenet/main.py wraps VGG's features alone, for its dense layers are too large to be copied."""
    vgg = model()
    vgg.features = torch.nn.DataParallel(vgg.features)
    content = {"epoch": 1, "arch": "vgg11", "state_dict": vgg.state_dict(), "best_acc1": torch.tensor(0.5)}
    torch.save(content, tmp_path / "net.pth")
    report = convert(tmp_path / "net.pth", tmp_path / "out.h5")
    vgg.features = vgg.features.module
    assert agrees(report, vgg)


def test_pruned(tmp_path):
    from torch.nn.utils import prune

    vgg = model()
    for module in vgg.modules():
        if hasattr(module, "weight"):
            prune.l1_unstructured(module, "weight", 0.4)
    torch.save(vgg.state_dict(), tmp_path / "net.pth")
    report = convert(tmp_path / "net.pth", tmp_path / "out.h5")
    for module in vgg.modules():
        if hasattr(module, "weight"):
            prune.remove(module, "weight")
    assert agrees(report, vgg)


@pytest.mark.parametrize("norm", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.parametrizations.spectral_norm])
def test_weights_that_are_computed_are_refused(tmp_path, norm):
    from npvgg.errors import UnsupportedError

    vgg = model()
    norm(vgg.classifier[0])
    torch.save(vgg.state_dict(), tmp_path / "net.pth")
    with pytest.raises(UnsupportedError, match="'classifier.0.parametrizations"):
        convert(tmp_path / "net.pth", tmp_path / "out.h5")
