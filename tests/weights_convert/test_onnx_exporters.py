"""Graphs that PyTorch's two exporters write of torchvision's, timm's and others' networks: the same answer, to the bound."""
import logging
import warnings
from dataclasses import replace

import numpy as np
import pytest
from witnesses.torchvision_witness import torchvision

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import UnsupportedError
from weights_convert.convert import convert

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
torch_networks = pytest.importorskip("witnesses.torch_networks")

# Of the largest logit: the bound of the tests against PyTorch.
BOUND = 1e-5


def exporters():
    yield pytest.param({"dynamo": False, "opset_version": 11}, id="legacy 11")
    yield pytest.param({"dynamo": False, "opset_version": 17, "dynamic_axes": {"x": {0: "N"}}}, id="legacy 17, any batch")
    yield pytest.param({"dynamo": True, "opset_version": 18}, id="current 18")
    yield pytest.param({"dynamo": True, "opset_version": 21, "dynamic_shapes": {"x": {0: torch.export.Dim("N", min=1)}}},
                       id="current 21, any batch")


def exported(model, path, size, **how):
    """Write `model` as `path`; returns an input and the model's own answer in float64."""
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    if how["dynamo"]:
        pytest.importorskip("onnxscript")
        how["verbose"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(inputs_named_x(model), (x,), str(path), input_names=["x"], **how)
        finally:
            logging.disable(logging.NOTSET)
    with torch.inference_mode():
        exact = model.double()(x.double()).numpy()
    return x.numpy(), exact


def inputs_named_x(model):
    """The current exporter names dynamic shapes by the argument."""
    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x)

    return Named().eval()


def check(folder, model, net, *, size, preset="torchvision", **how):
    """Dropout is not exported."""
    net = replace(net, head=net.head.replace(" drop", ""))
    x, exact = exported(model, folder / "net.onnx", size, **how)
    report = convert(folder / "net.onnx", folder / "out.h5")
    vgg = network.load_file(report.path)
    assert (report.scheme, report.source_output, vgg.architecture) == ("onnx", "logits", net) and vgg.preset.name == preset
    assert abs(vgg.forward(x) - exact).max() < BOUND * abs(exact).max()
    runtime = pytest.importorskip("witnesses.onnx_runtime")
    answer = runtime.run(folder / "net.onnx", x)
    assert abs(vgg.forward(x) - answer).max() < BOUND * abs(exact).max()
    return report, vgg


def torchvision_network(name):
    vgg = pytest.importorskip("torchvision.models.vgg") if torchvision() else None
    model = vgg.VGG(vgg.make_layers(list(torch_networks.tokens(name)), name.endswith("_bn")), num_classes=5, init_weights=False)
    model.classifier[0] = torch.nn.Linear(32 * 49, 12)
    model.classifier[3], model.classifier[6] = torch.nn.Linear(12, 9), torch.nn.Linear(9, 5)
    return torch_networks.stirred(model)


SMALL = {"width": 1 / 16, "hidden": (12, 9), "num_classes": 5}


@pytest.mark.parametrize("how", exporters())
@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_torchvision(tmp_path, name, how):
    """A folded batch norm leaves the plain network."""
    check(tmp_path, torchvision_network(name), architecture(name.removesuffix("_bn"), **SMALL), size=224, **how)


def test_batch_norm_that_was_kept(tmp_path):
    model = torchvision_network("vgg11_bn")
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False, "keep_initializers_as_inputs": True}
    _, vgg = check(tmp_path, model, architecture("vgg11_bn", **SMALL), size=224, dynamo=False, **kept)
    assert np.array_equal(vgg.parameters["bn1_1/var"], model.features[1].running_var.float().numpy())


def test_weights_in_a_side_file(tmp_path):
    report, _ = check(tmp_path, torchvision_network("vgg11"), architecture("vgg11", **SMALL), size=224, dynamo=True,
                      external_data=True)
    assert (tmp_path / "net.onnx.data").exists() and "'net.onnx.data' beside it has the SHA-256 " in " ".join(report.remarks)


@pytest.mark.parametrize("how", exporters())
def test_timm(tmp_path, how):
    torchvision()                                               # timm imports it, and it needs help beside some torch
    vgg = pytest.importorskip("timm.models.vgg")
    model = vgg.VGG(list(torch_networks.tokens("vgg11_bn")), num_classes=5, norm_layer=torch.nn.BatchNorm2d, mlp_ratio=0.005)
    net = architecture("vgg11", **SMALL | {"hidden": (20, 4096)})
    check(tmp_path, torch_networks.stirred(model), net, size=224, **how)


@pytest.mark.parametrize("how", exporters())
@pytest.mark.parametrize("module, name", [("OpenMMLab", "vgg11_bn"), ("EarlyTorchvision", "vgg11"), ("NamedModules", "c")])
def test_networks_that_others_wrote(tmp_path, module, name, how):
    model = torch_networks.stirred(getattr(torch_networks, module)(name))
    sizes = SMALL | {"input_size": 32, "pooled_size": 1}
    if module == "NamedModules":
        sizes["padding_mode"] = "reflect"
    check(tmp_path, model, architecture(name.removesuffix("_bn"), **sizes), size=32, **how)


def test_pytorchs_local_response_norm_is_not_put_together_again(tmp_path):
    exported(torch_networks.stirred(torch_networks.NamedModules("a_lrn")), tmp_path / "net.onnx", 32, dynamo=False)
    with pytest.raises(UnsupportedError, match="joins 2 branches, and a VGG has none; if they are PyTorch's"):
        convert(tmp_path / "net.onnx", tmp_path / "out.h5")


def test_a_soft_max_at_the_end(tmp_path):
    model = torch.nn.Sequential(torch_networks.stirred(torch_networks.EarlyTorchvision("vgg11")), torch.nn.Softmax(1)).eval()
    exported(model, tmp_path / "net.onnx", 32, dynamo=False)
    assert convert(tmp_path / "net.onnx", tmp_path / "out.h5", dry_run=True).source_output == "probabilities"
