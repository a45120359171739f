"""Ten whole steps beside PyTorch's in float64: losses to 10⁻¹², weights to 10⁻¹⁰."""
import numpy as np
import pytest
from witnesses.networks import lively
from witnesses.operations import gap

from npvgg.errors import UsageError
from npvgg.training.learner import Learner, dropout_masks, wanted
from npvgg.training.losses import cross_entropy
from npvgg.training.optimisers import SGD, AdamW

CLASSES = np.arange(8) % 5
OPTIMISERS = {
    "sgd": (lambda decays: SGD(nesterov=True, decay=5e-4, decay_of=decays), None,
            lambda torch, groups: torch.optim.SGD(groups, 0.02, 0.9, nesterov=True)),
    "adamw": (lambda decays: AdamW(decay=0.05, decay_of=decays), 0.5,
              lambda torch, groups: torch.optim.AdamW(groups, 1e-3)),
}


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
@pytest.mark.parametrize("how", OPTIMISERS)
def test_ten_steps_are_pytorchs(name, how):
    torch = pytest.importorskip("torch")
    from witnesses.torch_training import LearningTwin

    make, clip, theirs = OPTIMISERS[how]
    vgg = lively(name, width=1 / 4, input_size=32, head="avg1 flatten 5").using(dtype=np.float64)
    # A bias before a batch norm has no gradient but noise, of which AdamW would make whole steps: it is left out.
    trained = wanted(vgg.architecture, None)
    idle = [path for path in trained if "_bn" in name and path.startswith("conv") and path.endswith("bias")]
    one_dimensional = {path: 0.0 for path in vgg.parameters if vgg.parameters[path].ndim == 1}
    learner = Learner(vgg, make(one_dimensional), clip=clip, threads=1)
    learner.wanted = [path for path in trained if path not in idle]
    twin = LearningTwin(vgg.architecture, vgg.parameters)
    tensors = {path: tensor for path, tensor in twin.learned().items() if path not in idle}
    decay = 5e-4 if how == "sgd" else 0.05
    optimiser = theirs(torch, [{"params": [t for t in tensors.values() if t.ndim > 1], "weight_decay": decay},
                               {"params": [t for t in tensors.values() if t.ndim == 1], "weight_decay": 0.0}])
    for step in range(10):
        x = np.random.default_rng([2, step]).standard_normal((8, 3, 32, 32))
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(twin.logits(torch.tensor(x)), torch.tensor(CLASSES), label_smoothing=0.1)
        value.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(list(tensors.values()), clip)
        optimiser.step()
        rate = 0.02 if how == "sgd" else 1e-3
        taken = learner.step(x, lambda logits: cross_entropy(logits, CLASSES, smoothing=0.1), rate)
        assert taken.loss == pytest.approx(value.item(), rel=1e-12), step
    for path, tensor in tensors.items():
        assert gap(learner.parameters[path], tensor.detach().numpy()) <= 1e-10, path
    for layer, moments in twin.statistics().items():
        for kind, expected in zip(("mean", "var"), moments, strict=True):
            np.testing.assert_allclose(learner.parameters[f"{layer}/{kind}"], expected, rtol=1e-10, atol=1e-12)


def test_several_parts_are_one_batch_where_nothing_is_normalised():
    vgg = lively("vgg11", width=1 / 16, input_size=32, head="avg1 flatten 5").using(dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((8, 3, 32, 32))
    whole, parts = Learner(vgg, threads=1), Learner(vgg, threads=1)
    first = whole.step(x, lambda logits: cross_entropy(logits, CLASSES), 0.1)
    second = parts.step_of_parts([(x[k::2], lambda logits, k=k: cross_entropy(logits, CLASSES[k::2])) for k in range(2)], 0.1)
    assert first.loss == pytest.approx(second.loss, rel=1e-13)
    for path, values in whole.parameters.items():
        np.testing.assert_allclose(parts.parameters[path], values, rtol=1e-9, atol=1e-13)


def test_dropout_is_a_function_of_seed_and_step():
    net = lively("vgg11", width=1 / 16, input_size=32, head="avg1 flatten 400 relu drop0.3 5").architecture
    masks = [dropout_masks(net, (50, 3, 32, 32), seed, step)["drop6"] for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2]) and not np.array_equal(masks[0], masks[3])
    assert masks[0].shape == (50, 400) and masks[0].mean() == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("options, telling", [
    ({"clip": 0}, "clip is 0"), ({"average": 2}, "average is 2"), ({"trained": []}, "no layer is left"),
])
def test_what_makes_no_sense(options, telling):
    with pytest.raises(UsageError, match=telling):
        Learner(lively("vgg11", width=1 / 16, input_size=32, head="avg1 flatten 5"), **options)
    with pytest.raises(UsageError, match="give a VGG"):
        Learner("vgg16")
