"""Plans against the layers one by one: the same answer, sooner, and the same bits whatever is asked for."""
import gc
import threading
import weakref

import numpy as np
import pytest
from witnesses.networks import lively

from npvgg import plan
from npvgg.architecture import NAMES, architecture
from npvgg.counting import describe
from npvgg.errors import ShapeError, UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.engine import arenas
from npvgg.kernels.engine.program import Program
from npvgg.layer import Layer
from npvgg.parity import difference

SIZES = {"width": 3 / 32, "hidden": (21, 13), "pooled_size": 3, "num_classes": 5, "input_size": 64}
# Networks unlike the paper's in one way each; the first of a family stands for what its heads have in common.
OTHERS = {
    "a head of everything": ("vgg11_bn", {"head": "avg3 max2 relu bn drop flatten bn0.01 21 relu drop 13 bn relu 5"}),
    "global average": ("vgg13", {"head": "avg1 flatten 9"}), "global maximum": ("vgg11", {"head": "max1 flatten 4 drop 9"}),
    "embeddings": ("vgg11", {"head": "avg2 flatten 21 relu drop 13 relu"}), "nothing behind pool5": ("vgg11_bn", {"head": ""}),
    "grey": ("vgg11", {"input_channels": 1}), "four channels": ("vgg13_bn", {"input_channels": 4}),
    "reflected borders": ("vgg13_bn", {"padding_mode": "reflect"}),
    "average pooling": ("vgg11_bn", {"pooling": "avg"}), "no bias": ("vgg13_bn", {"bias": False, "eps": 1e-3}),
    "maps of as many channels as a picture": ("vgg13", {"width": 3 / 64}),
}
SMALL = {"head": "avg2 flatten 21 relu drop 5", "width": 3 / 32, "input_size": 64}
NETS = {**{name: architecture(name, **SIZES) for name in NAMES},
        **{title: architecture(name, **{**SMALL, **options}) for title, (name, options) in OTHERS.items()}}


def picture(net, n=2, height=64, width=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, net.input_channels, height, width)).astype(np.float32)


def arrays_of(net):
    return dict(lively(net).parameters)


def exact_trace(net, parameters, x):
    """{name: float64 array} of every layer, by the definition."""
    kernels, found, x = tiers.choose("reference"), {}, x.astype(np.float64)
    for layer in net.layers:
        own = [array.astype(np.float64) for array in layer.arrays(parameters)]
        found[layer.name] = x = kernels[layer.op](x, *own, **dict(layer.options))
    return found


def names_of(net):
    return [layer.name for layer in net.layers]


@pytest.fixture(scope="module", params=NETS)
def net(request):
    return NETS[request.param]


@pytest.mark.parametrize("height, width", [(33, 70), (97, 41)], ids=str)
def test_every_layer_at_ragged_sizes_under_every_algorithm(net, height, width):
    parameters, x = arrays_of(net), picture(net, 3, height, width)
    exact, made = exact_trace(net, parameters, x), plan.Plan(net.layers, parameters)
    rows = {row.layer.name: row.output_shape for row in describe(net, (height, width))}
    for algorithm in tiers.ALGORITHMS:
        for name, array in made.run(x, names_of(net), algorithm=algorithm).items():
            assert array.shape == exact[name].shape == (3, *rows[name]) and array.dtype == np.float32
            gap = difference.measure(array, exact[name]).largest_relative
            assert gap <= (2e-6 if algorithm == "direct" else 5e-6), (name, algorithm)


def test_a_layer_has_the_same_bits_whatever_else_is_asked_for(net):
    parameters, x = arrays_of(net), picture(net, 2, 45, 52)
    for algorithm in tiers.ALGORITHMS:
        made = plan.Plan(net.layers, parameters)
        together = made.run(x, names_of(net), algorithm=algorithm)
        for name in names_of(net):
            assert np.array_equal(made.run(x, [name], algorithm=algorithm)[name], together[name]), (name, algorithm)


def test_the_bits_are_the_same_alone_in_a_batch_and_on_one_thread(net):
    made, x, names = plan.Plan(net.layers, arrays_of(net)), picture(net, 5, 45, 52), names_of(net)[::4]
    together = made.run(x, names)
    backwards = made.run(x[::-1], names)
    for name in names:
        for n in range(5):
            assert np.array_equal(made.run(x[n:n + 1], [name], threads=1)[name][0], together[name][n])
        assert np.array_equal(backwards[name][::-1], together[name])


def test_a_large_batch_is_run_in_pieces(monkeypatch):
    net = NETS["vgg11"]
    made, x = plan.Plan(net.layers, arrays_of(net)), picture(net, 7, 33, 40)
    together = made.run(x, ["fc8", "conv3_1"])
    monkeypatch.setattr(plan, "MOST_IMAGES", 3)
    again = made.run(x, ["conv3_1", "fc8"])
    assert all(np.array_equal(again[name], together[name]) for name in together)
    nothing = made.run(x[:0], ["fc8", "conv3_1"])
    assert nothing["fc8"].shape == (0, 5) and nothing["conv3_1"].shape == (0, *together["conv3_1"].shape[1:])


@pytest.mark.parametrize("name, value, pieces", [
    ("MOST_IMAGES", 3, {3, 1}), ("MOST_IMAGES", 7, {7}), ("PIXELS", 2 * 33 * 40, {2, 1}), ("PIXELS", 33 * 40 - 1, {1}),
    ("PIXELS", 6 * 33 * 40 + 1, {6, 1})])
def test_a_piece_holds_so_many_images_and_pixels_and_always_one_image(monkeypatch, name, value, pieces):
    net = NETS["vgg11"]
    made, x = plan.Plan(net.layers, arrays_of(net)), picture(net, 7, 33, 40)
    monkeypatch.setattr(plan, name, value)
    assert made.run(x, ["fc8"])["fc8"].shape == (7, 5)
    assert {x_shape[0] for x_shape, *_ in made.programs} == pieces


def test_each_way_of_asking_has_a_program_of_its_own():
    net, counts = NETS["vgg11"], range(1, number_of(None) + 1)
    parameters, x = arrays_of(net), picture(net, 2, 40, 48)
    made = plan.Plan(net.layers, parameters)
    for threads in counts:
        made.run(x, ["fc8"], threads=threads)
    assert [program.threads for program in made.programs.values()] == list(counts)
    for algorithm in tiers.ALGORITHMS:
        alone = plan.Plan(net.layers, parameters).run(x, ["conv2_1"], algorithm=algorithm)["conv2_1"]
        assert np.array_equal(made.run(x, ["conv2_1"], algorithm=algorithm)["conv2_1"], alone)
        assert made.run(x, ["pool1"], algorithm=algorithm).keys() == {"pool1"}
    assert len({made.run(x, ["conv2_1"], algorithm=algorithm)["conv2_1"].tobytes() for algorithm in tiers.ALGORITHMS}) == 2


def test_the_program_used_longest_ago_goes_first(monkeypatch):
    net = NETS["vgg11"]
    made = plan.Plan(net.layers, arrays_of(net))
    monkeypatch.setattr(plan, "PROGRAMS", 2)
    for n in (1, 2, 1, 3):
        made.run(picture(net, n, 32, 32), ["pool1"])
    assert [x_shape[0] for x_shape, *_ in made.programs] == [1, 3]
    for n in range(1, 9):
        made.run(picture(net, n, 32, 32), ["pool1"])
        assert len(made.known) <= 2


def test_a_picture_may_lie_anywhere_in_memory(monkeypatch):
    """Steps see it contiguous and aligned."""
    run, seen = Program.run, []
    monkeypatch.setattr(Program, "run", lambda self, arrays, *rest: seen.append(
        arrays["x"].flags.c_contiguous and arrays["x"].flags.aligned) or run(self, arrays, *rest))
    net = NETS["vgg11"]
    made, x = plan.Plan(net.layers, arrays_of(net)), picture(net, 2, 33, 40)
    memory = np.zeros(x.nbytes + 1, np.uint8)
    askew = memory[1:].view(np.float32).reshape(x.shape)
    askew[:] = x
    assert not askew.flags.aligned
    expected = made.run(x, ["fc8"])["fc8"]
    for other in (askew, np.asfortranarray(x), np.repeat(x, 2, axis=3)[..., ::2]):
        assert np.array_equal(made.run(other, ["fc8"])["fc8"], expected)
    assert len(seen) == 4 and all(seen)


@pytest.mark.parametrize("algorithm", tiers.ALGORITHMS)
def test_pictures_of_any_size_may_follow_one_another(algorithm):
    """Weights are packed for tiles of both sizes, and each is used where it belongs."""
    net = NETS["vgg11"]
    parameters = arrays_of(net)
    made = plan.Plan(net.layers, parameters)
    for n, height, width in ((1, 64, 64), (2, 56, 56), (1, 120, 33), (3, 34, 52), (1, 64, 64)):
        x = picture(net, n, height, width)
        assert np.array_equal(made.run(x, ["fc8"], algorithm=algorithm)["fc8"],
                              plan.Plan(net.layers, parameters).run(x, ["fc8"], algorithm=algorithm)["fc8"])
    tiles = {key[0]: set() for key in made.packed.made}
    for name, _, tile in (key for key in made.packed.made if key[1] == "winograd"):
        tiles[name].add(tile)
    assert algorithm == "direct" or {2, 4} in tiles.values()


def test_two_normalisations_have_constants_of_their_own():
    """… and so have two plain ReLUs, of other numbers of channels."""
    window = ("size", 5), ("beta", 0.75)
    layers = [Layer("local_response_norm", f"lrn{number}", (), (*window, ("alpha", alpha), ("k", k)))
              for number, (alpha, k) in enumerate([(0.5, 1.0), (0.5, 2.0), (2.0, 1.0)])]
    x = np.random.default_rng(0).standard_normal((2, 70, 3, 5), np.float32)
    found, exact = plan.Plan(tuple(layers), {}).run(x, [layer.name for layer in layers]), x.astype(np.float64)
    for layer in layers:
        exact = tiers.choose("reference")["local_response_norm"](exact, **dict(layer.options))
        assert difference.measure(found[layer.name], exact).within(1e-6)


def test_layers_behind_the_last_one_asked_for_are_not_computed():
    net = NETS["vgg11"]
    made = plan.Plan(net.layers, arrays_of(net))
    made.run(picture(net), ["relu2_1"])
    assert {key[0] for key in made.packed.made} == {"conv1_1", "conv2_1"}


def test_weights_are_packed_once_for_all_sizes_and_threads():
    net = NETS["vgg11_bn"]
    made = plan.Plan(net.layers, arrays_of(net))
    made.run(picture(net), ["fc8"])
    packed = dict(made.packed.made)
    made.run(picture(net, 3, 64, 75), ["fc8"])
    made.run(picture(net), ["fc8"], threads=1)
    assert made.packed.made.keys() == packed.keys() and all(made.packed.made[key] is value for key, value in packed.items())


def test_programs_and_the_memory_they_keep_have_a_bound(monkeypatch):
    net = NETS["vgg11"]
    made = plan.Plan(net.layers, arrays_of(net))
    monkeypatch.setattr(plan, "PROGRAMS", 4)
    for n in range(1, 9):
        made.run(picture(net, n, 32, 32), ["fc8"])
    assert len(made.programs) == 4 and len(made.arenas.free) == 1
    monkeypatch.setattr(arenas, "KEPT_BYTES", 0)
    made.run(picture(net), ["fc8"])
    assert made.arenas.free == []


def test_a_smaller_batch_uses_the_memory_of_a_larger_one():
    net = NETS["vgg11"]
    made = plan.Plan(net.layers, arrays_of(net))
    made.run(picture(net, 8), ["fc8"])
    arena, = made.arenas.free
    for n in range(7, 0, -1):
        made.run(picture(net, n), ["fc8"])
        assert made.arenas.free[0] is arena and len(made.arenas.free) == 1


def test_memory_is_released_with_the_plan():
    net = NETS["vgg11"]
    made = plan.Plan(net.layers, arrays_of(net))
    made.run(picture(net), ["fc8"])
    left = weakref.ref(made), weakref.ref(next(iter(made.programs.values())))
    del made
    gc.collect()
    assert [reference() for reference in left] == [None, None]


def test_the_first_call_may_come_from_many_threads_at_once():
    net, answers = NETS["vgg11_bn"], []
    made, x, start = plan.Plan(net.layers, arrays_of(net)), picture(net), threading.Barrier(8)

    def call():
        start.wait()
        answers.append(made.run(x, ["fc8"])["fc8"])

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 8 and all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_layer_that_the_engine_cannot_compute_is_named():
    layers = list(architecture("vgg11").layers)
    layers[2] = Layer("maxpool2d", "pool1", (), (("size", 3), ("stride", 2)))
    assert plan.refused(layers) == "pool1"
    assert not any(plan.refused(net.layers) for net in NETS.values())


def test_nan_in_one_picture_stays_in_its_answers(net):
    x = picture(net, 3)
    x[1, 0, 30, 30] = np.nan
    last = net.layers[-1].name
    answer = plan.Plan(net.layers, arrays_of(net)).run(x, [last])[last]
    assert np.isnan(answer[1]).any() and not np.isnan(answer[[0, 2]]).any()
    assert net.num_classes is None or np.isnan(answer[1]).all()


def test_a_variance_below_zero_gives_nan_as_in_the_definition():
    net = NETS["vgg11_bn"]
    parameters = arrays_of(net)
    parameters["bn3_1/var"] = -parameters["bn3_1/var"]
    assert np.isnan(plan.Plan(net.layers, parameters).run(picture(net), ["fc8"])["fc8"]).all()


@pytest.mark.parametrize("value", [1e15, 1e18])
def test_local_response_normalisation_overflows_no_sooner_than_pytorchs(value):
    net = architecture("a_lrn", **SIZES)
    layer, x = next(layer for layer in net.layers if layer.op == "local_response_norm"), np.ones((1, 6, 4, 5), np.float32)
    exact = tiers.choose("reference")["local_response_norm"](value * x.astype(np.float64), **dict(layer.options))
    answer = plan.Plan((layer,), {}).run(np.float32(value) * x, ["lrn1"])["lrn1"]
    assert difference.measure(answer, exact).within(1e-6)


@pytest.mark.parametrize("wrong, sentence", [
    (np.zeros((2, 4, 64, 64), np.float32), "has 4 channels but weight"),
    (np.zeros((2, 3, 64, 64), np.float64), "expected one dtype"),
    (np.zeros((2, 3, 16, 64), np.float32), "smaller than one window"),
], ids=["channels", "dtype", "size"])
def test_what_does_not_fit_is_refused_like_anywhere(wrong, sentence):
    net = NETS["vgg11"]
    with pytest.raises(ShapeError, match=sentence):
        plan.Plan(net.layers, arrays_of(net)).run(wrong, ["fc8"])


@pytest.mark.parametrize("options, sentence", [
    ({"algorithm": "fft"}, "^there is no algorithm 'fft'; choose one of auto, winograd, direct$"),
    *[({"threads": threads}, f"^threads is {threads!r}; this process can use 1 to") for threads in (0, -1, 10_000, True, 1.5)],
], ids=str)
def test_options_that_make_no_sense(options, sentence):
    net = NETS["vgg11"]
    with pytest.raises(UsageError, match=sentence):
        plan.Plan(net.layers, arrays_of(net)).run(picture(net), ["fc8"], **options)
