"""A command's help on a narrow terminal: click's own is never narrower than 50 columns, 36 of them for the options' names."""
import shutil

import click

NARROW = 52                               # columns, below which click's pages are too wide


class Page(click.HelpFormatter):
    """click's page, as wide as the terminal."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None):
        columns = shutil.get_terminal_size().columns
        super().__init__(indent_increment, max(columns - 2, 20) if width is None and columns < NARROW else width, max_width)

    def write_dl(self, rows, col_max: int = 30, col_spacing: int = 2) -> None:
        """Names and what they mean, the meaning below where a name takes more than a third of the page."""
        super().write_dl(rows, min(col_max, self.width // 3) if self.width < NARROW - 2 else col_max, col_spacing)


class Context(click.Context):
    """A click context whose help is such a page; for a command's `context_class`."""

    formatter_class = Page
