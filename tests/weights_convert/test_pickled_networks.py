"""Networks that torch.save wrote as a whole: what their modules are is read, or refused by name, and never guessed."""
import pickle
from dataclasses import replace

import numpy as np
import pytest
from witnesses.torchvision_witness import torchvision

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, UnsupportedError, UsageError
from weights_convert.convert import convert

torch = pytest.importorskip("torch")
torch_networks = pytest.importorskip("witnesses.torch_networks")
nn = torch.nn

SMALL = {"width": 1 / 16, "input_size": 64}                    # pool5 gives 32 maps of 2×2
PAPER = "avg2 flatten 12 relu drop 9 relu drop 5"


def converted(tmp_path, model, **options):
    torch.save(model, tmp_path / "net.pth")
    return convert(tmp_path / "net.pth", tmp_path / "out.h5", force=True, **options)


def agrees(path, model, net):
    """Whether the converted network gives what the PyTorch module gives in float64."""
    x = np.random.default_rng(1).standard_normal((2, net.input_channels, net.input_size, net.input_size), np.float32)
    with torch.inference_mode():
        exact = model.eval().double()(torch.from_numpy(x).double()).numpy()
    ours = network.load_file(path).forward(x)
    return ours.shape == exact.shape and abs(ours - exact).max() <= 1e-5 * abs(exact).max() > 0


HEADS = [PAPER, "avg2 flatten 5", "flatten 5", "avg2 drop flatten 12 relu drop 9 relu 5", "avg2 flatten 12 5", "avg1 flatten 5",
         "max1 flatten 12 relu 5", "max2 flatten 12 bn relu drop0.25 5", "avg2 flatten bn0.003 12 relu bn 5",
         "avg2 flatten 12 relu", "avg2 flatten 12 bn", "avg2 bn flatten 5", "avg2", "", "max1 flatten 5 relu",
         "avg2 flatten 12 relu drop 9 relu drop"]


@pytest.mark.parametrize("head", HEADS)
def test_the_head_is_read_from_its_modules(tmp_path, head):
    net = architecture("vgg11", head=head, **SMALL)
    twin = torch_networks.stirred(torch_networks.Twin(net))
    behind = [nn.Flatten(), twin.classifier] if twin.is_flat else []
    model = nn.Sequential(twin.features, twin.avgpool, *behind)
    report = converted(tmp_path, model, input_size=64)
    assert report.architecture == net and agrees(report.path, model, net)
    assert not any("--head" in remark for remark in report.remarks)


@pytest.mark.parametrize("head", [head for head in HEADS if "flatten" in head and "bn flatten" not in head])
def test_the_head_is_assumed_where_code_joins_its_modules(tmp_path, head):
    """A class of somebody's own may pool between its two Sequentials."""
    net = architecture("vgg11", head=head, **SMALL)
    model = torch_networks.stirred(torch_networks.Twin(net))
    report = converted(tmp_path, model, input_size=64)
    assert agrees(report.path, model, net) and heads_without_pooling(report.architecture) == heads_without_pooling(net)
    assert any("--head" in remark for remark in report.remarks)


def heads_without_pooling(net):
    return [token for token in net.head.split() if not token.startswith(("avg", "max"))]


class PoolsInItsCode(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.classifier = twin().features, nn.Sequential(nn.Linear(32, 9), nn.ReLU(), nn.Linear(9, 5))

    def forward(self, x):
        return self.classifier(self.features(x).amax((2, 3)))


def test_pooling_in_code_leaves_head_and_size_to_the_options(tmp_path):
    model = torch_networks.stirred(PoolsInItsCode())
    report = converted(tmp_path, model)
    assert report.architecture.head == "avg1 flatten 9 relu 5"
    assert any("--head" in remark and "--input-size" in remark for remark in report.remarks)
    report = converted(tmp_path, model, input_size=64, head="max1 flatten 9 relu 5")
    assert agrees(report.path, model, report.architecture) and report.architecture.input_size == 64
    assert not any("--head" in remark for remark in report.remarks)


class PoolsLast(torch_networks.Twin):
    """Its modules are not in the order in which it runs them."""

    def __init__(self, net):
        super().__init__(net)
        del self.avgpool
        self.avgpool = nn.AdaptiveMaxPool2d(1)


def test_a_pooling_behind_the_classifier_stands_in_front_of_it(tmp_path):
    model = torch_networks.stirred(PoolsLast(architecture("vgg11", head="max1 flatten 12 relu 5", **SMALL)))
    report = converted(tmp_path, model, input_size=64)
    assert agrees(report.path, model, report.architecture) and any("--head" in remark for remark in report.remarks)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(x) * 2


@pytest.mark.parametrize("make", [lambda: with_module("features", 1, Scaled()), lambda: Blocks()], ids=["part", "blocks"])
def test_code_among_the_convolutions_is_said(tmp_path, make):
    report = converted(tmp_path, torch_networks.stirred(make()))
    assert any("in which order it uses its modules is in its code" in remark for remark in report.remarks)


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.ModuleList([nn.Sequential(*twin().features[:9]), nn.Sequential(*twin().features[9:])])
        self.classifier = twin().classifier

    def forward(self, x):
        for block in self.features:
            x = block(x)
        return self.classifier(x.flatten(1))


def test_an_averaged_network_as_a_whole(tmp_path):
    model = torch_networks.stirred(torch.optim.swa_utils.AveragedModel(twin()))
    report = converted(tmp_path, model, input_size=64)
    assert agrees(report.path, model, report.architecture) and report.left_out == ("n_averaged",)


def with_dense_without_bias():
    model = twin()
    model.classifier[0], model.classifier[6] = nn.Linear(128, 12, bias=False), nn.Linear(9, 5, bias=False)
    return model


@pytest.mark.parametrize("make", [with_dense_without_bias, lambda: with_module("features", 3, nn.Conv2d(4, 8, 3, padding=1,
                                                                                                       bias=False))])
def test_layers_without_a_bias_have_zeros(tmp_path, make):
    model = torch_networks.stirred(make())
    report = converted(tmp_path, model, input_size=64)
    assert agrees(report.path, model, report.architecture)


@pytest.mark.parametrize("fields", [{"pooling": "avg"}, {"eps": 1e-3}, {"padding_mode": "reflect"}, {"bias": False},
                                    {"input_channels": 1}], ids=str)
@pytest.mark.parametrize("name", ["vgg13_bn", "a_lrn"])
def test_what_else_the_modules_show(tmp_path, name, fields):
    net = architecture(name, head=PAPER, **SMALL, **fields)
    model = torch_networks.stirred(torch_networks.Twin(net))
    report = converted(tmp_path, model, input_size=64)
    assert report.architecture == (net if net.has_batch_norm else replace(net, eps=1e-5)) and agrees(report.path, model, net)
    for option in {"pooling": "max", "eps": 0.5}.items() if fields.keys() & {"pooling", "eps"} else ():
        if option[0] in fields and (option[0] != "eps" or net.has_batch_norm):
            with pytest.raises(UsageError, match=f"--{option[0]}"):
                converted(tmp_path, model, **dict([option]))


def twin():
    return torch_networks.stirred(torch_networks.Twin(architecture("vgg11", head=PAPER, **SMALL)))


def with_module(section, position, module):
    """A network one module of which is another."""
    model = twin()
    getattr(model, section)[position] = module
    return model


def with_end(module):
    model = twin()
    model.classifier.append(module)
    return model


def without(section, position):
    model = twin()
    del getattr(model, section)[position]
    return model


REFUSED = {
    "average pooling in one place": (lambda: with_module("features", 2, nn.AvgPool2d(2, 2)), "pooling avg and max"),
    "leaky": (lambda: with_module("features", 1, nn.LeakyReLU(0.1)), "'features.1' is a LeakyReLU"),
    "ReLU6": (lambda: with_module("features", 1, nn.ReLU6()), "'features.1' is a ReLU6"),
    "no ReLU": (lambda: with_module("features", 1, nn.Identity()), "it has pool1 behind conv1_1, where vgg11 has relu1_1"),
    "no last pooling": (lambda: without("features", 20), "it has its end behind relu5_2, where vgg11 has pool5"),
    "a sixth pooling": (lambda: with_module("features", 20, nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2))),
                        "'features.20.1' is a MaxPool2d behind pool5"),
    "tanh between dense layers": (lambda: with_module("classifier", 1, nn.Tanh()), "'classifier.1' is a Tanh"),
    "soft-max before the end": (lambda: with_module("classifier", 1, nn.Softmax(1)), "'classifier.1' is a Softmax before"),
    "soft-max over the pictures": (lambda: with_end(nn.Softmax(0)), "'classifier.7' is a Softmax with dim 0"),
    "enlarged pictures": (lambda: with_module("features", 0, nn.Sequential(nn.Upsample(scale_factor=2), twin().features[0])),
                          "'features.0.0' is a Upsample"),
    "pooling that is not square": (lambda: with_module("avgpool", 0, nn.AdaptiveAvgPool2d((2, 1))), "with output_size (2, 1)"),
    "replicated borders": (lambda: with_module("features", 0, nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")),
                           "with padding_mode 'replicate'"),
    "a part of somebody's own": (lambda: with_module("classifier", 1, torch_networks.Swish()), "torch_networks.Swish"),
    "two borders": (lambda: with_module("features", 0, nn.Sequential(nn.ReflectionPad2d(1), nn.ZeroPad2d(1),
                                                                     nn.Conv2d(3, 4, 3))), "a ZeroPad2d behind another border"),
    "a pooling that multiplies": (lambda: with_module("features", 2, nn.Sequential(nn.AvgPool2d(1, 1, divisor_override=2),
                                                      nn.MaxPool2d(2))), "'features.2.0' is a AvgPool2d"),
    "padding without a convolution": (lambda: with_module("features", 1, nn.ReflectionPad2d(1)), "a ReflectionPad2d and"),
}


@pytest.mark.parametrize("make, words", REFUSED.values(), ids=REFUSED)
def test_what_no_vgg_has_is_refused_by_name(tmp_path, make, words):
    with pytest.raises(UnsupportedError) as caught:
        converted(tmp_path, make())
    assert words in str(caught.value) and sorted(path.name for path in tmp_path.iterdir()) == ["net.pth"]


@pytest.mark.parametrize("end, output, gives", [(nn.Softmax(1), "softmax", "probabilities"), (nn.Softmax(-1), "softmax",
                         "probabilities"), (nn.LogSoftmax(1), "softmax", "logits"), (nn.Sigmoid(), "sigmoid", "probabilities"),
                         (nn.ReLU(), "none", "logits"), (nn.Identity(), "softmax", "logits")], ids=str)
def test_what_the_last_module_makes_of_the_numbers(tmp_path, end, output, gives):
    report = converted(tmp_path, with_end(end))
    assert (report.architecture.output, report.source_output) == (output, gives)
    assert any("LogSoftmax" in remark for remark in report.remarks) == isinstance(end, nn.LogSoftmax)


EQUAL = {
    "zeros by a module": lambda: with_module("features", 0, nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3))),
    "padding by name": lambda: with_module("features", 0, nn.Conv2d(3, 4, 3, padding="same")),
    "a pooling of one pixel": lambda: with_module("avgpool", 0, nn.AvgPool2d(1, 1)),
    "a Sequential at the end": lambda: with_module("classifier", 6, nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 5))),
    "nothing": lambda: with_module("classifier", 2, nn.Identity()),
}


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_other_modules_that_compute_the_same(tmp_path, make):
    model = torch_networks.stirred(make())
    report = converted(tmp_path, model, input_size=64)
    assert agrees(report.path, model, report.architecture)


def test_one_convolution_that_reflects_is_not_supported(tmp_path):
    reflecting = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3))
    with pytest.raises(UnsupportedError, match="padding_mode reflect and zeros"):
        converted(tmp_path, with_module("features", 0, reflecting))


def test_torchvision_flattens_in_front_of_its_classifier(tmp_path):
    model = torchvision().models.VGG(nn.Sequential(*torch_networks.plain("vgg11")), num_classes=7, init_weights=False)
    model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Identity()
    report = converted(tmp_path, torch_networks.stirred(model))
    assert report.architecture.head == "avg1 flatten" and agrees(report.path, model, report.architecture)
    assert any("whose modules were read one after the other" in remark for remark in report.remarks)
    assert not any("left out" in remark for remark in report.remarks)


@pytest.mark.parametrize("make", [twin, lambda: torchvision_network()], ids=["somebody's class", "torchvision's"])
@pytest.mark.parametrize("extra", [nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Conv2d(32, 32, 3, padding=1)], ids=str)
def test_modules_beside_the_classifier_are_not_taken_for_its_end(tmp_path, make, extra):
    """Auxiliary heads, of sizes that would fit."""
    model = make()
    model.aux = extra
    with pytest.raises(BadFileError, match="aux.weight .*has no place|those of none of|of no VGG"):
        converted(tmp_path, model)


def test_what_torchvisions_class_does_not_run_is_passed_over(tmp_path):
    model = torch_networks.stirred(torchvision_network())
    model.other = nn.AdaptiveMaxPool2d(1)
    report = converted(tmp_path, model, input_size=64)
    assert report.architecture.head == "avg1 flatten 9 relu 5" and agrees(report.path, model, report.architecture)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sigmoid()], ids=str)
def test_an_end_that_code_may_leave_out_is_said(tmp_path, end):
    model = twin()
    model.end = end
    assert any(f"ends with its {type(end).__name__} was assumed" in remark for remark in converted(tmp_path, model).remarks)


def torchvision_network():
    model = torchvision().models.VGG(nn.Sequential(*torch_networks.plain("vgg11")), num_classes=7, init_weights=False)
    model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Linear(32, 9), nn.ReLU(), nn.Linear(9, 5))
    return model


def test_data_parallel(tmp_path):
    report = converted(tmp_path, nn.DataParallel(twin()), input_size=64)
    assert report.architecture.head == PAPER


def test_dense_layers_in_a_class_of_somebodys_own_leave_their_order_open(tmp_path):
    report = converted(tmp_path, torch_networks.stirred(torch_networks.OwnHead()))
    assert any("how it uses the modules of its head is in its code" in remark for remark in report.remarks)
    assert any("--head" in remark and "assumed" in remark for remark in report.remarks)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("name", ["vgg11", "a_lrn", "c"])
def test_the_file_that_pytorchvggnet_writes(tmp_path, name, protocol):
    """Its train.py: pickle.dump(model, file)."""
    model = torch_networks.stirred(torch_networks.NamedModules(name))
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(model, protocol))
    report = convert(tmp_path / "net.pkl", tmp_path / "out.h5")
    assert (report.scheme, report.preset, report.architecture.name) == ("pytorchvggnet", "pytorchvggnet", name)
    assert report.architecture.padding_mode == "reflect" and agrees(report.path, model, report.architecture)


@pytest.mark.parametrize("options, head", [({}, "avg7 flatten 20 relu 4096 relu 5"), ({"num_classes": 0},
                         "avg7 flatten 20 relu 4096 relu"), ({"global_pool": "max"}, "avg7 flatten 20 relu 4096 relu 5"),
                         ({"drop_rate": 0.3}, "avg7 flatten 20 relu drop0.3 4096 relu drop0.3 5")], ids=str)
def test_timms_modules(tmp_path, options, head):
    """timm 1.0: ConvMlp and ClassifierHead run their modules in order."""
    torchvision()
    vgg = pytest.importorskip("timm.models.vgg")
    model = vgg.VGG(list(torch_networks.tokens("vgg11")), mlp_ratio=0.005, **{"num_classes": 5, **options})
    report = converted(tmp_path, torch_networks.stirred(model))
    assert report.scheme == "timm" and report.architecture.head == head and agrees(report.path, model, report.architecture)


def test_what_mmengine_saves_while_it_trains(tmp_path):
    """mmengine 0.10: Runner.save_checkpoint keeps a message hub, whose buffers name their methods."""
    pytest.importorskip("mmengine", exc_type=ImportError)
    from mmengine.logging import HistoryBuffer

    model, buffer = torch_networks.stirred(torch_networks.OpenMMLab("vgg11")), HistoryBuffer([0.5], [1])
    hub = {"log_scalars": {"train/loss": buffer}, "runtime_info": {"iter": 1}, "resumed_keys": {}}
    torch.save({"meta": {"epoch": 1}, "state_dict": model.state_dict(), "message_hub": hub}, tmp_path / "epoch_1.pth")
    report = convert(tmp_path / "epoch_1.pth", tmp_path / "out.h5")
    assert report.scheme == "mmpretrain" and agrees(report.path, model, report.architecture)
