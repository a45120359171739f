"""Layers as steps: what is fused has the bits of what is not, and nothing depends on what lay in the arena before."""
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from witnesses.operations import same_bits

from npvgg.architecture import architecture
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.engine import arenas as arenas_module
from npvgg.kernels.engine import building, convolution_steps, team, winograd
from npvgg.kernels.engine.arenas import KEPT_BYTES, Arenas, aligned
from npvgg.kernels.engine.machine import CACHE_LINE, LANES
from npvgg.kernels.engine.packed import Packed
from npvgg.layer import Layer, norm_layer

CHANNELS = LANES + 3
CONVOLUTION = Layer("conv2d", "conv", (("weight", (21, CHANNELS, 3, 3)), ("bias", (21,))), (("padding", 1),))
WINDOW = (("size", 2), ("stride", 2))
TWIN = norm_layer("batchnorm2d", "twin", 21, 1e-3)
LAYERS = (CONVOLUTION, norm_layer("batchnorm2d", "bn", 21, 1e-3), Layer("relu", "relu"), Layer("maxpool2d", "pool", (), WINDOW))


def parameters(layers, seed=0):
    rng = np.random.default_rng(seed)
    return {f"{layer.name}/{kind}": (rng.uniform(0.5, 1.5, shape) if kind == "var" else rng.standard_normal(shape)).astype(
        np.float32) for layer in layers for kind, shape in layer.shapes}


def answers(layers, x, keep, algorithm="auto", arena=None):
    found, program = asked(layers, x, keep, algorithm)
    program.run({"x": x} | found, aligned(program.floats) if arena is None else arena(program.floats))
    return found


def asked(layers, x, keep, algorithm="auto", threads=2):
    """Arrays for the answers, and the program that fills them."""
    packed, shapes, shape = Packed(parameters(layers)), {}, x
    for layer in layers:
        shape = building_outline(layer, shape, packed.parameters)
        shapes[layer.name] = shape.shape
    program = building.build(layers, packed, x.shape, threads, algorithm, keep)
    return {name: np.empty(shapes[name], np.float32) for name in keep}, program


def building_outline(layer, x, arrays):
    from npvgg.kernels import contracts

    return contracts.Outline(contracts.answer_shape(layer, x, arrays))


def spoilt(floats):
    """An arena full of NaN."""
    arena = aligned(floats)
    arena[:] = np.nan
    return arena


def picture(height, width):
    """Two images; in the second NaN at each of the four places of a window, and windows of zeros of both signs."""
    x = np.random.default_rng(height).standard_normal((2, CHANNELS, height, width), np.float32)
    for number, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        x[1, number, 2 + i, 4 + j] = np.nan
        x[1, number, 6:8, 2:4] = 0.0
        x[1, number, 6 + i, 2 + j] = -0.0
    return x


def test_the_largest_of_a_window_is_that_of_the_definition():
    x = picture(11, 14)
    expected = tiers.choose("reference")["maxpool2d"](x)
    found = answers([LAYERS[-1]], x, ["pool"])["pool"]
    assert np.array_equal(found, expected, equal_nan=True) and np.isnan(found).sum() == 4


@pytest.mark.parametrize("algorithm", ["winograd", "direct"])
@pytest.mark.parametrize("layers", [LAYERS, LAYERS[::3], LAYERS[:1] + LAYERS[2:], LAYERS[:3]],
                         ids=lambda layers: " ".join(layer.name for layer in layers))
def test_what_is_fused_has_the_bits_of_what_is_kept(layers, algorithm):
    x = picture(27, 22)
    names = [layer.name for layer in layers]
    together, last = answers(layers, x, names, algorithm), names[-1]
    for name in names:
        assert same_bits(answers(layers, x, [name], algorithm)[name], together[name])
    assert np.isnan(together[last][1]).any() and not np.isnan(together[last]).all()


def test_a_scale_below_zero_turns_the_order_of_a_window_around():
    """The largest number behind a batch norm is the smallest before it: pooling comes last in the fused step too."""
    layers = LAYERS[:2] + LAYERS[3:]
    x = np.random.default_rng(1).standard_normal((1, CHANNELS, 8, 9), np.float32)
    kept = answers(layers, x, ["bn", "pool"])
    assert (parameters(layers)["bn/weight"] < 0).any()
    assert np.array_equal(tiers.choose("reference")["maxpool2d"](kept["bn"]), answers(layers, x, ["pool"])["pool"])


@pytest.mark.parametrize("last_level", [0, 1 << 30], ids=["three steps", "one step"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_program_assumes_nothing_of_its_arena(monkeypatch, channels, last_level):
    """Whatever lies there: the borders, the channels that do not exist and the ends of rows are written."""
    here = convolution_steps.machine()
    monkeypatch.setattr(convolution_steps, "machine", lambda: replace(here, last_level=last_level))
    net = architecture("vgg13_bn", width=3 / 32, head="avg3 max2 relu flatten bn 21 relu 5 bn", input_size=64,
                       input_channels=channels)
    x = np.random.default_rng(2).standard_normal((3, channels, 37, 50), np.float32)
    names = [layer.name for layer in net.layers]
    for algorithm in tiers.ALGORITHMS:
        clean, dirty = answers(net.layers, x, names, algorithm), answers(net.layers, x, names, algorithm, spoilt)
        assert all(same_bits(clean[name], dirty[name]) for name in names)
        last = answers(net.layers, x, names[-1:], algorithm, spoilt)[names[-1]]
        assert same_bits(last, clean[names[-1]]) and np.isfinite(last).all()


def dense(name, outputs, inputs):
    return Layer("dense", name, (("weight", (outputs, inputs)), ("bias", (outputs,))))


@pytest.mark.parametrize("first", [Layer("flatten", "first"), dense("first", 45, 18),
                                   norm_layer("batchnorm1d", "first", 45, 1e-3)], ids=lambda layer: layer.op)
def test_behind_a_row_of_features_lie_zeros_and_not_what_an_earlier_run_left(first):
    """45 and 21 are no whole numbers of cache lines, and zero times NaN is NaN."""
    layers = first, dense("second", 21, 45), dense("third", 5, 21)
    x = np.random.default_rng(4).standard_normal({"flatten": (3, 5, 3, 3), "dense": (3, 18)}.get(first.op, (3, 45)), np.float32)
    names = [layer.name for layer in layers]
    for keep in (names, names[-1:]):
        clean, dirty = answers(layers, x, keep), answers(layers, x, keep, arena=spoilt)
        assert all(same_bits(clean[name], dirty[name]) and np.isfinite(dirty[name]).all() for name in keep)


@pytest.mark.parametrize("height, width", [(4, 40), (40, 4), (14, 14), (17, 9), (28, 31)])
def test_the_tile_is_chosen_by_both_sides(height, width):
    _, program = asked([CONVOLUTION], np.zeros((1, CHANNELS, height, width), np.float32), ["conv"], "winograd")
    assert {int(tile) for tile in program.steps["tile_height"] if tile} == {winograd.tile_for(height, width)}


@pytest.mark.parametrize("tasks", [1, 3, 1000])
def test_however_the_first_convolution_is_divided_the_bits_are_the_same(monkeypatch, tasks):
    layers = Layer("conv2d", "conv", (("weight", (21, 3, 3, 3)),), (("padding", 1),)), *LAYERS[1:]
    x = np.random.default_rng(5).standard_normal((3, 3, 47, 22), np.float32)
    expected = answers(layers, x, ["conv", "pool"])
    monkeypatch.setattr(building.Builder, "TASKS", tasks)
    assert all(same_bits(array, expected[name]) for name, array in answers(layers, x, ["conv", "pool"]).items())


@pytest.mark.parametrize("last_level", [0, 1 << 30], ids=["three steps", "one step"])
@pytest.mark.parametrize("tasks", [1, 2, 5, 1000])
def test_however_a_step_is_divided_the_bits_are_the_same(monkeypatch, tasks, last_level):
    layers = (*LAYERS, Layer("conv2d", "wide", (("weight", (90, 21, 3, 3)),), (("padding", 1),)), Layer("flatten", "flatten"))
    x = picture(27, 22)
    names = [layer.name for layer in layers]
    expected, here = answers(layers, x, names, "winograd"), convolution_steps.machine()
    monkeypatch.setattr(convolution_steps, "machine", lambda: replace(here, last_level=last_level))
    monkeypatch.setattr(building.Builder, "TASKS", tasks)
    for keep in (names, ["pool", "flatten"]):
        found = answers(layers, x, keep, "winograd")
        assert all(same_bits(found[name], expected[name]) for name in keep)


@pytest.mark.parametrize("order", list(permutations(LAYERS[1:])) + [(LAYERS[2], LAYERS[1], LAYERS[2]), (LAYERS[1], TWIN),
                                                                  (LAYERS[3], LAYERS[1], LAYERS[2], TWIN)],
                         ids=lambda order: " ".join(layer.name for layer in order))
@pytest.mark.parametrize("algorithm", ["winograd", "direct"])
def test_layers_in_any_order_are_computed_in_that_order(order, algorithm):
    others, x = (replace(layer, name=f"{layer.name}{number}") for number, layer in enumerate(order)), picture(19, 22)
    layers = CONVOLUTION, *others
    names = [layer.name for layer in layers]
    together = answers(layers, x, names, algorithm)
    for name in names:
        assert same_bits(answers(layers, x, [name], algorithm)[name], together[name])


@pytest.mark.parametrize("tasks", [2, 64])
@pytest.mark.parametrize("last_level", [0, 1 << 30], ids=["three steps", "one step"])
def test_a_thread_writes_its_own_scratch_and_nothing_behind_the_arena(monkeypatch, last_level, tasks):
    """The last of the threads does all the work; what belongs to the others, and lies around the arena, stays as it was."""
    here, threads, fence = convolution_steps.machine(), number_of(None), 1 << 20
    monkeypatch.setattr(convolution_steps, "machine", lambda: replace(here, last_level=last_level))
    monkeypatch.setattr(building.Builder, "TASKS", tasks)
    monkeypatch.setattr(team, "together", lambda function, count: function(count - 1))
    layers = (*LAYERS, Layer("conv2d", "wide", (("weight", (90, 21, 3, 3)),), (("padding", 1),)),
              Layer("conv2d", "narrow", (("weight", (5, 90, 3, 3)),), (("padding", 1),)), Layer("flatten", "flatten"),
              dense("fc", 37, 5 * 9 * 7))
    x = np.random.default_rng(3).standard_normal((5, CHANNELS, 18, 14), np.float32)
    for algorithm in tiers.ALGORITHMS:
        found, program = asked(layers, x, ["fc"], algorithm, threads)
        field = aligned(program.floats + 2 * fence)
        field[:] = np.nan
        program.run({"x": x} | found, field[fence:fence + program.floats])
        start, size = (int(program.steps[name][0]) for name in ("scratch", "scratch_size"))
        others = field[fence + start:fence + start + size * (threads - 1)]
        assert np.isnan(field[:fence]).all() and np.isnan(field[-fence:]).all() and np.isnan(others).all()
        assert start + size * threads == program.floats and same_bits(found["fc"], answers(layers, x, ["fc"], algorithm)["fc"])


def test_a_program_may_run_again_and_elsewhere():
    """It is not changed by a run: places stay places, and answers go where this run wants them."""
    x, names = picture(19, 22), [layer.name for layer in LAYERS]
    found, program = asked(LAYERS, x, names)
    steps = program.steps.copy()
    for _ in range(3):
        again = {name: np.full_like(array, np.nan) for name, array in found.items()}
        program.run({"x": x} | again, aligned(program.floats))
        assert all(same_bits(again[name], array) for name, array in answers(LAYERS, x, names).items())
    assert np.array_equal(program.steps, steps)
    assert all((program.steps[place] % CACHE_LINE == 0).all() for place in ("v", "m", "scratch"))


def test_every_step_has_its_owners():
    _, program = asked(LAYERS, picture(19, 22), ["bn"])
    assert program.owners == [("input",), ("conv", "bn"), ("conv", "bn")] and len(program.steps) == 3     # … and what leaves


def test_a_programs_weights_live_as_long_as_it_does():
    found, program = asked(LAYERS, picture(19, 22), ["pool"])
    kept = {array.ctypes.data for array in program.weights}
    read = {int(step[name]) for step in program.steps for name in ("weights", "tail") if step[name]}
    assert read and read <= kept


@pytest.mark.parametrize("layer, is_obeyed", [
    (CONVOLUTION, True), (Layer("conv2d", "c", CONVOLUTION.shapes, (("padding", 2),)), False),
    (Layer("conv2d", "c", CONVOLUTION.shapes, (("padding", 1), ("stride", 2))), False),
    (Layer("maxpool2d", "p", (), (("size", 3), ("stride", 2))), False), (Layer("maxpool2d", "p", (), WINDOW), True),
    (Layer("maxpool2d", "p", (), (*WINDOW, ("ceil_mode", True))), False), (Layer("maxpool2d", "p"), False),
    (Layer("avgpool2d", "p", (), WINDOW), True), (Layer("avgpool2d", "p", (), (("size", 3), ("stride", 2))), False),
    (Layer("avgpool2d", "p", (), (("size", 2), ("stride", 1))), False), (Layer("avgpool2d", "p", (), WINDOW[:1]), False),
    (Layer("local_response_norm", "l", (), (("size", 5), ("alpha", 1.0), ("beta", 0.75), ("k", 3.0))), True),
    (Layer("local_response_norm", "l", (), (("size", 3), ("alpha", 1.0), ("beta", 0.75), ("k", 3.0))), False),
    (Layer("local_response_norm", "l", (), (("size", 5), ("alpha", 1.0), ("beta", 0.5), ("k", 3.0))), False),
    (Layer("reflection_pad2d", "r", (), (("size", 2),)), True), (Layer("softmax", "s"), False),
])
def test_options_are_obeyed_or_the_layer_is_refused(layer, is_obeyed):
    assert building.is_obeyed(layer) is is_obeyed


@pytest.mark.parametrize("floats", [1, 16, 17, 32, 33, 512, 1000])
def test_distances_are_odd_numbers_of_cache_lines(floats):
    found = convolution_steps.odd_lines(floats)
    assert found >= floats and found % (2 * CACHE_LINE) == CACHE_LINE and found - floats < 2 * CACHE_LINE


def test_every_kind_of_step_has_a_task_and_every_layer_a_step():
    from npvgg.kernels.engine import steps
    from npvgg.kernels.engine.float32 import run

    assert run.TASKS.keys() == steps.KINDS.keys()
    assert building.ADD.keys() >= building.OBEYED.keys() and building.FUSED.keys() <= building.ADD.keys()
    assert building.ADD.keys() <= set(tiers.choose("reference"))


def test_free_arenas_have_a_bound():
    arenas = Arenas()
    small, large = aligned(100), aligned(1000)
    arenas.give_back(small)
    assert arenas.take(50) is small and arenas.take(50) is not small
    arenas.give_back(large)
    assert arenas.take(2000).size >= 2000
    arenas.give_back(np.empty(KEPT_BYTES // 4 + 1, np.float32))
    assert arenas.free == []


def test_the_memory_that_is_kept_has_a_bound_for_all_arenas_together(monkeypatch):
    monkeypatch.setattr(arenas_module, "KEPT_BYTES", 3 * 4 * 100)
    arenas = Arenas()
    for _ in range(5):
        arenas.give_back(aligned(100))
    assert len(arenas.free) == 3


@pytest.mark.parametrize("count", [1, 100, 4097])
def test_an_arena_begins_on_a_cache_line(count):
    for _ in range(5):
        arena = aligned(count)
        assert arena.ctypes.data % (4 * CACHE_LINE) == 0 and arena.shape == (count,) and not arena.any()
