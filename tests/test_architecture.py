"""The table of networks against published counts, and against itself."""
import math

import pytest

from npvgg import architecture as arch
from npvgg.architecture import Architecture, activations, architecture, describe, operations
from npvgg.errors import BadFileError, ShapeError, UsageError

# Parameters: torchvision's num_params; C from the paper's table 1.  MACs: torchvision's _ops, in full.
PUBLISHED = {
    "vgg11": (132_863_336, 7_609_090_048), "a_lrn": (132_863_336, 7_609_090_048), "vgg13": (133_047_848, 11_308_466_176),
    "c": (133_638_952, 11_770_888_192), "vgg16": (138_357_544, 15_470_264_320), "vgg19": (143_667_240, 19_632_062_464),
    "vgg11_bn": (132_868_840, 7_609_090_048), "vgg13_bn": (133_053_736, 11_308_466_176),
    "vgg16_bn": (138_365_992, 15_470_264_320), "vgg19_bn": (143_678_248, 19_632_062_464),
}
CONVOLUTION_PARAMETERS = {"vgg11": 9_220_480, "vgg13": 9_404_992, "c": 9_996_096, "vgg16": 14_714_688, "vgg19": 20_024_384}
RUNNING_STATISTICS = {"vgg11_bn": 5_504, "vgg13_bn": 5_888, "vgg16_bn": 8_448, "vgg19_bn": 11_008}
CONVOLUTION_OUTPUTS = {"vgg11": 7_426_048, "vgg13": 12_242_944, "vgg16": 13_547_520, "vgg19": 14_852_096}
# Giga-operations as each table prints them: mmpretrain's (plain, BN), thop's BN, fvcore's BN; then timm's activations in M.
TABLES = {"vgg11": ("7.63", "7.64", "7.639", "7.62", "7.44"), "vgg13": ("11.34", "11.36", "11.357", "11.33", "12.25"),
          "vgg16": ("15.50", "15.53", "15.524", "15.50", "13.56"), "vgg19": ("19.67", "19.70", "19.691", "19.66", "14.86")}


@pytest.mark.parametrize("name", arch.NAMES)
def test_parameters_and_macs_are_the_published_ones(name):
    rows = describe(architecture(name))
    assert (sum(row.parameters for row in rows), operations(rows)) == PUBLISHED[name]


@pytest.mark.parametrize("name", CONVOLUTION_PARAMETERS)
def test_convolutions_and_classifier_split_the_parameters_as_published(name):
    rows = describe(architecture(name))
    by_op = {op: sum(row.parameters for row in rows if row.layer.op == op) for op in ("conv2d", "dense")}
    assert by_op == {"conv2d": CONVOLUTION_PARAMETERS[name], "dense": 123_642_856}


@pytest.mark.parametrize("name", RUNNING_STATISTICS)
def test_running_statistics_are_stored_but_not_counted_as_parameters(name):
    net = architecture(name)
    stored = sum(math.prod(shape) for shape in net.parameters.values())
    assert stored - sum(row.parameters for row in describe(net)) == RUNNING_STATISTICS[name]


@pytest.mark.parametrize("name", CONVOLUTION_OUTPUTS)
def test_convolution_outputs_are_the_published_ones(name):
    rows = describe(architecture(name))
    assert sum(row.output_elements for row in rows if row.layer.op == "conv2d") == CONVOLUTION_OUTPUTS[name]


@pytest.mark.parametrize("name", TABLES)
def test_each_counting_rule_reproduces_its_published_table(name):
    plain, norm = describe(architecture(name)), describe(architecture(f"{name}_bn"))

    def printed(rows, rule, digits):
        return f"{operations(rows, rule) / 1e9:.{digits}f}"

    assert (printed(plain, "mmpretrain", 2), printed(norm, "mmpretrain", 2), printed(norm, "thop", 3),
            printed(norm, "fvcore", 2), f"{activations(norm) / 1e6:.2f}") == TABLES[name]


@pytest.mark.parametrize("classes, totals", [(11, {"vgg11": 128_811_403, "vgg13": 128_995_915, "c": 129_587_019,
                                                   "vgg16": 134_305_611, "vgg19": 139_615_307})])
def test_the_class_count_changes_only_the_last_layer(classes, totals):
    assert {name: sum(row.parameters for row in describe(architecture(name, num_classes=classes)))
            for name in totals} == totals


@pytest.mark.parametrize("name, weight_layers", [("A", 11), ("A-LRN", 11), ("B", 13), ("C", 16), ("D", 16), ("E", 19)])
def test_the_papers_letters_name_networks_with_the_papers_weight_layers(name, weight_layers):
    ops = [layer.op for layer in architecture(name).layers]
    assert ops.count("conv2d") + ops.count("dense") == weight_layers


# Worked out by hand for D: blocks of 2, 2, 3, 3, 3 convolutions with strides 1, 2, 4, 8, 16.
RECEPTIVE_FIELDS_OF_D = {"conv1_1": 3, "conv1_2": 5, "pool1": 6, "conv2_2": 14, "pool2": 16, "conv3_3": 40, "pool3": 44,
                         "conv4_3": 92, "pool4": 100, "conv5_3": 196, "pool5": 212, "avgpool": 212, "fc6": 404, "fc8": 404}


def test_receptive_fields_of_d():
    found = {row.layer.name: row.receptive_field for row in describe(architecture("D"))}
    assert {name: found[name] for name in RECEPTIVE_FIELDS_OF_D} == {
        name: (side, side) for name, side in RECEPTIVE_FIELDS_OF_D.items()}


def test_one_by_one_convolutions_of_c_do_not_widen_the_receptive_field():
    found = {row.layer.name: row.receptive_field for row in describe(architecture("C"))}
    assert found["conv3_3"] == found["conv3_2"]


def test_shapes_of_a_rectangle():
    shapes = {row.layer.name: row.output_shape for row in describe(architecture("vgg16"), (65, 131))}
    assert shapes["conv1_2"] == (64, 65, 131)
    assert shapes["pool1"] == (64, 32, 65)
    assert shapes["pool5"] == (512, 2, 4)
    assert shapes["avgpool"] == (512, 7, 7)


def test_the_classifier_sees_the_whole_of_a_large_picture():
    rows = {row.layer.name: row for row in describe(architecture("vgg16"), (320, 448))}
    assert rows["pool5"].receptive_field == (212, 212)
    assert rows["avgpool"].receptive_field == (212 + 64, 212 + 32)          # 10 rows in 7 bins of up to 3, 14 columns in 7 of 2
    assert rows["fc6"].receptive_field == (212 + 9 * 32, 212 + 13 * 32)


@pytest.mark.parametrize("size", [31, (32, 31), (1, 400)], ids=str)
def test_too_small_a_picture_is_refused(size):
    with pytest.raises(ShapeError, match="vanishes in 5 poolings; give at least 32×32"):
        describe(architecture("vgg11"), size)


def test_small_networks_come_from_the_same_table():
    net = architecture("vgg13_bn", width=0.375, input_size=32, pooled_size=1, hidden=(), num_classes=10)
    assert net.parameters["conv5_2/weight"] == (192, 192, 3, 3)
    assert net.parameters["fc6/weight"] == (10, 192)
    assert net.layers[-1].name == "fc6"


def test_hidden_layers_are_numbered_on_from_pool5():
    names = [layer.name for layer in architecture("vgg11", hidden=(20, 30, 40)).layers]
    assert names[names.index("flatten") + 1:] == [
        "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8", "relu8", "drop8", "fc9"]


def test_a_reflected_border_is_a_layer_before_each_3x3_convolution():
    net, plain = architecture("c", padding_mode="reflect"), architecture("c")
    pads = [layer.name for layer in net.layers if layer.op == "reflection_pad2d"]
    assert pads == [f"pad{block}" for block in ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2"]]
    assert net.parameters == plain.parameters and arch.torchvision_names(net) == arch.torchvision_names(plain)
    rows = {row.layer.name: row for row in describe(net)}
    assert rows["pad1_1"].output_shape == (3, 226, 226)
    for row in describe(plain):
        same = rows[row.layer.name]
        assert (row.output_shape, row.receptive_field, row.macs) == (same.output_shape, same.receptive_field, same.macs)


def test_another_padding_is_refused():
    with pytest.raises(UsageError, match="^padding_mode is 'edge'; choose one of zeros, reflect$"):
        architecture("d", padding_mode="edge")


def test_without_classes_the_network_ends_at_the_pooled_map():
    assert architecture("vgg16", num_classes=None).layers[-1].name == "avgpool"


# torchvision's positions of the convolutions, as its state dicts spell them.
CONVOLUTION_POSITIONS = {
    "vgg11": "0 3 6 8 11 13 16 18", "vgg13": "0 2 5 7 10 12 15 17 20 22",
    "vgg16": "0 2 5 7 10 12 14 17 19 21 24 26 28", "vgg19": "0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34",
    "vgg11_bn": "0 4 8 11 15 18 22 25", "vgg13_bn": "0 3 7 10 14 17 21 24 28 31",
    "vgg16_bn": "0 3 7 10 14 17 20 24 27 30 34 37 40", "vgg19_bn": "0 3 7 10 14 17 20 23 27 30 33 36 40 43 46 49",
}


@pytest.mark.parametrize("name", CONVOLUTION_POSITIONS)
def test_torchvision_positions(name):
    net = architecture(name)
    names = arch.torchvision_names(net)
    found = [key.removeprefix("features.") for key, paper in names.items() if paper.startswith("conv")]
    assert " ".join(found) == CONVOLUTION_POSITIONS[name]
    assert [key for key, paper in names.items() if paper.startswith("fc")] == ["classifier.0", "classifier.3", "classifier.6"]


@pytest.mark.parametrize("name, alias, paper", [
    ("vgg16", "features.28", "conv5_3"), ("vgg16", "features.29", "relu5_3"), ("vgg16", "classifier.3", "fc7"),
    ("vgg16", "block5_conv3", "relu5_3"), ("vgg16", "block2_pool", "pool2"), ("vgg16", "fc1", "relu6"),
    ("vgg16", "fc7", "fc7"), ("vgg16_bn", "features.1", "bn1_1"), ("a_lrn", "norm1", "lrn1"), ("vgg16", "logits", "fc8"),
])
def test_aliases(name, alias, paper):
    assert architecture(name).canonical_layer(alias) == paper


def test_an_unknown_layer_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"vgg11 has no layer 'conv9_9'; it has conv1_1, relu1_1, pool1, .* fc8$"):
        architecture("vgg11").canonical_layer("conv9_9")


def test_an_unknown_network_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="there is no network called 'resnet50'; npvgg has vgg11, a_lrn, .* letters A to E"):
        architecture("resnet50")


@pytest.mark.parametrize("sizes, text", [
    ({"width": 0}, "width is 0; give a number above 0"), ({"width": True}, "width is True"),
    ({"input_size": 31}, "input_size is 31; give a whole number from 32"), ({"pooled_size": 0}, "pooled_size is 0"),
    ({"hidden": (10, -1)}, "each of hidden is -1"), ({"num_classes": 2.0}, "num_classes is 2.0"),
], ids=str)
def test_impossible_sizes_are_refused(sizes, text):
    with pytest.raises(UsageError, match=text.replace("(", r"\(")):
        architecture("vgg11", **sizes)


@pytest.mark.parametrize("net", [architecture("c"), architecture("e_bn", width=0.3, hidden=(), num_classes=None)], ids=str)
def test_json_round_trip(net):
    assert Architecture.from_json(net.to_json()) == net


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "vgg16", "hidden": [1], "surprise": 1}', "[" * 100_000,
                                  '{"name": "vgg16", "hidden": 7}'], ids=lambda text: text[:20])
def test_damaged_json_is_one_sentence(text):
    with pytest.raises(BadFileError, match="the architecture .* cannot be read .*; convert the file again"):
        Architecture.from_json(text)


def test_an_unknown_counting_rule_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="no counting rule 'guess'; npvgg counts as torchvision, mmpretrain, thop, fvcore"):
        operations(describe(architecture("vgg11")), "guess")
