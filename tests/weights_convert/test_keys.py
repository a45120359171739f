"""What wrappers and other names do to keys is undone, and nothing else is."""
import numpy as np
import pytest

from npvgg import initialisation
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, NpvggError, UnsupportedError
from weights_convert import keys, schemes
from weights_convert.convert import understood

NET = architecture("vgg11_bn", width=1 / 16, hidden=(12, 9), num_classes=5, pooled_size=1, input_size=32)
PLAIN = architecture("vgg11", width=1 / 16, hidden=(12, 9), num_classes=5, pooled_size=1, input_size=32)
ONE = architecture("vgg11", width=1 / 16, hidden=(), num_classes=5, pooled_size=1, input_size=32)


def state(net, scheme="torchvision"):
    """The state dict of a network under the keys of a scheme."""
    parameters = initialisation.initial(net)
    return {key: place.arrangement.theirs(parameters[place.path]) for key, place in schemes.find(scheme).places(net).items()}


def under(tensors, spelling):
    return {spelling(key): array for key, array in tensors.items()}


def is_same(tensors, net):
    """Whether the tensors are read as the parameters of the network `net`, each in its place."""
    expected, read = initialisation.initial(net), understood(tensors)
    return read.architecture.parameters == net.parameters and all(
        np.array_equal(array, expected[path]) for path, array in read.parameters.items())


@pytest.mark.parametrize("scheme", ["torchvision", "timm", "mmpretrain", "pytorchvggnet"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module.",
                                    "model.", "net.vgg16.", "module.model.", "model._orig_mod.backbone_of_mine."])
def test_prefixes_are_taken_off(scheme, prefix):
    tensors = under(state(PLAIN, scheme), lambda key: prefix + key)
    read = understood(tensors, model="vgg11")
    assert read.scheme.name == scheme and read.architecture.parameters == PLAIN.parameters
    assert {row[0] for row in read.plan} == tensors.keys(), "messages have the keys of the file"


SPELLINGS = {
    "DataParallel around the features": lambda key: key.replace("features.", "features.module."),
    "a wrapper in the middle": lambda key: f"model.{key.replace('classifier.', 'classifier._orig_mod.module.')}",
    "other names": lambda key: key.replace("features", "conv_layers").replace("classifier", "fc_layers"),
    "another prefix for each": lambda key: key.replace("features", "encoder.body").replace("classifier", "head.mlp"),
    "named dense layers": lambda key: key.replace("classifier.0", "fc1").replace("classifier.3", "fc2").replace(
        "classifier.6", "fc3"),
    "named dense layers in a module": lambda key: key.replace("classifier.0", "top.fc6").replace(
        "classifier.3", "top.fc7").replace("classifier.6", "top.fc8"),
    "a Sequential at the end of another": lambda key: key.replace("classifier.3", "classifier.3.0").replace(
        "classifier.6", "classifier.3.3"),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_other_names_of_the_two_sequentials(spelling):
    assert is_same(under(state(NET), spelling), NET)


@pytest.mark.parametrize("name", ["classifier", "fc", "classifier.fc1", "head", "linear"])
def test_one_dense_layer_that_is_in_no_sequential(name):
    assert is_same(under(state(ONE), lambda key: key.replace("classifier.0", name)), ONE)


def test_one_sequential_holds_everything():
    """Convolutions at 0 … 20, pooling, flatten, then the dense layers from 23 on."""
    def counted(key):
        section, position, field = key.split(".")
        return f"{int(position) + 23 * (section == 'classifier')}.{field}"

    assert is_same(under(state(PLAIN), counted), PLAIN)


def test_a_sequential_of_convolutions_in_the_one_that_holds_the_dense_layers():
    """nn.Sequential(features, nn.Flatten(), nn.Linear(…), …)."""
    def counted(key):
        section, position, field = key.split(".")
        return f"0.{position}.{field}" if section == "features" else f"{int(position) + 2}.{field}"

    assert is_same(under(state(PLAIN), counted), PLAIN) and is_same(under(state(ONE), counted), ONE)


def test_features_alone():
    features = {key.removeprefix("features."): array for key, array in state(PLAIN).items() if key.startswith("features")}
    assert understood(features).architecture.head == "avg7"


def test_a_backbone_of_mmpretrain_alone():
    tensors = under(state(NET, "mmpretrain"), lambda key: key.removeprefix("backbone."))
    assert understood(tensors).scheme.name == "mmpretrain" and is_same(tensors, NET)
    assert is_same(under(tensors, lambda key: f"module.{key}"), NET)


def test_counters_of_averaged_models_are_left_out_with_a_word():
    tensors = {"n_averaged": np.array(3)} | under(state(PLAIN), lambda key: f"module.{key}")
    read = understood(tensors)
    assert is_same(tensors, PLAIN) and read.left_out == ("n_averaged",)
    assert "'n_averaged', which counts averaged weights, was left out" in read.remarks
    with pytest.raises(BadFileError, match="n_averaged"):
        understood(tensors | {"n_averaged": np.ones(4, np.float32)})


def test_pruned_weights_are_the_product_with_their_mask():
    plain = state(PLAIN)
    mask = (np.arange(plain["classifier.0.weight"].size).reshape(12, -1) % 3 > 0).astype(np.float32)
    tensors = dict(plain) | {"classifier.0.weight_orig": plain["classifier.0.weight"], "classifier.0.weight_mask": mask}
    del tensors["classifier.0.weight"]
    read = understood(tensors)
    assert np.array_equal(read.parameters["fc6/weight"], plain["classifier.0.weight"] * mask)
    assert any("pruned" in remark for remark in read.remarks)


@pytest.mark.parametrize("fields, words", [(("weight_g", "weight_v"), "weight norm"), (("weight_orig", "weight_u"), "reparam"),
                                           (("parametrizations.weight.original0", "parametrizations.weight.original1"),
                                            "a parametrization")])
def test_weights_that_are_computed_are_refused_by_name(fields, words):
    tensors = state(PLAIN)
    weight = tensors.pop("classifier.0.weight")
    tensors |= {f"classifier.0.{field}": weight for field in fields}
    with pytest.raises(UnsupportedError, match=rf"'classifier.0.{fields[0]}' is a part of .*{words}"):
        understood(tensors)


@pytest.mark.parametrize("extra", ["criterion.weight", "aux.0.weight", "classifier.weight", "model.classifier.0.weight_scale",
                                   "features.0.weight_mask"])
def test_a_tensor_without_a_place_is_refused_by_the_name_it_has_in_the_file(extra):
    with pytest.raises(BadFileError, match=rf"{extra} .* has no place"):
        understood(state(PLAIN) | {extra: np.ones(7, np.float32)})


def test_two_networks_are_not_mixed():
    tensors = under(state(PLAIN), "student.{}".format) | under(state(PLAIN), "teacher.{}".format)
    with pytest.raises(UnsupportedError, match="networks under student., teacher."):
        understood(tensors)
    with pytest.raises(BadFileError, match="'features.0.weight', 'module.features.0.weight' are the same key"):
        understood({"features.0.weight": np.ones(1), "module.features.0.weight": np.ones(1)})


@pytest.mark.parametrize("spelling", [lambda key: key.replace("classifier.3", "classifier.3.0"),
                                      lambda key: key.replace("classifier.0", "hidden").replace("classifier.3", "out"),
                                      lambda key: key.replace("features.0", "stem.0")])
def test_what_does_not_show_its_order_is_refused(spelling):
    with pytest.raises(BadFileError, match="has no place|of no VGG|cannot tell what they are|those of none of"):
        understood(under(state(PLAIN), spelling))


@pytest.mark.parametrize("scheme", ["torchvision", "timm", "mmpretrain", "pytorchvggnet", "caffe-in-pytorch"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (3, 0), (0, 3, 3, 3), (2, 3, 4, 5, 6)], ids=str)
def test_tensors_of_any_shape_are_refused_in_a_sentence(scheme, shape):
    for key in state(PLAIN, scheme):
        with pytest.raises(NpvggError):
            understood(state(PLAIN, scheme) | {key: np.zeros(shape, np.float32)}, model="vgg11")


def test_keys_of_no_scheme():
    with pytest.raises(BadFileError, match="named as those of no VGG"):
        keys.spelled({"layer1.w": np.zeros((4, 3, 3, 3)), "fc": np.zeros((2, 2))})
