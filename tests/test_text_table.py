"""Tables for a terminal."""
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvgg import text_table


def test_columns_line_up_and_trailing_blanks_are_gone():
    lines = text_table.render(("layer", "MACs", "verdict"), [("conv1_1", "9", "ok"), ("fc", "1,000", "")], left=(0, 2))
    assert lines == ["layer     MACs  verdict",
                     "───────────────────────",
                     "conv1_1      9  ok",
                     "fc       1,000"]


def test_a_table_without_rows_is_its_headings():
    assert text_table.render(("a", "b"), []) == ["a  b", "────"]


HEADINGS = ("layer", "receptive field", "bytes", "digest")
ROWS = [("conv1_1", "3", "1,792", "ab" * 8), ("fc8", "404", "16,388,000", "")]


@pytest.mark.parametrize("width", [None, 1000, 54])
def test_a_table_that_fits_is_as_it_was(width):
    assert text_table.render(HEADINGS, ROWS, left=(0, 3), width=width)[2] == (
        "conv1_1                3       1,792  abababababababab")


@pytest.mark.parametrize("width, lines", [
    (53, ["         receptive",
          "layer        field       bytes  digest",
          "────────────────────────────────────────────────",
          "conv1_1          3       1,792  abababababababab",
          "fc8            404  16,388,000"]),
    (45, ["        receptive",
          "layer       field      bytes digest",
          "─────────────────────────────────────────────",
          "conv1_1         3      1,792 abababababababab",
          "fc8           404 16,388,000"]),
    (40, ["layer    receptive field       bytes",
          "  digest",
          "────────────────────────────────────",
          "conv1_1                3       1,792",
          "  abababababababab",
          "fc8                  404  16,388,000",
          ""]),
    (12, ["layer",
          "  receptive field",
          "       bytes",
          "  digest",
          "──────────────────",
          "conv1_1",
          "                3",
          "       1,792",
          "  abababababababab",
          "fc8",
          "              404",
          "  16,388,000",
          ""]),
])
def test_a_table_that_does_not_fit_gives_way_step_by_step(width, lines):
    assert "\n".join(text_table.render(HEADINGS, ROWS, left=(0, 3), width=width)).split("\n") == lines


@given(st.integers(1, 120), st.lists(st.tuples(*[st.text("ab1", max_size=20)] * 4), max_size=4))
def test_every_cell_is_there_once_and_no_line_is_too_wide(width, rows):
    rendered = text_table.render(HEADINGS, rows, left=(0, 3), width=width)
    assert len(rendered) == 2 + len(rows)
    for row, text in zip(rows, rendered[2:], strict=True):
        assert text.split() == [cell for cell in row if cell]
    alone = max(len(cell) for row in [HEADINGS, *rows] for cell in row) + text_table.INDENT
    assert max(map(len, "\n".join(rendered).split("\n"))) <= max(width, alone)


def test_definitions_go_on_below_their_words():
    facts = {"file": "a.h5", "notes": "some words that are long\nand a line", "sha256": "f" * 30}
    assert text_table.definitions(facts) == ["file    a.h5", "notes   some words that are long", "        and a line",
                                             "sha256  " + "f" * 30]
    assert text_table.definitions(facts, 24) == ["file    a.h5", "notes   some words that", "        are long",
                                                 "        and a line", "sha256", "        " + "f" * 30]
    assert text_table.definitions({}) == []


def test_only_a_terminal_has_a_width(monkeypatch):
    assert text_table.terminal_width() is None
    monkeypatch.setattr(sys, "stdout", None)
    assert text_table.terminal_width() is None
    monkeypatch.setattr(sys, "stdout", mock.Mock(isatty=lambda: True, fileno=mock.Mock(side_effect=OSError)))
    monkeypatch.setenv("COLUMNS", "40")
    assert text_table.terminal_width() == 40
