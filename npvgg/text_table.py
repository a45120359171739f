"""Tables for a terminal: columns as wide as their widest cell, numbers to the right."""


def render(headings, rows, left=(0,)):
    """Headings and rows of texts → the lines of a table; the columns numbered in `left` begin at their left edge."""
    lines = [tuple(headings), *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    return [text[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *text[1:]]
