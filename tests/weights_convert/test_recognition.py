"""Which network a checkpoint holds."""
import numpy as np
import pytest

from npvgg import initialisation
from npvgg.architecture import NAMES, architecture
from npvgg.errors import BadFileError, UnsupportedError
from weights_convert import recognition, schemes
from weights_convert.schemes.torchvision import TORCHVISION


def torchvision_tensors(net):
    """The state dict torchvision would write for `net`, with counters where there is batch norm."""
    parameters = initialisation.initial(net)
    tensors = {key: parameters[path] for key, path in TORCHVISION.paths(net).items()}
    return tensors | {key: np.array(7, np.int64) for key in TORCHVISION.ignorable(net)}


def recognised(scheme, tensors, **known):
    return recognition.recognise(scheme, tensors, recognition.Known(**known)).architecture


SMALL = {name: architecture(name, width=1 / 32, hidden=(12, 9), num_classes=5) for name in NAMES}
OTHER_SIZES = {
    "one class": architecture("vgg11", width=1 / 16, hidden=(8, 8), num_classes=1),
    "no hidden layer": architecture("vgg13_bn", width=0.375, hidden=(), pooled_size=1, input_size=32, num_classes=10),
    "three hidden layers": architecture("c", width=1 / 16, hidden=(3, 4, 5), pooled_size=2, input_size=64),
    "width 13/512": architecture("vgg16", width=13 / 512, hidden=(6,), num_classes=3),
}


@pytest.mark.parametrize("net", [*SMALL.values(), *OTHER_SIZES.values()], ids=[*SMALL, *OTHER_SIZES])
def test_keys_and_shapes_identify_the_network(net):
    assert recognised(TORCHVISION, torchvision_tensors(net)) == net


@pytest.mark.parametrize("name", NAMES)
def test_every_key_and_every_parameter_occur_once(name):
    mapping = TORCHVISION.paths(architecture(name))
    assert list(mapping.values()) == list(architecture(name).parameters)


def test_a_scheme_without_a_name_for_a_layer_says_so():
    for scheme, net in (("keras", "vgg16_bn"), ("timm", architecture("vgg11", hidden=(3, 4, 5)))):
        with pytest.raises(UnsupportedError, match=f"{scheme} has no name for (bn1_1|fc9) of vgg.*--model"):
            schemes.find(scheme).places(architecture(net))


@pytest.mark.parametrize("scheme", schemes.SCHEMES.values(), ids=schemes.SCHEMES)
def test_every_scheme_names_every_parameter_of_its_networks_once(scheme):
    for name in scheme.networks:
        net = architecture(name, padding_mode=scheme.padding_mode, width=1 / 32, hidden=(12, 9), num_classes=5)
        assert list(scheme.paths(net).values()) == list(net.parameters)
        arrays = {key: np.broadcast_to(np.float32(0), place.arrangement.shape) for key, place in scheme.places(net).items()}
        assert schemes.recognise(arrays) is scheme
        shown = {"head": net.head} if scheme.name in ("onnx", "keras-model") else {}
        assert recognised(scheme, arrays, model=name, **shown) == net


def test_torchvisions_keys():
    mapping = TORCHVISION.paths(architecture("vgg16_bn"))
    assert mapping["features.0.weight"] == "conv1_1/weight"
    assert mapping["features.1.running_var"] == "bn1_1/var"
    assert mapping["features.40.bias"] == "conv5_3/bias"
    assert mapping["classifier.6.weight"] == "fc8/weight"


@pytest.mark.parametrize("width", [1 / 12, 0.3, 0.71, 0.05], ids=str)
def test_a_width_that_rounds_gives_the_same_network(width):
    net = architecture("vgg16", width=width, hidden=(), pooled_size=1, input_size=32, num_classes=2)
    assert recognised(TORCHVISION, torchvision_tensors(net)).parameters == net.parameters


def test_a_classifier_of_nan_counts_as_none():
    tensors = {key: np.full_like(array, np.nan) if key.startswith("classifier") else array
               for key, array in torchvision_tensors(SMALL["vgg16"]).items()}
    assert recognised(TORCHVISION, tensors).num_classes is None


def test_no_classifier_at_all_is_a_feature_extractor():
    tensors = {key: array for key, array in torchvision_tensors(SMALL["vgg16"]).items() if key.startswith("features")}
    assert recognised(TORCHVISION, tensors).num_classes is None


def test_a_missing_key_does_not_hide_the_network():
    tensors = torchvision_tensors(SMALL["vgg13_bn"])
    del tensors["features.0.bias"]
    assert recognised(TORCHVISION, tensors).name == "vgg13_bn"


def test_another_network_is_refused_with_what_was_found():
    tensors = torchvision_tensors(SMALL["vgg11"])
    tensors["features.3.weight"] = np.zeros((77, 2, 3, 3), np.float32)
    with pytest.raises(BadFileError, match=r"the convolutions \(2 77 8 8 16 16 16 16 filters\) are those of none of vgg11"):
        recognised(TORCHVISION, tensors)


def test_another_framework_is_refused():
    with pytest.raises(BadFileError, match=r"no convolution among its 2 tensors \('layer1.w', 'fc'\) under the names of "):
        recognised(TORCHVISION, {"layer1.w": np.zeros((4, 3, 3, 3)), "fc": np.zeros((2, 2))})


def test_a_classifier_that_fits_no_map_is_refused():
    tensors = torchvision_tensors(SMALL["vgg11"]) | {"classifier.0.weight": np.zeros((12, 17), np.float32)}
    with pytest.raises(BadFileError, match="takes 17 numbers, which is not a square map of 16 channels"):
        recognition.recognise(TORCHVISION, tensors)
