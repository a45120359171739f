"""Tables for a terminal."""
from npvgg import text_table


def test_columns_line_up_and_trailing_blanks_are_gone():
    lines = text_table.render(("layer", "MACs", "verdict"), [("conv1_1", "9", "ok"), ("fc", "1,000", "")], left=(0, 2))
    assert lines == ["layer     MACs  verdict",
                     "───────────────────────",
                     "conv1_1      9  ok",
                     "fc       1,000"]


def test_a_table_without_rows_is_its_headings():
    assert text_table.render(("a", "b"), []) == ["a  b", "────"]
