"""Every option has a help text, and the documents name options that the commands beside them have."""
import re
from pathlib import Path

import pytest

from npvgg import cli
from npvgg.parity import recording
from weights_convert import __main__ as converter

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONVERTER, RECORDER = "python -m weights_convert", "python -m weights_convert.record_trace"
COMMANDS = {"npvgg": cli.command, CONVERTER: converter.command, RECORDER: recording.command,
            **{f"npvgg {name}": cli.command.get_command(None, name) for name in cli.COMMANDS}}
BENCHMARKS = {option for path in (ROOT / "benchmarks").glob("*.py")
              for option in re.findall(r'add_argument\("(--[a-z-]+)"', path.read_text(encoding="utf-8"))}
OF_PAGE = {"convert.md": CONVERTER}                 # whose options a page means where no command stands beside them


def options_of(command):
    """{"--help", "-h", "--top", …}"""
    names = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts if name.startswith("-")}
    return names | {"-h", "--help"}


def every_option():
    return BENCHMARKS.union(*(options_of(command) for command in COMMANDS.values()))


def shown(line):
    """The commands in one line of a page, each with the options behind it: [("npvgg models", ["--all"]), …].

    An option without a command before it on the line belongs to None.  Spans that are neither, "pip …" say, are passed over.
    """
    pairs, command = [], None
    for span in re.findall(r"`([^`]+)`", line) or [line]:
        match = re.fullmatch(r"(?:\$ )?(npvgg(?: [a-z]+)?|python -m [\w.]+)( .*)?|(--?[a-z].*)", span, re.S)
        if match:
            command = match[1] or command
            pairs.append((command, re.findall(r"(?<![\w-])--?[a-z][a-z-]*", match[2] or match[3] or "")))
    return pairs


def lines(page):
    """The lines of a page with commands: those with code in them, and those of blocks; what commands print is left out."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    text = re.sub(r"^```\w+\n.*?^```$", lambda block: "\n".join(re.findall(r"^\$ .*", block[0], re.M)), text, flags=re.M | re.S)
    return [line for line in text.splitlines() if "`" in line or line.startswith(("npvgg ", "python ", "$ "))]


def wrong(page_name, line):
    """The options in a line that their commands lack."""
    for command, options in shown(line):
        if command is None:
            command = OF_PAGE.get(page_name)
        known = options_of(COMMANDS[command]) if command in COMMANDS else every_option()
        if command is None or command in COMMANDS:          # those of the benchmarks are run by tests/benchmarks
            yield from (f"{command or 'no command'} has no {option}" for option in options if option not in known)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    without = [parameter.opts for parameter in COMMANDS[name].params
               if any(option.startswith("-") for option in parameter.opts) and not (parameter.help or "").strip()]
    assert not without
    assert COMMANDS[name].help


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_options_exist(page):
    assert not [error for line in lines(page) for error in wrong(page.name, line)]


@pytest.mark.parametrize("line, errors", [
    ("`npvgg models --all` and `--json`", []),
    ("`npvgg models --top 3`", ["npvgg models has no --top"]),
    ("| `npvgg predict IMAGE` | `--json` or `--yaml` |", ["npvgg predict has no --yaml"]),
    ("python -m weights_convert a.pth b.h5 --keyz timm", ["python -m weights_convert has no --keyz"]),
    ("`--algorithm direct` or `--cold`, not `--nothing`", ["no command has no --nothing"]),
], ids=["right", "wrong", "beside a command", "block", "alone"])
def test_the_rule_notices_an_option_that_is_not_there(line, errors):
    assert list(wrong("README.md", line)) == errors


def test_there_are_options_to_check():
    assert sum(len(options) for page in PAGES for line in lines(page) for _, options in shown(line)) > 40
