import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvgg.storage import strict_json

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=9)


@given(VALUES)
def test_what_json_writes_comes_back(value):
    assert strict_json.read(json.dumps(value)) == value
    assert strict_json.read(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text, sentence", [
    ('{"a": 1, "a": 1}', "a field appears twice"),
    ('[{"b": {"a": 1, "c": 2, "a": 3}}]', "a field appears twice"),
    ('{"a": NaN}', "NaN is not a number of JSON"),
    ("[-Infinity]", "-Infinity is not a number of JSON"),
    ("[" * 100_000, "nested too deeply"),
    ("", "Expecting value"),
    ("{} {}", "Extra data"),
], ids=["twice", "twice inside", "NaN", "infinity", "deep", "nothing", "more"])
def test_everything_else_is_a_value_error(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        strict_json.read(text)
