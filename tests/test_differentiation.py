"""Gradients of whole networks: against PyTorch's, step by step of training, and what may be asked for."""
import warnings

import numpy as np
import pytest
from witnesses.networks import lively
from witnesses.operations import gap, same_bits

from npvgg.differentiation import Backward
from npvgg.errors import NpvggError
from npvgg.training.losses import cross_entropy

with_torch = pytest.mark.usefixtures("one_torch_thread")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3, 32, 32))
CLASSES = RNG.integers(0, 7, 6)
SIZES = {"width": 1 / 8, "input_size": 32, "head": "avg1 flatten 17 relu drop 13 relu drop0.3 7"}
MASKS = {"drop6": RNG.random((6, 17)) < 0.5, "drop7": RNG.random((6, 13)) < 0.7}


def made(name, **options):
    """A float64 network whose parameters all matter."""
    return lively(name, **SIZES | options).using(dtype=np.float64)


def loss(logits):
    return cross_entropy(logits, CLASSES, smoothing=0.1)


def compared(exact):
    """The names of gradients that are more than rounding: a bias before batch norm moves nothing, and has none."""
    largest = max(abs(gradient).max() for gradient in exact.values())
    return [name for name, gradient in exact.items() if abs(gradient).max() > 1e-12 * largest]


def of_torch(vgg, x, training=True, masks=None):
    """Loss, gradients of all weights, biases and the input, and the twin itself."""
    torch = pytest.importorskip("torch")
    from witnesses.torch_training import LearningTwin

    twin, x = LearningTwin(vgg.architecture, vgg.parameters, training), torch.tensor(x, requires_grad=True)
    value = torch.nn.functional.cross_entropy(twin.logits(x, masks), torch.tensor(CLASSES), label_smoothing=0.1)
    value.backward()
    gradients = {path: parameter.grad.numpy() for path, parameter in twin.learned().items()}
    return value.item(), gradients | {"input": x.grad.numpy()}, twin


@with_torch
@pytest.mark.parametrize("tier", ["reference", "jit"])
@pytest.mark.parametrize("name, options", [
    ("vgg11", {}), ("vgg11_bn", {}), ("a_lrn", {"width": 1 / 4}), ("c", {"pooling": "avg", "bias": False}),
    ("vgg13", {"padding_mode": "reflect", "head": "max2 bn flatten 9 bn relu drop 7"}),
], ids=["vgg11", "vgg11_bn", "a_lrn", "c with average pools", "reflected, maximum pool, batch norm"])
@pytest.mark.parametrize("training", [True, False])
def test_every_gradient_is_pytorchs_in_float64(name, options, tier, training):
    vgg = made(name, **options)
    masks = {layer: mask for layer, mask in MASKS.items() if training and "head" not in options}
    value, expected, twin = of_torch(vgg, X, training, masks)
    outcome = Backward(vgg.architecture, tier, 1)(vgg.parameters, X, loss, training=training, masks=masks, of=list(expected))
    assert outcome.loss == pytest.approx(value, rel=1e-13) and outcome.gradients.keys() == expected.keys()
    assert all(gradient.shape == expected[path].shape for path, gradient in outcome.gradients.items())
    assert max(gap(outcome.gradients[path], expected[path]) for path in compared(expected)) <= 1e-10
    before = {layer: (vgg.parameters[f"{layer}/mean"], vgg.parameters[f"{layer}/var"]) for layer in twin.statistics()}
    assert outcome.statistics.keys() == (before.keys() if training else set())
    for layer, moments in outcome.statistics.items():
        for old, new, theirs in zip(before[layer], moments, twin.statistics()[layer]):
            np.testing.assert_allclose(0.9 * old + 0.1 * new, theirs, rtol=1e-12)


@with_torch
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_float32_errs_at_most_twice_as_much_as_pytorch(name):
    """The error of all weights and biases at width ¼, the median of three steps: in one a unit close to 0 may be switched."""
    ratios = {"jit": [], "engine": []}
    for seed in range(3):
        vgg = lively(name, seed=seed, **SIZES | {"width": 1 / 4})
        x = np.random.default_rng([7, seed]).standard_normal(X.shape, np.float32)
        _, exact, _ = of_torch(vgg.using(dtype=np.float64), x.astype(np.float64), True, MASKS)
        _, theirs, _ = of_torch(vgg, x, True, MASKS)
        del exact["input"]
        for tier, found in ratios.items():
            ours = Backward(vgg.architecture, tier)(vgg.parameters, x, loss, masks=MASKS).gradients
            assert all(gradient.dtype == np.float32 for gradient in ours.values())
            error, allowed = (np.linalg.norm([np.linalg.norm(gradients[path] - exact[path]) / np.linalg.norm(exact[path])
                                              for path in compared(exact)]) for gradients in (ours, theirs))
            found.append(error / allowed)
    assert max(map(np.median, ratios.values())) <= 2


@with_torch
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_ten_steps_of_training_are_pytorchs(name):
    """SGD with Nesterov's momentum and decay, running statistics folded in; losses to 1e-12, weights to 1e-10."""
    import torch
    from witnesses.torch_training import LearningTwin

    vgg = made(name)
    rate, momentum, decay = 0.05 if "bn" in name else 0.01, 0.9, 5e-4
    parameters = {path: array.copy() for path, array in vgg.parameters.items()}
    velocity, backward = {}, Backward(vgg.architecture, threads=1)
    twin = LearningTwin(vgg.architecture, vgg.parameters)
    optimiser = torch.optim.SGD(twin.parameters(), rate, momentum, weight_decay=decay, nesterov=True)
    for step in range(10):
        x = np.random.default_rng([1, step]).standard_normal(X.shape)
        outcome = backward(parameters, x, loss, masks=MASKS)
        for path, gradient in outcome.gradients.items():
            gradient = gradient + decay * parameters[path]
            velocity[path] = momentum * velocity[path] + gradient if step else gradient
            parameters[path] -= rate * (gradient + momentum * velocity[path])
        for layer, moments in outcome.statistics.items():
            for kind, new in zip(("mean", "var"), moments):
                parameters[f"{layer}/{kind}"] = 0.9 * parameters[f"{layer}/{kind}"] + 0.1 * new
        optimiser.zero_grad()
        logits = twin.logits(torch.tensor(x), MASKS)
        value = torch.nn.functional.cross_entropy(logits, torch.tensor(CLASSES), label_smoothing=0.1)
        value.backward()
        optimiser.step()
        assert outcome.loss == pytest.approx(value.item(), rel=1e-12), step
    for path, theirs in twin.learned().items():
        assert gap(parameters[path], theirs.detach().numpy()) <= 1e-10, path


# ------------------------------------------------------------------------------------------------- what may be asked for


@pytest.fixture(scope="module")
def small():
    return made("vgg11_bn")


@pytest.fixture(scope="module")
def backward(small):
    return Backward(small.architecture)


@pytest.fixture(scope="module")
def whole(small, backward):
    """The outcome with everything in it."""
    names = [*small.parameters, *(layer.name for layer in small.architecture.layers), "input"]
    return backward(small.parameters, X, loss, masks=MASKS, of=[name for name in names if not name.endswith(("/mean", "/var"))])


@pytest.mark.parametrize("of", [["fc8/weight"], ["conv5_2"], ["input"], ["conv3_1/bias", "drop6"], ["relu1_1"], "bn4_1/weight"])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_each_gradient_has_the_same_bits_whatever_else_is_asked_for(small, backward, whole, of, checkpoint):
    outcome = backward(small.parameters, X, loss, masks=MASKS, of=of, checkpoint=checkpoint)
    assert list(outcome.gradients) == ([of] if isinstance(of, str) else of)
    assert all(same_bits(gradient, whole.gradients[name]) for name, gradient in outcome.gradients.items())
    assert outcome.loss == whole.loss and same_bits(outcome.output, whole.output)


def test_blocks_computed_again_give_the_same_bits(small, backward, whole):
    again = backward(small.parameters, X, loss, masks=MASKS, of=list(whole.gradients), checkpoint=True)
    assert all(same_bits(gradient, whole.gradients[name]) for name, gradient in again.gradients.items())
    assert all(same_bits(a, b) for name in again.statistics for a, b in zip(again.statistics[name], whole.statistics[name]))


def test_blocks_computed_again_take_less_memory():
    import tracemalloc

    vgg, peaks = lively("vgg16_bn", width=1 / 8, head="avg1 flatten 3"), []
    x = np.random.default_rng(0).standard_normal((1, 3, 160, 160), np.float32)
    backward = Backward(vgg.architecture, "jit")
    for checkpoint in (False, False, True):                         # the first may compile
        tracemalloc.start()
        backward(vgg.parameters, x, lambda logits: cross_entropy(logits, [1]), checkpoint=checkpoint)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 0.85 * peaks[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_bit(small, whole, threads):
    from npvgg.kernels.compiling.threads import most_threads

    outcome = Backward(small.architecture, threads=min(threads, most_threads()))(
        small.parameters, X, loss, masks=MASKS, of=list(whole.gradients))
    assert all(same_bits(gradient, whole.gradients[name]) for name, gradient in outcome.gradients.items())


def test_by_default_every_weight_and_bias_is_given(small, backward, whole):
    outcome = backward(small.parameters, X, loss, masks=MASKS)
    assert list(outcome.gradients) == [path for path in small.parameters if path.endswith(("/weight", "/bias"))]


def test_names_of_others_are_understood(small, backward, whole):
    outcome = backward(small.parameters, X, loss, masks=MASKS, of=["features.0/weight", "block2_pool", "logits"])
    for name, paper in (("features.0/weight", "conv1_1/weight"), ("block2_pool", "pool2"), ("logits", "fc8")):
        assert same_bits(outcome.gradients[name], whole.gradients[paper])


def test_gradients_of_layers_take_the_place_of_a_loss(small, backward, whole):
    """That of the logits is what the loss gives; those of several layers add up; what lies behind them is not computed."""
    dlogits = whole.gradients["fc8"]
    outcome = backward(small.parameters, X, {"fc8": dlogits}, masks=MASKS, of=["input"])
    assert outcome.loss is None and same_bits(outcome.gradients["input"], whole.gradients["input"])
    shapes = {"relu2_1": (6, 16, 16, 16), "pool3": (6, 32, 4, 4)}
    given = {name: np.random.default_rng(3).standard_normal(shape) for name, shape in shapes.items()}
    both = backward(small.parameters, X, given, training=False, of=["input", "relu2_1"])
    one, other = (backward(small.parameters, X, {name: array}, training=False, of=["input"]) for name, array in given.items())
    assert gap(both.gradients["input"], one.gradients["input"] + other.gradients["input"]) <= 1e-13
    assert both.output.shape == shapes["pool3"]
    assert backward(small.parameters, X, given).gradients.keys() == {
        f"{layer}/{kind}" for layer in ("conv1_1", "bn1_1", "conv2_1", "bn2_1", "conv3_1", "bn3_1", "conv3_2", "bn3_2")
        for kind in ("weight", "bias")}


def test_arguments_stay_as_they_are(small, backward):
    parameters = {path: array.copy() for path, array in small.parameters.items()}
    x = X.copy()
    backward(parameters, x, loss, masks=MASKS)
    assert np.array_equal(x, X) and all(np.array_equal(parameters[path], small.parameters[path]) for path in parameters)


def test_nan_comes_out_of_the_loss_and_of_the_gradients(small, backward):
    x = X.copy()
    x[2, 1, 5, 5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = backward(small.parameters, x, loss, training=False, of=["input", "fc8/weight"])
        backward(small.parameters, np.where(np.isnan(x), np.inf, x), loss)
    assert np.isnan(outcome.loss) and np.isnan(outcome.gradients["fc8/weight"]).any()
    assert np.isfinite(outcome.gradients["input"][[0, 1, 3, 4, 5]]).all()


@pytest.mark.parametrize("change, sentence", [
    ({"of": ["conv9_9/weight"]}, "vgg11_bn has no layer 'conv9_9'"), ({"of": []}, "no layer was asked for"),
    ({"of": ["conv1_1/weigth"]}, "no gradient of 'conv1_1/weigth'; conv1_1 has gradients of its weight and bias"),
    ({"of": ["bn1_1/mean"]}, "no gradient of 'bn1_1/mean'"), ({"of": ["relu1_1/weight"]}, "relu1_1 has no parameters"),
    ({"of": [3]}, "3 is no name of a layer"),
    ({"loss": {"pool1": np.ones((6, 8, 16, 16))}, "of": ["fc8"]}, "'fc8' lies behind pool1"),
    ({"loss": {"pool1": np.ones((8, 16, 16))}}, r"given for pool1 is float64 \(8, 16, 16\), expected float64 \(6, 8"),
    ({"loss": {"pool1": np.ones((6, 8, 16, 16), np.float32)}}, "the gradient given for pool1 is float32"),
    ({"loss": {}}, "give a function of the logits"), ({"loss": 3}, "the loss is 3"),
    ({"loss": {"pool9": X}}, "no layer 'pool9'"), ({"loss": lambda logits: 3.0}, "the loss gave a float"),
    ({"loss": lambda logits: (0.0, logits[0])}, "the loss's gradient is"),
    ({"loss": lambda logits: ("a", logits)}, "the loss gave the value 'a'"),
    ({"masks": {"relu6": np.ones((6, 17), bool)}}, "masks are for dropout layers"),
    ({"masks": MASKS, "training": False}, "a mask for drop6, but"),
    ({"masks": {"drop6": np.ones((6, 17))}}, "the mask is float64"),
    ({"masks": {"drop6": np.ones((5, 17), bool)}}, r"expected bool \(6, 17\)"), ({"masks": [1]}, "the masks are a list"),
    ({"training": "no"}, "training is 'no'"), ({"checkpoint": 2}, "checkpoint is 2"),
    ({"x": X.astype(np.float32)}, "x is float32 and the network float64"), ({"x": X[0]}, r"x has shape \(3, 32, 32\)"),
    ({"parameters": {}}, "the parameters are not those of vgg11_bn"), ({"parameters": None}, "the parameters are a NoneType"),
])
def test_what_does_not_fit_is_refused_in_a_sentence(small, backward, change, sentence):
    arguments = {"parameters": small.parameters, "x": X, "loss": loss} | change
    with pytest.raises(NpvggError, match=sentence):
        backward(arguments.pop("parameters"), arguments.pop("x"), arguments.pop("loss"), **arguments)


@pytest.mark.parametrize("arguments, sentence", [
    (("vgg16",), "give an Architecture"), ((None, "fast"), "no kernel tier 'fast'"), ((None, "jit", 0), "threads is 0")])
def test_a_backward_of_nothing_is_refused(small, arguments, sentence):
    net, *others = arguments
    with pytest.raises(NpvggError, match=sentence):
        Backward(net or small.architecture, *others)


@pytest.mark.parametrize("layer", ["conv1_1", "relu3_1", "pool5", "drop6"])
def test_what_was_computed_already_is_not_computed_again_and_changes_no_bit(small, backward, layer):
    vgg = small
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(vgg.dtype)
    trace = {"input": x} | vgg.using(tier="jit").runner.trace(x)
    before = list(trace)[list(trace).index(layer) - 1]
    last = list(trace)[-1]
    g, seen = {last: np.ones_like(trace[last])}, []
    rules = {"conv1_1": lambda g, x, *arrays, **options: seen.append(x) or {"x": g}}
    expected = backward(vgg.parameters, x, g, training=False, of=layer)
    found = backward(vgg.parameters, x, g, training=False, of=layer, reached=trace[before], rules=rules)
    assert np.array_equal(found.gradients[layer], expected.gradients[layer]) and not seen
    with pytest.raises(NpvggError, match=f"what {layer} is given"):
        backward(vgg.parameters, x, g, training=False, of=layer, reached=trace[before][:1])
