import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvgg import text


@given(st.text(st.characters(codec=None)))
def test_whatever_is_shown_prints_on_one_line(value):
    shown = text.shown(value)
    assert shown.isprintable() and shown.encode("utf-8").decode() == shown
    assert shown == value or not value.isprintable()


def test_names_that_are_no_text_are_shown():
    assert text.shown(b"caf\xe9") == (r"caf\udce9" if os.name == "posix" else "café")
    assert text.shown("a\x1b]0;title\x07\u202e\n") == r"a\x1b]0;title\x07\u202e\n"


CONTROLS = re.compile("[\0-\x1f\x7f-\x9f]")           # some terminals obey U+009B as they do ESC [
odd_names = [rb"\udce9", rb"\udc5cudce9.png", b"\\\xe9", rb"\udc" + b"\xe9", b"\x1b[2J\x7f", "\x9b2J\x85\u2028".encode(),
             rb"\udc1b"]


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
@given(st.one_of(st.binary(max_size=12), st.sampled_from(odd_names)))
def test_any_name_comes_back_from_json_and_from_csv(name):
    """As the documents say how."""
    written = text.file_name(os.fsdecode(name))
    line = text.encoded(text.json_line(written))
    assert json.loads(line.decode()).encode("utf-8", "surrogateescape") == name
    assert len(line.decode().splitlines()) == 1 and not CONTROLS.search(line.decode())
    cell = text.encoded(text.unambiguous(written))
    assert re.sub(rb"\\udc([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), cell) == name
    assert not CONTROLS.search(re.sub(r"[\t\n\r]", "", cell.decode()))
    if rb"\udc" not in cell:
        assert cell == name


def test_a_name_is_read_as_utf8_in_every_locale(monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert text.file_name("gr\xc3\xb6\xc3\x9fe") == "größe"


def test_a_long_text_is_cut_before_it_is_escaped():
    assert text.shown("\0" * 10**6, 3) == r"\x00\x00\x00"


@pytest.mark.parametrize("error, sentence", [
    (OSError("two\n  lines.\t"), "two lines"), (KeyError(), "KeyError"), ("as text", "as text"),
    (ValueError("\x1b[2Jgone"), r"\x1b[2Jgone"), (RuntimeError("x" * 300), "x" * 200),
], ids=["lines", "nothing", "text", "escape", "long"])
def test_what_others_say_is_one_line(error, sentence):
    assert text.said(error) == sentence


@pytest.mark.parametrize("name, suggestion", [
    ("vgg61", " (did you mean 'vgg16'?)"), ("VGG_16", " (did you mean 'vgg16'?)"), ("resnet", ""), ("", ""), (None, ""),
    ("x" * 10**6, ""),
])
def test_the_closest_name_is_offered(name, suggestion):
    assert text.meant(name, ["vgg11", "vgg13", "vgg16", "vgg19"]) == suggestion


@pytest.mark.parametrize("names, most, line", [
    ((), 3, ""), (("a",), 3, "a"), ("abc", 3, "a, b, c"), ("abcd", 3, "a, b, c and 1 more"),
    (range(12), 10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"), ({"x": 1, "y": 2}, 1, "x and 1 more"),
])
def test_lists_are_cut_and_counted(names, most, line):
    assert text.listed(names, most) == line


def test_a_noun_agrees_with_its_number():
    assert [text.counted(amount, "layer") for amount in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
