"""The table of networks against published counts, and against itself."""
import copy
import math
import pickle

import pytest

from npvgg import architecture as arch
from npvgg.architecture import Architecture, architecture
from npvgg.counting import activations, describe, operations
from npvgg.errors import BadFileError, ShapeError, UsageError
from npvgg.layer import Layer
from npvgg.layer_names import canonical_layer, torchvision_names

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


def test_strides_double_with_each_pooling_and_end_with_the_head():
    rows = {row.layer.name: row.stride for row in describe(architecture("vgg11", head="max2 flatten 5"), (96, 64))}
    found = [rows[name] for name in ("conv1_1", "pool1", "conv2_1", "pool2", "conv3_2", "pool3", "pool4", "conv5_2", "pool5")]
    assert found == [1, 2, 2, 4, 4, 8, 16, 16, 32]
    assert rows["maxpool"] is rows["flatten"] is rows["fc6"] is None
    same = {row.layer.name: row.stride for row in describe(architecture("vgg11", head="max2 flatten 5"), 64)}
    assert same["maxpool"] == 32 and same["flatten"] is None      # the maps have that side already


def test_receptive_fields_of_a_rectangle_and_of_bins_of_bins():
    """pool5 is 5×3, its pixels see 150 of the input, 32 apart; its rows in 3 bins: 0–1, 1–3, 3–4; these in 2: 0–3, 1–4."""
    rows = {row.layer.name: row for row in describe(architecture("vgg11", head="avg3 max2 flatten 5"), (160, 96))}
    assert rows["pool5"].receptive_field == (150, 150)
    assert rows["avgpool"].receptive_field == (150 + 2 * 32, 150)
    assert rows["maxpool"].receptive_field == (150 + 3 * 32, 150 + 32)
    assert rows["flatten"].receptive_field == rows["maxpool"].receptive_field
    assert rows["fc6"].receptive_field == (150 + 4 * 32, 150 + 2 * 32)


@pytest.mark.parametrize("width, filters", [(0.3, (19, 38, 77, 154, 154)), (0.7, (45, 90, 179, 358, 358)),
                                            (1 / 256, (1, 1, 1, 2, 2)), (0.001, (1, 1, 1, 1, 1))])
def test_filters_are_rounded_to_the_nearest_and_at_least_one(width, filters):
    """0.3 · 64 = 19.2, 0.3 · 256 = 76.8."""
    shapes = architecture("vgg11", width=width).parameters
    assert tuple(shapes[f"conv{block}_1/weight"][0] for block in range(1, 6)) == filters


@pytest.mark.parametrize("eps", [0.1, 1e-5])
def test_batch_norm_of_a_head_has_its_own_eps_or_the_networks(eps):
    net = architecture("vgg11_bn", eps=eps, head="bn bn0.5 flatten bn1e-3 7 drop0.25 bn drop 5 relu relu relu")
    options = {layer.name: dict(layer.options) for layer in net.layers}
    assert [options[name]["eps"] for name in ("bn1_1", "bn5", "bn5b", "bn5c", "bn6")] == [eps, eps, 0.5, 1e-3, eps]
    assert (options["drop6"]["p"], options["drop6b"]["p"]) == (0.25, 0.5)
    assert [layer.name for layer in net.layers][-3:] == ["relu7", "relu7b", "relu7c"]
    assert architecture("vgg11", head="flatten bn0.5 5").head == "flatten bn0.5 5"


@pytest.mark.parametrize("head, output", [("flatten 1 relu 5", "softmax"), ("flatten 5 relu 1", "sigmoid"),
                                          ("flatten 5 bn", "none"), ("flatten 5 drop drop", "softmax")])
def test_the_last_dense_layer_says_what_its_numbers_mean(head, output):
    assert architecture("vgg11", head=head).output == output
    if head.endswith(" 5"):
        assert architecture("vgg11", head=head, output="softmax").num_classes == 5


def test_one_output_makes_two_labels_and_several_as_many():
    for head, output, labels in (("flatten 1", "sigmoid", 2), ("flatten 7", "sigmoid", 7), ("flatten 2", "softmax", 2)):
        assert architecture("vgg11", head=head, output=output).label_count == labels


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


@pytest.mark.parametrize("size", [2.5, "64", b"64", (64,), (64, 64, 3), (64.0, 64), object], ids=repr)
def test_a_size_is_a_side_or_two(size):
    with pytest.raises(UsageError, match=r"^the size of the picture is .*; give a side or \(height, width\), whole numbers"):
        describe(architecture("vgg11"), size)


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
    assert net.parameters == plain.parameters and torchvision_names(net) == torchvision_names(plain)
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
    names = torchvision_names(net)
    found = [key.removeprefix("features.") for key, paper in names.items() if paper.startswith("conv")]
    assert " ".join(found) == CONVOLUTION_POSITIONS[name]
    assert [key for key, paper in names.items() if paper.startswith("fc")] == ["classifier.0", "classifier.3", "classifier.6"]


@pytest.mark.parametrize("name, alias, paper", [
    ("vgg16", "features.28", "conv5_3"), ("vgg16", "features.29", "relu5_3"), ("vgg16", "classifier.3", "fc7"),
    ("vgg16", "block5_conv3", "relu5_3"), ("vgg16", "block2_pool", "pool2"), ("vgg16", "fc1", "relu6"),
    ("vgg16", "fc7", "fc7"), ("vgg16_bn", "features.1", "bn1_1"), ("a_lrn", "norm1", "lrn1"), ("vgg16", "logits", "fc8"),
])
def test_aliases(name, alias, paper):
    assert canonical_layer(architecture(name), alias) == paper


def test_an_unknown_layer_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"vgg11 has no layer 'conv9_9'; it has conv1_1, relu1_1, pool1, .* fc8$"):
        canonical_layer(architecture("vgg11"), "conv9_9")


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


# One picture of 32×32 through VGG-11 at width 1/64, filters 1 2 4 4 8 8 8 8, by hand: maps of 32², 16², 8², 8², 4², 4², 2², 2².
MAPS = [(1, 1024), (2, 256), (4, 64), (4, 64), (8, 16), (8, 16), (8, 4), (8, 4)]        # (filters, pixels) of each convolution
POOLED_INPUTS = [1 * 1024, 2 * 256, 4 * 64, 8 * 16, 8 * 4]


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_the_counting_rules_say_what_they_count(name, bias, pooling):
    net = architecture(name, width=1 / 64, input_size=32, input_channels=1, bias=bias, pooling=pooling,
                       head="relu max1 flatten bn 6 bn relu 5")
    rows = describe(net)
    outputs = sum(filters * pixels for filters, pixels in MAPS)
    channels = [1, *(filters for filters, _ in MAPS)]
    macs = sum(9 * before * filters * pixels for before, (filters, pixels) in zip(channels, MAPS)) + 8 * 6 + 6 * 5
    norm = (outputs if name.endswith("_bn") else 0) + 8 + 6
    assert operations(rows) == macs
    # The last maps are 1×1 already, so max1 counts as nothing; in front of it stands a ReLU of its own.
    assert operations(rows, "mmpretrain") == (macs + (outputs if bias else 0) + 6 + 5 + outputs + 8 + 6 + sum(POOLED_INPUTS)
                                              + 2 * norm)
    assert operations(rows, "thop") == macs + 4 * norm + (sum(POOLED_INPUTS) // 4 if pooling == "avg" else 0)
    assert operations(rows, "fvcore") == macs + 2 * norm
    assert activations(rows) == outputs + 6 + 5
    flat = 8 * 6 + 6 * 5 + 6 + 5 + 6 + 2 * (8 + 6)           # what a larger picture does not change
    larger, smaller = (operations(describe(net, side), "mmpretrain") for side in (64, 32))
    assert larger - flat == 4 * (smaller - flat) + 8 * 4     # now max1 pools maps of 2×2


HEADS = {                         # head → what its layers are, what the answer means, how many names it needs
    "avg7 flatten 4096 relu drop 4096 relu drop 1000": (
        "avgpool flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8", "softmax", 1000),
    "": ("", "none", None),
    "avg1 flatten 10": ("avgpool flatten fc6", "softmax", 10),
    "max1 flatten 1": ("maxpool flatten fc6", "sigmoid", 2),
    "avg7 flatten 20 relu drop 30 relu": ("avgpool flatten fc6 relu6 drop6 fc7 relu7", "none", None),
    "relu bn max2 avg1 flatten bn0.01 drop0.2 12 relu relu bn 3 drop": (
        "relu5 bn5 maxpool avgpool flatten bn5b drop5 fc6 relu6 relu6b bn6 fc7 drop7", "softmax", 3),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_read_as_layers(head):
    net = architecture("vgg11", head=head, width=1 / 8, input_size=64)
    layers = [layer.name for layer in net.layers]
    found = " ".join(layers[layers.index("pool5") + 1:]), net.output, net.label_count
    assert found == HEADS[head] and net.head == head
    assert Architecture.from_json(net.to_json()) == net


def test_what_is_computed_from_an_architecture_cannot_be_changed_and_does_not_travel():
    net = architecture("vgg11", num_classes=5)
    shapes = dict(net.parameters)
    with pytest.raises(TypeError):
        net.parameters["conv1_1/weight"] = (1,)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert other == net and dict(other.parameters) == shapes


def test_layers_of_a_kind_are_lettered_on_after_z():
    names = [layer.name for layer in architecture("vgg11", head=" ".join(["relu"] * 64)).layers]
    assert names[-64:][:2] == ["relu5", "relu5b"] and names[-39:][:3] == ["relu5z", "relu5aa", "relu5ab"]
    assert names[-1] == "relu5bl" and len(set(names)) == len(names)


def test_a_head_is_spelled_in_one_way():
    net = architecture("vgg11", head=" avg07  flatten 010 relu drop0.50 bn1e-2 5 ")
    assert net.head == "avg7 flatten 10 relu drop bn0.01 5"


@pytest.mark.parametrize("head, sentence", [
    ("10", "has the dense layer 10 on maps; put flatten before it"), ("flatten avg7", "has avg7 behind flatten"),
    ("flatten flatten", "has flatten behind flatten"), ("avg0", "the head has no 'avg0'; it is made of avgK"),
    ("avg65", "no 'avg65'"), ("flatten 0", "no '0'"), ("flatten softmax", "no 'softmax'"), ("drop1", "no 'drop1'"),
    ("bn0.1.1", "no 'bn0.1.1'"), ("relu0.1", "no 'relu0.1'"), (7, "head is 7; give text such as"),
    ("relu " * 65, "the head has 65 tokens; give at most 64"),
])
def test_a_head_that_makes_no_sense(head, sentence):
    with pytest.raises(UsageError, match=sentence):
        architecture("vgg11", head=head)


@pytest.mark.parametrize("fields, sentence", [
    ({"output": "tanh"}, "output is 'tanh'; choose one of softmax, sigmoid, none"),
    ({"output": "softmax", "num_classes": 1}, "output is 'softmax' for one output, whose probability would always be 1"),
    ({"output": "sigmoid", "head": "avg7"}, "the head 'avg7' has no dense layer"),
    ({"num_classes": 5, "head": "avg7"}, "a head and num_classes were given; give one of them"),
    ({"input_channels": 2}, "input_channels is 2; choose one of 1, 3, 4"),
    ({"bias": 1}, "bias is 1; choose one of True, False"),
    ({"eps": -1.0}, "eps is -1.0"), ({"eps": float("nan")}, "eps is nan"), ({"pooling": "min"}, "pooling is 'min'"),
    ({"num_clases": 3}, r"no 'num_clases' \(did you mean 'num_classes'\?\); it has width, input_size"),
    ({"hidden": 256}, "hidden is 256; give the outputs"),
], ids=str)
def test_fields_that_make_no_sense(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        architecture("vgg11", **fields)


def test_the_json_of_0_1_0_is_read():
    text = ('{"name": "vgg13_bn", "width": 0.5, "input_size": 32, "pooled_size": 1, "hidden": [12, 9], "num_classes": 4, '
            '"padding_mode": "zeros"}')
    net = Architecture.from_json(text)
    assert net == architecture("vgg13_bn", width=0.5, input_size=32, pooled_size=1, hidden=(12, 9), num_classes=4)
    assert Architecture.from_json(text.replace("4, ", "null, ")).head == "avg1"


def test_options_are_obeyed_by_counting():
    net = architecture("vgg11", pooling="avg", input_channels=1, bias=False, head="avg1 flatten 3")
    assert net.parameters["conv1_1/weight"] == (64, 1, 3, 3) and "conv1_1/bias" not in net.parameters
    assert {layer.op for layer in net.layers if layer.name.startswith("pool")} == {"avgpool2d"}
    assert describe(net)[0].input_elements == 224 * 224
    layers = list(net.layers)
    layers[2] = Layer("maxpool2d", "pool1", options=(("size", 3), ("stride", 2)))
    net.__dict__["layers"] = tuple(layers)
    assert [row.output_shape for row in describe(net, 64)][2] == (64, 31, 31)
    assert [row.receptive_field for row in describe(net, 64)][2] == (5, 5)


def test_a_head_without_pooling_takes_pictures_of_one_size_only():
    net = architecture("vgg11", head="flatten 10", input_size=64)
    assert describe(net)[-1].output_shape == (10,)
    with pytest.raises(ShapeError, match="takes 2048 numbers and a picture of 96×64 gives it 3072; give pictures of 64×64"):
        describe(net, (96, 64))
