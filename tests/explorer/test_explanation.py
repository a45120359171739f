"""One number as a sum: it is the kernel's, whatever the layer, and what the table and the JSON show of it."""
import json
from dataclasses import replace

import numpy as np
import pytest
from witnesses.networks import lively, photograph

from npvgg.errors import HashMismatchError, ShapeError, UsageError
from npvgg.explorer import explain

HEAD = "max3 bn flatten 20 bn relu drop 5"
NETWORKS = {
    "plain": ("vgg16", {"num_classes": 6, "hidden": (9,), "pooled_size": 2}),
    "batch norm": ("vgg11_bn", {"head": HEAD}),
    "response norm": ("a_lrn", {"num_classes": 3, "hidden": (), "pooled_size": 1}),
    "1×1": ("c", {"head": "", "bias": False}),
    "mirrored": ("vgg11", {"padding_mode": "reflect", "pooling": "avg", "head": "avg3 flatten 4"}),
    "one output": ("vgg11", {"head": "avg1 flatten 1"}),
}


def network(kind, **options):
    name, fields = NETWORKS[kind]
    return lively(name, width=1 / 8, input_size=48, **fields).using(**options)


@pytest.mark.parametrize("options", [{}, {"algorithm": "direct"}, {"tier": "reference", "dtype": "float64"}], ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layers_number_is_the_sum_of_its_products(kind, options):
    vgg, rng = network(kind, **options), np.random.default_rng(3)
    picture = photograph(1)
    trace = vgg.trace(picture)
    for layer in vgg.architecture.layers:
        place = [int(rng.integers(side)) for side in trace[layer.name].shape[1:]]
        found = explain(vgg, picture, layer.name, *place)
        assert found.kernel == trace[layer.name][0][tuple(place)]
        assert found.gap <= found.bound < 0.05 * abs(trace[layer.name]).max()
        assert all(number.value == trace[number.layer][0][tuple(place)] for number in found.then)
        assert str(found).count("\n") > 5 and json.loads(found.to_json())["kernel"] == found.kernel
        for term in (found.folded or found).terms(9):
            x = trace[found.given][0]
            if not term.is_border:
                assert term.given == (x[term.place] if x.ndim == len(term.place) else x.reshape(found.map_shape)[term.place])


def test_a_convolutions_window_is_what_pytorch_would_multiply():
    torch = pytest.importorskip("torch")
    vgg, picture = network("plain"), photograph(2)
    maps = vgg.features(picture, ["relu4_2", "conv4_3"])
    weight, bias = (torch.tensor(vgg.parameters[f"conv4_3/{kind}"]).double() for kind in ("weight", "bias"))
    exact = torch.conv2d(torch.tensor(maps["relu4_2"]).double(), weight, bias, padding=1)[0]
    for place in ((0, 0, 0), (17, 5, 3), (63, 2, 5)):
        found = explain(vgg, picture, "conv4_3", *place)
        assert found.sum == pytest.approx(float(exact[place]), rel=1e-12, abs=1e-12)
        assert found.window.shape == (64, 3, 3) and np.array_equal(found.weights, weight[place[0]].numpy())
        assert sum(term.is_border for term in found.terms()) == 64 * {0: 5, 17: 3, 63: 3}[place[0]]


def test_what_is_left_out_is_where_the_output_is_largest():
    vgg, picture = network("plain"), photograph(0)
    maps = vgg.features(picture, "relu3_1")["relu3_1"][0]
    assert explain(vgg, picture, "relu3_1").kernel == maps.max()
    assert explain(vgg, picture, "relu3_1", 4, x=2).kernel == maps[4, :, 2].max()
    assert explain(vgg, picture, "features.11", y=3).kernel == maps[:, 3].max()


def test_the_pools_winner_is_the_largest_value():
    vgg, picture = network("plain"), photograph(0)
    found = explain(vgg, picture, "pool2")
    maps = vgg.features(picture, "relu2_2")["relu2_2"][0]
    assert found.given == "relu2_2" and maps[found.winner] == found.kernel and found.gap == 0


def test_batch_norm_is_the_same_number_folded():
    vgg, picture = network("batch norm"), photograph(1)
    found, norm = explain(vgg, picture, "conv3_1", 7, 2, 3), explain(vgg, picture, "bn3_1", 7, 2, 3)
    assert found.folded.kernel == norm.kernel and found.folded.window is found.window
    assert found.folded.sum == pytest.approx(norm.sum, abs=found.folded.bound)
    scale = vgg.parameters["bn3_1/weight"][7] / np.sqrt(float(vgg.parameters["bn3_1/var"][7]) + 1e-5)
    assert found.folded.weights == pytest.approx(found.weights * scale, rel=1e-6)
    assert norm.summed.parts["mean"] == vgg.parameters["bn3_1/mean"][7]


@pytest.mark.parametrize("kind, count", [("plain", 6), ("one output", 1)])
def test_probabilities_are_a_quotient_of_exponentials(kind, count):
    vgg, picture = network(kind), photograph(1)
    chances = vgg.features(picture, "prob")["prob"][0]
    for unit in range(count):
        found = explain(vgg, picture, "prob", unit)
        assert found.kernel == chances[unit] and found.value == pytest.approx(chances[unit], rel=1e-6)
        assert found.summed.numerator / found.sum == found.value


def test_the_check_notices_another_number():
    found = explain(network("plain"), photograph(1), "conv2_1", 3, 4, 5)
    with pytest.raises(HashMismatchError, match=r"conv2_1\[3, 4, 5\] is .* by the kernel"):
        replace(found, kernel=found.kernel + 2 * found.bound).check()


@pytest.mark.parametrize("options", [{}, {"tier": "reference"}], ids=str)
def test_nan_and_infinities_are_explained_as_they_are(options):
    vgg = network("plain", **options)
    weight = vgg.parameters["conv2_1/weight"].copy()
    weight[0], weight[1], weight[2] = np.nan, 3e38, -3e38
    vgg = vgg.with_parameters({"conv2_1/weight": weight})
    for layer in vgg.architecture.layers[3:]:
        for channel in range(3):
            found = explain(vgg, photograph(1), layer.name, channel)
            assert not found.gap > found.bound and str(found) and json.loads(found.to_json())["bound"] is None or found.gap == 0
    assert np.isnan(explain(vgg, photograph(1), "prob").kernel)


def test_the_table_is_as_wide_as_the_terminal():
    found = explain(network("batch norm"), photograph(1), "conv3_1", 7, 2, 3)
    lines = found.table(80, most=3).splitlines()
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines]
    shown = [float(line[-1]) for line in words if line[1:2] == ["more"] or line[:1] in (["bias"], ["sum"])
             or len(line) == 6 and line[0].isdigit()]
    assert sum(shown[:-1]) == pytest.approx(shown[-1], abs=1e-4) and len(shown) == 3 + 3


def test_prepared_arrays_have_no_photograph():
    vgg = network("plain")
    assert explain(vgg, vgg.prepare(photograph(1)), "conv1_1").on_photograph is None
    box = explain(vgg, photograph(1), "conv1_1", 0, 10, 20).on_photograph
    assert 0 <= box.top < box.bottom <= photograph(1).shape[0] and 0 <= box.left < box.right <= photograph(1).shape[1]


@pytest.mark.parametrize("arguments, words", [
    (("conv1_1", 8), "conv1_1 has no channel 8; give a whole number from 0 to 7"),
    (("conv1_1", 0, 48), "has no row 48"), (("conv1_1", 0, 0, -1), "has no column -1"), (("fc6", 0, 1, 1), "leave out y and x"),
    (("conv9_9",), "has no layer 'conv9_9'"), (("fc6", True), "has no unit True"),
], ids=str)
def test_places_that_are_not_there_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        explain(network("plain"), photograph(1), *arguments)


def test_one_picture_is_explained_at_a_time():
    with pytest.raises(ShapeError, match="2 pictures were given"):
        explain(network("plain"), [photograph(1), photograph(2)], "conv1_1")
