"""Training steps of the engine: against the jit tier in float64, PyTorch's errors, and laws."""
import numpy as np
import pytest
from witnesses.networks import lively
from witnesses.operations import gap, same_bits

from npvgg.architecture import architecture
from npvgg.counting import describe
from npvgg.differentiation import Backward, Outcome
from npvgg.errors import TierWarning, UsageError
from npvgg.kernels.engine.arenas import aligned
from npvgg.kernels.engine.layout import as_output
from npvgg.kernels.engine.program import TRAINING, Program
from npvgg.kernels.engine.training import building, convolution_steps
from npvgg.kernels.engine.training.builder import TrainingBuilder
from npvgg.kernels.engine.training.plan import KEPT, TrainingPlan
from npvgg.layer import Layer
from npvgg.training.losses import cross_entropy

NETWORKS = {
    "vgg11": ("vgg11", {"width": 1 / 8, "head": "avg2 flatten 19 relu drop 7"}, (5, 3, 37, 50)),
    "vgg13_bn": ("vgg13_bn", {"width": 3 / 32, "head": "avg1 flatten 7"}, (3, 3, 45, 34)),
    "one channel, no bias": ("vgg11_bn", {"width": 1 / 16, "head": "flatten 33 relu drop0.3 drop 7", "bias": False,
                                          "input_channels": 1, "input_size": 64}, (4, 1, 64, 64)),
    "four channels": ("vgg11", {"width": 1 / 16, "head": "avg3 flatten drop 7", "input_channels": 4, "bias": False},
                      (2, 4, 33, 97)),
    "wide": ("vgg11_bn", {"width": 0.4, "head": "avg1 flatten 7"}, (9, 3, 32, 32)),
    "one picture": ("vgg11_bn", {"width": 1 / 16, "head": "avg1 flatten 7", "eps": 1e-3}, (1, 3, 64, 70)),
}


def made(name, seed=0):
    """A network, pictures, a loss and masks for its dropouts."""
    model, options, shape = NETWORKS[name]
    vgg, rng = lively(model, **{"input_size": 32} | options), np.random.default_rng(seed)
    classes, x = rng.integers(0, 7, shape[0]), rng.standard_normal(shape)
    shapes = {name: array.shape for name, array in vgg.trace(x.astype(np.float32)).items()}
    masks = {layer.name: rng.random(shapes[layer.name]) < 0.6 for layer in vgg.architecture.layers if layer.op == "dropout"}
    return vgg, x, lambda logits: cross_entropy(logits, classes, smoothing=0.1), masks


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_the_jit_tiers_in_float64(name):
    """Within float32's rounding, of which a step has some 1e-6; a bias before batch norm has no gradient at all."""
    vgg, x, loss, masks = made(name)
    exact = Backward(vgg.architecture, "jit")(vgg.using(dtype=np.float64).parameters, x, loss, masks=masks)
    backward = Backward(vgg.architecture)
    assert backward.plan is not None
    outcome = backward(vgg.parameters, x.astype(np.float32), loss, masks=masks)
    assert outcome.loss == pytest.approx(exact.loss, rel=1e-5) and gap(outcome.output, exact.output) < 1e-5
    assert outcome.gradients.keys() == exact.gradients.keys() and outcome.statistics.keys() == exact.statistics.keys()
    largest = max(abs(gradient).max() for gradient in exact.gradients.values())
    for path, gradient in outcome.gradients.items():
        assert gradient.dtype == np.float32 and gradient.shape == exact.gradients[path].shape
        if abs(exact.gradients[path]).max() < 1e-12 * largest:
            assert path.startswith("conv") and path.endswith("/bias") and not gradient.any()
        else:
            assert gap(gradient, exact.gradients[path]) < 5e-5, path
    for norm, moments in outcome.statistics.items():
        for ours, expected in zip(moments, exact.statistics[norm], strict=True):
            assert gap(ours, expected) < 1e-5, norm


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_nothing_depends_on_threads_on_memory_that_was_used_or_on_what_else_is_wanted(name, monkeypatch):
    vgg, x, loss, masks = made(name)
    x = x.astype(np.float32)
    whole = Backward(vgg.architecture)(vgg.parameters, x, loss, masks=masks)
    monkeypatch.setattr("npvgg.kernels.engine.arenas.aligned", lambda count: np.full_like(aligned(count), np.nan))
    for threads in (1, 2):
        other = Backward(vgg.architecture, threads=threads)(vgg.parameters, x, loss, masks=masks)
        assert all(same_bits(other.gradients[path], gradient) for path, gradient in whole.gradients.items())
        assert same_bits(other.output, whole.output)
    last = [path for path in whole.gradients if path.startswith(("conv5_2", "fc"))]
    part = Backward(vgg.architecture)(vgg.parameters, x, loss, masks=masks, of=last)
    assert part.gradients.keys() == set(last)
    assert all(same_bits(gradient, whole.gradients[path]) for path, gradient in part.gradients.items())


FEATURES = {
    "head with batch norm": ("vgg11", {"width": 1 / 16, "head": "bn relu avg2 flatten 9 bn relu drop 7"}, (4, 3, 33, 40)),
    "maps": ("vgg11_bn", {"width": 1 / 16, "head": "bn avg2"}, (3, 3, 50, 34)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [*NETWORKS, *FEATURES])
def test_gradients_of_layers_and_pictures_are_the_jit_tiers_in_float64(name, training):
    """Of several layers at once, inside of what is one step otherwise too, given at several layers, in both modes."""
    model, options, shape = (NETWORKS | FEATURES)[name]
    vgg, rng = lively(model, **{"input_size": 32} | options), np.random.default_rng(1)
    x = rng.standard_normal(shape)
    names = [layer.name for layer in vgg.architecture.layers]
    last, middle = names[-1], [name for name in names if name.startswith(("relu3", "conv4", "bn4", "pool2"))]
    traced = vgg.trace(x.astype(np.float32))
    given = {name: rng.standard_normal(traced[name].shape) for name in [last, *middle[-2:]]}
    for seeds in (given, {name: given[name] for name in middle[-2:-1]}):
        end = 1 + max(names.index(seed) for seed in seeds)
        learned = [path for path in vgg.parameters if path.endswith(("/weight", "/bias"))
                   and names.index(path.partition("/")[0]) < end]
        of = ["input", *names[:end], *learned]
        exact = Backward(vgg.architecture, "jit")(vgg.using(dtype=np.float64).parameters, x, seeds, training=training, of=of)
        backward = Backward(vgg.architecture)
        assert backward.plan is not None
        ours = backward(vgg.parameters, x.astype(np.float32), {name: seed.astype(np.float32) for name, seed in seeds.items()},
                        training=training, of=of)
        assert ours.loss is None and gap(ours.output, exact.output) < 5e-5 and ours.gradients.keys() == exact.gradients.keys()
        largest = max(abs(gradient).max() for gradient in exact.gradients.values())
        for path, gradient in ours.gradients.items():
            assert gradient.dtype == np.float32 and gradient.shape == exact.gradients[path].shape, path
            if abs(exact.gradients[path]).max() < 1e-12 * largest:
                assert abs(gradient).max() < 1e-5 * largest, path
            else:
                assert gap(gradient, exact.gradients[path]) < 1e-4, path
        few = backward(vgg.parameters, x.astype(np.float32), {name: seed.astype(np.float32) for name, seed in seeds.items()},
                       training=training, of=["input", "conv2_1"])
        for path in few.gradients:
            assert gap(few.gradients[path], exact.gradients[path]) < 1e-4, path


def test_gradients_are_written_where_an_earlier_outcome_has_its_own():
    vgg, x, loss, _ = made("vgg13_bn")
    backward, x = Backward(vgg.architecture), x.astype(np.float32)
    first = backward(vgg.parameters, x, loss)
    copies = {path: gradient.copy() for path, gradient in first.gradients.items()}
    second = backward(vgg.parameters, x, loss, into=first)
    assert all(second.gradients[path] is first.gradients[path] for path in copies)
    assert all(same_bits(second.gradients[path], copy) for path, copy in copies.items())
    third = backward(vgg.parameters, x, loss)
    assert not any(np.shares_memory(third.gradients[path], first.gradients[path]) for path in copies)


def test_an_outcome_of_another_kind_is_not_written_into():
    """Another dtype, shape or layout: the engine would write behind its end."""
    vgg, x, loss, _ = made("vgg13_bn")
    backward, x = Backward(vgg.architecture), x.astype(np.float32)
    whole = backward(vgg.parameters, x, loss)
    wrong = dict(zip(whole.gradients, (np.zeros(whole.gradients["conv1_1/weight"].shape), np.zeros(3, np.float32), "no array")))
    wrong["fc6/weight"] = np.zeros(whole.gradients["fc6/weight"].shape[::-1], np.float32).T
    wrong["conv3_1/weight"] = np.zeros_like(whole.gradients["conv3_1/weight"])
    wrong["conv3_1/weight"].flags.writeable = False
    other = backward(vgg.parameters, x, loss, into=Outcome(None, x, wrong, {}))
    assert all(same_bits(other.gradients[path], gradient) for path, gradient in whole.gradients.items())
    assert not any(np.any(array) for array in wrong.values() if isinstance(array, np.ndarray))
    with pytest.raises(UsageError, match="into is a dict"):
        backward(vgg.parameters, x, loss, into={})


def test_a_training_step_leaves_its_memory_to_the_next_however_large(monkeypatch):
    vgg, x, loss, _ = made("vgg13_bn")
    monkeypatch.setattr("npvgg.kernels.engine.arenas.KEPT_BYTES", 0)
    backward, x = Backward(vgg.architecture), x.astype(np.float32)
    backward(vgg.parameters, x, loss, training=False)
    assert not backward.plan.arenas.free
    backward(vgg.parameters, x, loss)
    (kept,) = backward.plan.arenas.free
    backward(vgg.parameters, x, loss)
    assert backward.plan.arenas.free[0] is kept


def test_programs_are_kept_for_a_few_shapes_only():
    vgg, x, loss, _ = made("vgg13_bn")
    plan = TrainingPlan(vgg.architecture.layers)
    for side in range(32, 32 + KEPT + 3):
        x = np.zeros((3, 3, 32, side), np.float32)
        shapes = {row.layer.name: row.output_shape for row in describe(vgg.architecture, x.shape[2:])}
        plan.run(vgg.parameters, x, loss, ["fc6/bias"], shapes=shapes)
    assert 0 < len(plan.programs) <= KEPT


@pytest.mark.parametrize("name, fields, layer", [
    ("a_lrn", {}, "lrn1"), ("c", {}, "conv3_3"), ("vgg11", {"pooling": "avg"}, "pool1"),
    ("vgg11", {"padding_mode": "reflect"}, "pad1_1"), ("vgg11_bn", {"head": "max1 flatten 5"}, "maxpool"),
    ("vgg11", {"head": "flatten 5 bn relu 3"}, None), ("vgg11", {"head": "bn relu avg1"}, None),
    ("vgg11", {"head": "drop avg1 flatten 3"}, "drop5"), ("vgg11", {}, None),
    ("vgg19_bn", {"head": "flatten drop 5 relu drop 3"}, None),
])
def test_what_the_engine_cannot_train_is_named_and_left_to_the_tier_below(name, fields, layer):
    net = architecture(name, width=1 / 16, input_size=32, **fields)
    assert building.refused(net.layers) == layer
    if layer and net.num_classes == 3:
        vgg, x = lively(net), np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
        with pytest.warns(TierWarning, match=layer):
            ours = Backward(net)(vgg.parameters, x, lambda logits: cross_entropy(logits, np.array([0, 2])))
        below = Backward(net, "jit")(vgg.parameters, x, lambda logits: cross_entropy(logits, np.array([0, 2])))
        assert all(same_bits(gradient, below.gradients[path]) for path, gradient in ours.gradients.items())


# ------------------------------------------------------------------------------------------------- a convolution alone


def gradients_of_convolution(g, x, weight):
    """(N, O, H, W), (N, C, H, W), (O, C, 3, 3) → dx and dweight by the steps of a convolution alone."""
    layer = Layer("conv2d", "conv", (("weight", weight.shape),), (("padding", 1),))
    builder = TrainingBuilder(None, len(x), 2, "winograd")
    maps = {"x": builder.keep(*x.shape[1:]), "g": builder.keep(*g.shape[1:])}
    for name, layout in maps.items():
        builder.step("enter", len(x) * layout.blocks, x=(name, 0), x_image=layout.channels * layout.height * layout.width,
                     x_plane=layout.height * layout.width, x_row=layout.width, height=layout.height, width=layout.width,
                     **as_output(layout), channels=layout.channels, chunk=layout.height)
    dx = builder.keep(*x.shape[1:])
    convolution_steps.weight_gradient(builder, maps["x"], maps["g"], layer)
    convolution_steps.convolve(builder, maps["g"], dx, layer, builder.tail(dx.channels), has_relu=False, is_rotated=True)
    builder.leave(dx, y=("dx", 0), y_image=x[0].size, y_end=0)
    program = Program(builder.rows, builder.regions, builder.scratch, 2, module=TRAINING)
    answers = {"dx": np.empty_like(x), "∂conv/weight": np.empty_like(weight)}
    program.run({"x": x, "g": g, "conv/weight": weight} | answers, aligned(program.floats))
    return answers["dx"], answers["∂conv/weight"]


@pytest.mark.parametrize("images, channels, outputs, height, width", [
    (16, 32, 32, 64, 64), (16, 128, 96, 16, 16), (32, 256, 256, 4, 4), (64, 128, 128, 2, 2), (4, 7, 13, 19, 27),
    (3, 5, 33, 1, 6),
], ids=["parts", "all tiles", "small maps", "smallest maps", "odd", "flat"])
def test_a_convolutions_gradients_err_at_most_twice_as_much_as_pytorchs(images, channels, outputs, height, width):
    """Against float64, PyTorch in its contiguous format; F(4×4) in the place of F(2×4) has up to 3.3 times its error in dx."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((images, channels, height, width), np.float32), 0)
    weight = rng.standard_normal((outputs, channels, 3, 3), np.float32) / np.float32(np.sqrt(4.5 * channels))
    g = rng.standard_normal((images, outputs, height, width), np.float32)

    def of_torch(dtype):
        inputs = [torch.tensor(array, dtype=dtype, requires_grad=True) for array in (x, weight)]
        torch.nn.functional.conv2d(*inputs, padding=1).backward(torch.tensor(g, dtype=dtype))
        return [tensor.grad.numpy() for tensor in inputs]

    exact, theirs = of_torch(torch.float64), of_torch(torch.float32)
    for name, ours, expected, their in zip(("x", "weight"), gradients_of_convolution(g, x, weight), exact, theirs, strict=True):
        assert gap(ours, expected) <= max(2 * gap(their, expected), 5e-7), name
