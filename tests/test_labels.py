"""Logits → labels."""
import numpy as np
import pytest

from npvgg import labels
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, ShapeError, UnsupportedError, UsageError


def test_the_best_comes_first_with_its_probability():
    (answer,) = labels.top(np.array([[0.0, np.log(3.0), np.log(2.0)]]), ("tench", "goldfish", "shark"), 2)
    assert [(p.label, p.index) for p in answer] == [("goldfish", 1), ("shark", 2)]
    assert [p.probability for p in answer] == pytest.approx([3 / 6, 2 / 6])
    assert answer[0].logit == pytest.approx(np.log(3.0))


def test_equal_logits_come_in_the_order_of_the_classes():
    (answer,) = labels.top(np.array([[1, 2, 2, 2]], np.float32), None, 3)
    assert [p.index for p in answer] == [1, 2, 3]


def test_probabilities_do_not_overflow_and_ignore_a_shift():
    logits = np.array([[1000.0, 999.0, -1000.0]])
    first, shifted = labels.top(logits, None, 3)[0], labels.top(logits - 500, None, 3)[0]
    assert [p.probability for p in first] == [p.probability for p in shifted]
    assert sum(p.probability for p in first) == pytest.approx(1)


def test_more_labels_than_classes_gives_all_classes():
    assert len(labels.top(np.zeros((1, 4)), None, 9)[0]) == 4


def test_classes_without_names_are_numbered():
    assert labels.top(np.array([[0.0, 1.0]]), None, 1)[0][0].label == "class 1"


LOGITS = np.random.default_rng(0).normal(0, 4, (7, 13)).astype(np.float32)


def test_independent_labels_have_pytorchs_sigmoid_each_by_itself():
    torch = pytest.importorskip("torch")
    expected = torch.sigmoid(torch.from_numpy(LOGITS).double()).numpy()
    for answer, logits, chances in zip(labels.top(LOGITS, None, 13, "sigmoid"), LOGITS, expected, strict=True):
        assert [p.index for p in answer] == list(np.argsort(-logits, kind="stable"))
        for p in answer:
            assert (p.logit, p.label) == (logits[p.index], f"class {p.index}")
            assert p.probability == pytest.approx(chances[p.index], rel=4e-16)
    assert abs(expected.sum(axis=1) - 1).min() > 0.1                        # they do not sum to 1, and need not
    assert np.array_equal(labels.probabilities(LOGITS, "sigmoid") > 0.5, LOGITS > 0)


def test_a_label_more_changes_no_other_labels_probability():
    """What tells independent labels from classes of one soft-max."""
    fewer = labels.probabilities(LOGITS[:, :5], "sigmoid")
    assert np.array_equal(labels.probabilities(LOGITS, "sigmoid")[:, :5], fewer)
    assert not np.allclose(labels.probabilities(LOGITS, "softmax")[:, :5], labels.probabilities(LOGITS[:, :5], "softmax"))


@pytest.mark.parametrize("logit", [-1.5, 0.0, 1e-30, 0.75, 40.0, -40.0, 800.0, -800.0, 3e38, -3e38])
def test_one_output_tells_two_classes_apart(logit):
    (answer,) = labels.top(np.array([[logit]]), ("healthy", "tumour"), 2, "sigmoid")
    by_name = {p.label: p for p in answer}
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-logit))
    assert by_name["tumour"].probability == pytest.approx(expected, rel=1e-15)
    assert by_name["tumour"].probability + by_name["healthy"].probability == pytest.approx(1, abs=1e-15)
    assert (by_name["tumour"].logit, by_name["tumour"].index) == (logit, 1)
    assert (by_name["healthy"].logit, by_name["healthy"].index) == (-logit, 0)
    assert answer[0].label == ("tumour" if logit > 0 else "healthy")        # the better first; of equals the first class
    assert [p.label for p in labels.top(np.array([[logit]]), None, 1, "sigmoid")[0]] == [f"class {int(logit > 0)}"]


def test_two_classes_by_one_output_are_those_of_a_soft_max_over_0_and_the_logit():
    for logit in (-3.0, 0.25, 7.0):
        one = {p.label: p.probability for p in labels.top(np.array([[logit]]), None, 2, "sigmoid")[0]}
        two = {p.label: p.probability for p in labels.top(np.array([[0, logit]]), None, 2, "softmax")[0]}
        assert one == pytest.approx(two, rel=1e-15)


def test_probabilities_keep_the_shape_of_the_logits():
    assert labels.probabilities(np.zeros((3, 1), np.float32), "sigmoid").tolist() == [[0.5]] * 3
    assert labels.probabilities(LOGITS, "softmax").sum(axis=1) == pytest.approx(np.ones(7))
    assert labels.probabilities(np.zeros((0, 4)), "softmax").shape == (0, 4)
    assert labels.top(np.zeros((0, 4))) == []


@pytest.mark.parametrize("function", [labels.top, labels.probabilities], ids=["top", "probabilities"])
def test_what_has_no_class_scores_is_refused(function):
    with pytest.raises(UnsupportedError, match="^the network's output is 'none': its numbers are not class scores .*; use"):
        function(LOGITS, output="none")
    with pytest.raises(UsageError, match="^output is 'logits'; choose one of softmax, sigmoid, none$"):
        function(LOGITS, output="logits")
    with pytest.raises(ShapeError, match="^a soft-max over one output is always 1; give output='sigmoid'"):
        function(np.zeros((2, 1)), output="softmax")
    for wrong in (np.zeros(4), np.zeros((2, 3, 1, 1)), np.zeros((2, 0)), np.zeros((2, 3), int)):
        with pytest.raises(ShapeError, match=r"^logits are \w+ of shape .*; give floats of shape \(N, outputs\)$"):
            function(wrong, output="softmax")


@pytest.mark.parametrize("head, last", [("avg1 flatten 8 relu", "relu6"), ("avg2", "avgpool"), ("", "pool5")])
def test_features_have_no_names_and_the_refusal_says_where_to_find_them(head, last):
    net = architecture("vgg11", head=head)
    with pytest.raises(UnsupportedError) as caught:
        labels.check_classifier(net, "a.h5")
    assert str(caught.value) == ("a.h5 holds features without a classifier, so it cannot name what it sees; take them with "
                                 f"features(pictures, ['{last}']), or load a network with a classifier")
    labels.check_classifier(architecture("vgg11"))
    labels.check_classifier(architecture("vgg11", num_classes=1))


@pytest.mark.parametrize("names, outputs, output", [(("a", "b"), 3, "softmax"), (("a",), 1, "sigmoid"), (("a",), 2, "sigmoid")])
def test_as_many_names_as_classes(names, outputs, output):
    with pytest.raises(UsageError, match=rf"^{len(names)} class names were given for {max(outputs, 2)} classes; give one for"):
        labels.top(np.zeros((1, outputs)), names, output=output)


@pytest.mark.parametrize("names", [3, "abc", b"abc", {"a", "b", "c"}], ids=["number", "text", "bytes", "set"])
def test_names_are_a_list(names):
    with pytest.raises(UsageError, match="^the class names are .*; give a list of texts, one for each class$"):
        labels.top(np.zeros((1, 3)), names)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_an_answer_that_is_not_finite_is_refused(value, output):
    with pytest.raises(BadFileError, match="answered with NaN or infinity; check its weights with `npvgg verify FILE`"):
        labels.top(np.array([[0.0, value]]), output=output)


@pytest.mark.parametrize("count", [0, -1, 1.5, True], ids=str)
def test_an_impossible_count_is_refused(count):
    with pytest.raises(UsageError, match="give a whole number of at least 1"):
        labels.top(np.zeros((1, 4)), None, count)


def test_imagenet_has_a_thousand_names_of_which_some_are_well_known():
    names = labels.imagenet()
    assert len(names) == 1000
    assert (names[0], names[1], names[281], names[999]) == ("tench", "goldfish", "tabby", "toilet tissue")
    assert all(name == name.strip() and name for name in names)
