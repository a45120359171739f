"""Running means of weights, and the batch norms that belong to them."""
import numpy as np
import pytest
from witnesses import training_data

from npvgg import network
from npvgg.architecture import architecture
from npvgg.errors import UsageError
from npvgg.training import transfer
from npvgg.training.averaging import Average, measured_norms
from npvgg.training.learner import Learner

torch = pytest.importorskip("torch")


def test_the_mean_is_an_exponential_one_that_forgets_its_beginning():
    average, expected = Average(0.5), None
    for step in range(8):
        values = np.full(3, float(step))
        average.update({"a/weight": values, "bn1_1/mean": values})
        decay = min(0.5, (1 + step) / (10 + step))
        expected = values.copy() if expected is None else expected + (1 - decay) * (values - expected)
        values += 100                                         # what is given is not kept
    assert average.arrays.keys() == {"a/weight"} and average.arrays["a/weight"] == pytest.approx(expected)
    assert average.count == 8


def test_measured_norms_are_pytorchs():
    vgg = network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3", threads=1)
    learner = Learner(vgg, average=0.9, threads=1)
    learner.average.update(learner.parameters)
    batches = [vgg.prepare(training_data.levels(4, seed)[0]) for seed in range(3)]
    found = learner.network(batches).parameters
    norm = torch.nn.BatchNorm2d(2, momentum=None)
    for x in batches:
        norm(torch.tensor(vgg.forward(x, "conv1_1")))
    np.testing.assert_allclose(found["bn1_1/mean"], norm.running_mean.numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["bn1_1/var"], norm.running_var.numpy(), rtol=1e-5)


def test_measured_norms_are_means_over_the_batches():
    found = measured_norms([1.0, 3.0], lambda x: {"bn1_1": (np.full(2, x), np.full(2, 2 * x))})
    assert found["bn1_1/mean"].tolist() == [2, 2] and found["bn1_1/var"].tolist() == [4, 4]


def test_running_statistics_are_pytorchs():
    from npvgg.training import losses

    vgg = network.create("vgg11_bn", width=1 / 32, input_size=32, head="avg1 flatten 3", threads=1)
    x, classes = training_data.levels(6)
    x = vgg.prepare(x)
    learner, norm = Learner(vgg, threads=1), torch.nn.BatchNorm2d(2)
    norm(torch.tensor(vgg.forward(x, "conv1_1")))
    learner.step(x, lambda logits: losses.cross_entropy(logits, classes), 0.0)
    for kind, theirs in (("mean", norm.running_mean), ("var", norm.running_var)):
        np.testing.assert_allclose(learner.parameters[f"bn1_1/{kind}"], theirs.numpy(), rtol=1e-5, atol=1e-7)


def test_a_deeper_network_begins_with_a_shallower_ones_layers():
    source = network.create("A", width=1 / 16, seed=7, hidden=(16, 16), num_classes=5, class_names=tuple("abcde"),
                            input_size=32)
    deep = architecture("D", width=1 / 16, hidden=(16, 16), num_classes=5, input_size=32)
    vgg = transfer.from_shallower(deep, source, seed=1)
    same = {path for path in vgg.parameters if path in source.parameters
            and np.array_equal(vgg.parameters[path], source.parameters[path])}
    weights = {path.partition("/")[0] for path in same if path.endswith("weight")}
    assert weights == {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"} and vgg.class_names == tuple("abcde")
    with pytest.raises(UsageError, match="no convolution"):
        transfer.from_shallower(architecture("D", width=1 / 8, num_classes=7), source)


def test_other_classes_keep_all_but_the_last_layer():
    source = network.create("vgg11", width=1 / 16, hidden=(16,), num_classes=3, class_names=tuple("abc"), input_size=32)
    assert transfer.with_classes(source, tuple("abc")) is source
    vgg = transfer.with_classes(source, tuple("abcd"))
    assert vgg.architecture.num_classes == 4 and np.array_equal(vgg.parameters["fc6/weight"], source.parameters["fc6/weight"])
    several = transfer.with_classes(source, tuple("abc"), output="sigmoid")
    assert several.architecture.output == "sigmoid"
    features = network.create("vgg11", width=1 / 16, num_classes=None, input_size=32)
    assert transfer.with_classes(features, tuple("ab")).architecture.num_classes == 2
