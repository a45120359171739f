"""Tables for a terminal: columns as wide as their widest cell, numbers to the right.

A table that is wider than it may be gets its headings on several lines, then gaps of one column, and at last rows that go on
below, indented:

    layer    output        parameters
                MACs  receptive field
    ─────────────────────────────────
    conv1_1  64×224×224         1,792
          86,704,128                3
"""
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

INDENT = 2


def render(headings: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,),
           width: int | None = None) -> list[str]:
    """Headings and rows of texts → the headings, a rule, and a text for each row, of several lines where it is folded.

    The columns numbered in `left` begin at their left edge.  No line is wider than `width`, but for a single cell that is; None
    sets no limit.
    """
    heads, rows = [(heading,) for heading in headings], [tuple(row) for row in rows]
    widths, gap = measured(heads, rows), 2
    if width is not None and total(widths, gap) > width:
        cells = measured([()] * len(headings), rows)
        heads = [tuple(textwrap.wrap(heading, max(1, cells[column], *map(len, heading.split())), break_on_hyphens=False))
                 for column, heading in enumerate(headings)]
        widths = measured(heads, rows)
        gap = 2 if total(widths, 2) <= width else 1
    lines = [range(len(widths))]
    if width is not None and total(widths, gap) > width:
        heads, gap = [(heading,) for heading in headings], 2
        widths = measured(heads, rows)
        lines = folded(widths, gap, width)
    depth = max(map(len, heads))
    levels = zip(*(("",) * (depth - len(head)) + head for head in heads), strict=True)       # the last words stand on one line
    heading, *texts = ("\n".join(line for cells in row for line in laid(cells, lines, widths, left, gap))
                       for row in [levels, *([row] for row in rows)])
    rule = "─" * max(INDENT * (line is not lines[0]) + total([widths[column] for column in line], gap) for line in lines)
    return [heading, rule, *texts]


def definitions(facts: Mapping[str, str], width: int | None = None) -> list[str]:
    """{what: words} → lines with the words below one another; those that do not fit go on below, longer words stay whole."""
    margin = max(map(len, facts), default=0) + 2
    return [line for what, words in facts.items() for n, part in enumerate(words.split("\n"))
            for line in wrapped(f"{what if n == 0 else '':<{margin}}{part}", width, margin)]


def wrapped(line: str, width: int | None, margin: int = 0) -> list[str]:
    """A line → lines of at most `width` characters, cut between words, all but the first one indented by `margin`."""
    if width is None or len(line) <= width:
        return [line.rstrip()]
    return textwrap.wrap(line, max(width, margin + 1), subsequent_indent=" " * margin, break_long_words=False,
                         break_on_hyphens=False)


def terminal_width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal that a stream is, by default standard output; None for a file or a pipe: whole lines."""
    stream = stream or sys.stdout
    if stream is None or not stream.isatty():
        return None
    try:
        own = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        own = 0
    return shutil.get_terminal_size(fallback=(own or 80, 24)).columns          # $COLUMNS goes first


def measured(heads, rows):
    """The width of each column."""
    return [max(map(len, [*head, *(row[column] for row in rows)]), default=0) for column, head in enumerate(heads)]


def total(widths, gap):
    """The width of a line of such columns."""
    return sum(widths) + gap * (len(widths) - 1)


def folded(widths, gap, width):
    """Which columns stand on which line: as many as fit on each, one at least."""
    lines = [[0]]
    for column in range(1, len(widths)):
        indent = INDENT * (len(lines) > 1)
        if indent + total([widths[other] for other in [*lines[-1], column]], gap) <= width:
            lines[-1].append(column)
        else:
            lines.append([column])
    return lines


def laid(cells, lines, widths, left, gap):
    """The cells of a row → its lines."""
    for line in lines:
        texts = (cells[column].ljust(widths[column]) if column in left else cells[column].rjust(widths[column])
                 for column in line)
        yield (" " * INDENT * (line is not lines[0]) + (" " * gap).join(texts)).rstrip()
