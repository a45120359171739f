"""Layers as steps: what is fused has the bits of what is not, and nothing depends on what lay in the arena before."""
import numpy as np
import pytest
from witnesses.operations import same_bits

from npvgg.architecture import architecture
from npvgg.kernels import tiers
from npvgg.kernels.engine import building
from npvgg.kernels.engine.arenas import KEPT_BYTES, Arenas, aligned
from npvgg.kernels.engine.machine import CACHE_LINE, LANES
from npvgg.kernels.engine.packed import Packed
from npvgg.layer import Layer, norm_layer

CHANNELS = LANES + 3
CONVOLUTION = Layer("conv2d", "conv", (("weight", (21, CHANNELS, 3, 3)), ("bias", (21,))), (("padding", 1),))
WINDOW = (("size", 2), ("stride", 2))
LAYERS = (CONVOLUTION, norm_layer("batchnorm2d", "bn", 21, 1e-3), Layer("relu", "relu"), Layer("maxpool2d", "pool", (), WINDOW))


def parameters(layers, seed=0):
    rng = np.random.default_rng(seed)
    return {f"{layer.name}/{kind}": (rng.uniform(0.5, 1.5, shape) if kind == "var" else rng.standard_normal(shape)).astype(
        np.float32) for layer in layers for kind, shape in layer.shapes}


def answers(layers, x, keep, algorithm="auto", arena=None):
    packed, shapes, shape = Packed(parameters(layers)), {}, x
    for layer in layers:
        shape = building_outline(layer, shape, packed.parameters)
        shapes[layer.name] = shape.shape
    program = building.build(layers, packed, x.shape, 2, algorithm, keep)
    found = {name: np.empty(shapes[name], np.float32) for name in keep}
    program.run(x, found, aligned(program.floats) if arena is None else arena(program.floats))
    return found


def building_outline(layer, x, arrays):
    from npvgg.kernels import contracts

    return contracts.Outline(contracts.answer_shape(layer, x, arrays))


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


def test_a_program_assumes_nothing_of_its_arena():
    """Whatever lies there: the borders, the channels that do not exist and the ends of rows are written."""
    def spoilt(floats):
        arena = aligned(floats)
        arena[:] = np.nan
        return arena

    net = architecture("vgg13_bn", width=3 / 32, head="avg3 max2 relu flatten bn 21 relu 5 bn", input_size=64)
    x = np.random.default_rng(2).standard_normal((3, 3, 37, 50), np.float32)
    names = [layer.name for layer in net.layers]
    for algorithm in tiers.ALGORITHMS:
        clean, dirty = answers(net.layers, x, names, algorithm), answers(net.layers, x, names, algorithm, spoilt)
        assert all(same_bits(clean[name], dirty[name]) for name in names)
        assert np.isfinite(dirty[names[-1]]).all()


@pytest.mark.parametrize("layer, is_obeyed", [
    (CONVOLUTION, True), (Layer("conv2d", "c", CONVOLUTION.shapes, (("padding", 2),)), False),
    (Layer("conv2d", "c", CONVOLUTION.shapes, (("padding", 1), ("stride", 2))), False),
    (Layer("maxpool2d", "p", (), (("size", 3), ("stride", 2))), False), (Layer("maxpool2d", "p", (), WINDOW), True),
    (Layer("maxpool2d", "p", (), (*WINDOW, ("ceil_mode", True))), False), (Layer("maxpool2d", "p"), False),
    (Layer("local_response_norm", "l", (), (("size", 5), ("alpha", 1.0), ("beta", 0.75), ("k", 3.0))), True),
    (Layer("local_response_norm", "l", (), (("size", 3), ("alpha", 1.0), ("beta", 0.75), ("k", 3.0))), False),
    (Layer("local_response_norm", "l", (), (("size", 5), ("alpha", 1.0), ("beta", 0.5), ("k", 3.0))), False),
    (Layer("reflection_pad2d", "r", (), (("size", 2),)), True), (Layer("softmax", "s"), False),
])
def test_options_are_obeyed_or_the_layer_is_refused(layer, is_obeyed):
    assert building.is_obeyed(layer) is is_obeyed


@pytest.mark.parametrize("floats", [1, 16, 17, 32, 33, 512, 1000])
def test_distances_are_odd_numbers_of_cache_lines(floats):
    found = building.odd_lines(floats)
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
