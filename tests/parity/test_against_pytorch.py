"""All ten networks at full size: npvgg's float32 error beside PyTorch's own.

The oracle is PyTorch in float64, which npvgg in float64 confirms.  The pictures are photographs, the weights He-scaled,
the batch norms far from the identity.  Takes three minutes of processor time and 3 GB of memory.
"""
import numpy as np
import pytest
from witnesses.networks import lively, photograph, stirred
from witnesses.torchvision_witness import torchvision

from npvgg import images, initialisation, network
from npvgg.architecture import NAMES, architecture
from npvgg.parameters import sealed
from npvgg.parity import difference, oracle, recording
from weights_convert.schemes.torchvision import TORCHVISION

torch = pytest.importorskip("torch")

FACTOR = 2
# The rounding of one float32 result.  PyTorch may happen to round nothing in a layer of one operation an element.
ONE_ROUNDING = 2**-23


@pytest.fixture(scope="module")
def classifier():
    """fc6, fc7 and fc8, of the same shapes in all networks: made once, in float32 and float64."""
    parameters = stirred(initialisation.initial(architecture("vgg11"), how="he"))
    single = {path: array for path, array in parameters.items() if path.startswith("fc")}
    return tuple({path: sealed(array.astype(dtype)) for path, array in single.items()} for dtype in (np.float32, np.float64))


@pytest.fixture(params=NAMES)
def full_size(request, classifier):
    """A VGG at 224×224, the same in float64, and a photograph prepared for it."""
    single, double = classifier
    features = stirred(initialisation.initial(architecture(request.param, num_classes=None), how="he"))
    preset = images.preset("torchvision")
    net = architecture(request.param)
    vgg = network.VGG(net, features | single, preset)
    exact = network.VGG(net, {path: array.astype(np.float64) for path, array in features.items()} | double, preset)
    return vgg, exact, vgg.prepare(photograph(NAMES.index(request.param)))


def test_errors_are_at_most_twice_pytorchs_in_every_layer_and_in_the_logits(full_size):
    vgg, exact, x = full_size
    runs = {"npvgg": oracle.steps(vgg, "jit"), "torch": pytorch(vgg)}
    for layer, errors in oracle.errors(vgg.architecture.layers, x, exact=pytorch(exact), runs=runs):
        for mode in ("local", "cumulative"):
            ours, theirs = getattr(errors["npvgg"], mode), getattr(errors["torch"], mode)
            for measure in ("largest_relative", "rms_relative"):
                bound = max(FACTOR * getattr(theirs, measure), ONE_ROUNDING)
                assert getattr(ours, measure) <= bound, f"{layer.name}, {mode}: {measure}"
    assert layer.name == "fc8"
    assert ours.largest_relative <= FACTOR * theirs.largest_relative
    assert ours.rms_relative <= FACTOR * theirs.rms_relative
    assert errors["npvgg"].argmax_flips == 0


def test_the_engines_logits_err_no_more_than_pytorchs_and_name_the_same_classes(full_size):
    vgg, exact, x = full_size
    logits = last(exact, x.astype(np.float64))
    theirs = difference.measure(last(vgg, x), logits)
    for algorithm, factor in (("winograd", 1.2), ("direct", 1.0)):
        answer = vgg.using(algorithm=algorithm).forward(x)
        ours = difference.measure(answer, logits)
        assert ours.largest_relative <= factor * theirs.largest_relative, algorithm
        assert ours.rms_relative <= factor * theirs.rms_relative, algorithm
        assert np.array_equal(np.argsort(answer)[:, -5:], np.argsort(logits)[:, -5:]), algorithm


def last(vgg, x):
    """The logits by PyTorch."""
    *_, (_, logits) = recording.outputs(torch, vgg.architecture, vgg.parameters, x)
    return logits


@pytest.mark.parametrize("name", ["vgg16_bn", "a_lrn", "c"])
def test_npvgg_in_float64_confirms_the_oracle(name):
    vgg = lively(name, width=1 / 4, hidden=(300, 200), num_classes=100, input_size=64, pooled_size=3).using(dtype=np.float64)
    x = vgg.prepare([photograph(0), photograph(1)])
    for layer, errors in oracle.errors(vgg.architecture.layers, x, exact=pytorch(vgg),
                                       runs={tier: oracle.steps(vgg, tier) for tier in ("reference", "jit")}):
        for tier, error in errors.items():
            assert error.local.within(1e-14), f"{layer.name}, {tier}"
            assert error.cumulative.within(1e-12), f"{layer.name}, {tier}"


@pytest.mark.parametrize("full_size", [name for name in NAMES if name not in ("a_lrn", "c")], indirect=True)
def test_the_witness_computes_what_torchvisions_modules_compute(full_size):
    """The steps of record_trace, and the keys we give the parameters, are those of the published networks."""
    vgg, _, x = full_size
    x = np.ascontiguousarray(x[:, :, :70, :100])
    with torch.device("meta"):
        model = torchvision().models.get_model(vgg.architecture.name, init_weights=False).eval()
    state = {key: torch.tensor(vgg.parameters[path]) for key, path in TORCHVISION.paths(vgg.architecture).items()}
    missing, unexpected = model.load_state_dict(state, assign=True, strict=False)
    assert not unexpected and set(missing) <= TORCHVISION.ignorable(vgg.architecture)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x)).numpy()
    assert difference.measure(last(vgg, x), expected).within(1e-6)


def pytorch(vgg):
    """The steps of a VGG by PyTorch, on NumPy arrays."""
    step = recording.steps(torch, vgg.parameters)

    def step_of_arrays(layer, x):
        with torch.inference_mode():
            return step(layer, torch.from_numpy(x)).numpy()

    return step_of_arrays
