"""What people read about a network: the table, and its kind in words."""
import pytest
from witnesses.command import npvgg

from npvgg import network, summary
from npvgg.architecture import NAMES, architecture

OTHER = {"head": "max1 bn relu flatten 1", "pooling": "avg", "bias": False, "eps": 1e-3, "input_channels": 4,
         "padding_mode": "reflect", "width": 1 / 16, "input_size": 48}


@pytest.mark.parametrize("name", NAMES)
def test_of_a_papers_network_nothing_is_out_of_the_ordinary(name):
    assert summary.departures_of(architecture(name, width=0.5, input_size=64)) == {}
    assert summary.table(name).splitlines()[-3] == f"{name} on 3×224×224"


def test_every_field_is_said_in_words():
    assert summary.facts(architecture("vgg11_bn", **OTHER)) == {
        "network": "vgg11_bn at width 0.0625", "channels": "4 (red, green, blue, alpha)", "input size": "48×48",
        "border": "the map mirrored", "convolutions": "without bias", "batch norm": "ε = 0.001", "pooling": "average of 2×2",
        "head": "max1 bn relu flatten 1", "output": "sigmoid: 2 classes by one output"}
    assert "batch norm" not in summary.facts(architecture("vgg11"))


@pytest.mark.parametrize("field, value, what", [
    ("head", "avg1 flatten 1000", "head"), ("pooling", "avg", "pooling"), ("bias", False, "convolutions"),
    ("eps", 1e-3, "batch norm"), ("input_channels", 1, "channels"), ("padding_mode", "reflect", "border"),
    ("output", "sigmoid", "output")])
def test_a_field_of_its_own_is_a_departure_by_itself(field, value, what):
    assert list(summary.departures_of(architecture("vgg11_bn", **{field: value}))) == [what]


@pytest.mark.parametrize("fields, words", [
    ({}, "1000 classes"), ({"num_classes": 7, "output": "sigmoid"}, "7 independent labels"),
    ({"num_classes": 1}, "2 classes by one output"), ({"num_classes": None}, "features, no classifier"),
    ({"head": "avg1 flatten 8 relu"}, "features, no classifier"), ({"output": "none"}, "features, no classifier")], ids=str)
def test_what_the_last_numbers_are(fields, words):
    assert summary.answer(architecture("vgg11", **fields)) == words


def test_the_table_names_the_picture_and_what_departs_from_the_paper():
    net = architecture("vgg11_bn", **OTHER)
    lines = summary.table(net, (48, 64)).splitlines()
    start = lines.index("") + 1
    assert lines[start] == "vgg11_bn on 4×48×64"                            # not 50×66, what the first layer mirrors it to
    departures = [f"{what}: {words}" for what, words in summary.departures_of(net).items()]
    assert lines[start + 1:-2] == departures and "output: sigmoid: 2 classes by one output" in departures
    rows = {line.split()[0]: line for line in lines[2:start - 1]}
    assert list(rows) == [layer.name for layer in net.layers]
    assert " 4×50×66 " in rows["pad1_1"] and rows["pool1"].split()[1] == "4×24×32"


def test_repr_says_what_departs():
    text = repr(network.create("vgg11_bn", **OTHER))
    assert "48×48 → 2 classes by one output, " in text and ", pooling average of 2×2, head max1 bn relu flatten 1" in text
    assert "head" not in repr(network.create("vgg11", width=1 / 64))


def test_inspect_begins_with_the_kind_in_words(tmp_path):
    vgg = network.create("vgg11_bn", **OTHER)
    out = npvgg("inspect", vgg.save(tmp_path / "a.h5")).out
    first, _, page = out.partition("\n\n")
    assert [line.split("  ")[0] for line in first.splitlines()] == list(summary.facts(vgg.architecture))
    assert "head          max1 bn relu flatten 1\n" in first and page.startswith("file ")
