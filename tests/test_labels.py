"""Logits → labels."""
import numpy as np
import pytest

from npvgg import labels
from npvgg.errors import BadFileError, UsageError


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_an_answer_that_is_not_finite_is_refused(value):
    with pytest.raises(BadFileError, match="answered with NaN or infinity; check its weights with `npvgg verify FILE`"):
        labels.top(np.array([[0.0, value]]))


@pytest.mark.parametrize("count", [0, -1, 1.5, True], ids=str)
def test_an_impossible_count_is_refused(count):
    with pytest.raises(UsageError, match="give a whole number of at least 1"):
        labels.top(np.zeros((1, 4)), None, count)


def test_imagenet_has_a_thousand_names_of_which_some_are_well_known():
    names = labels.imagenet()
    assert len(names) == 1000
    assert (names[0], names[1], names[281], names[999]) == ("tench", "goldfish", "tabby", "toilet tissue")
    assert all(name == name.strip() and name for name in names)
