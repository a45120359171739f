"""The README and the pages of docs/ are executed: Python blocks run, `$ npvgg …` blocks print what they show."""
import re
import shlex
from pathlib import Path

import pytest
from witnesses.command import npvgg

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language):
    """Every fenced block of a language, as parameters (page, text)."""
    return [pytest.param(page, text, id=f"{page.name}: {text.splitlines()[0][:50]}") for page in PAGES
            for text in re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)]


def test_there_are_blocks_to_run():
    assert len(blocks("python")) >= 2 and len(blocks("console")) >= 2


@pytest.mark.parametrize("page, text", blocks("python"))
def test_python_blocks_run(page, text, tmp_path, monkeypatch, pictures):
    pytest.importorskip("skimage")
    if "import torch" in text:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes((pictures / "a.png").read_bytes())
    exec(compile(text, str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page, text", blocks("console"))
def test_console_blocks_print_what_they_show(page, text):
    pytest.importorskip("skimage")
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        line, _, shown = part.partition("\n")
        program, *arguments = shlex.split(line)
        assert program == "npvgg"
        run = npvgg(*arguments)
        # The first run on a machine also says that it compiles the kernels.
        printed = re.sub("^npvgg: compiling .*\n", "", run.err, flags=re.M) + run.out
        assert run.status == 0
        # A line of dots stands for lines left out.
        pattern = ".*".join(re.escape(piece.strip("\n")) for piece in re.split(r"^\s*…\s*$", shown, flags=re.M))
        assert re.fullmatch(pattern, printed.strip("\n"), re.S), printed


def test_the_test_command_is_the_one_that_ci_runs():
    (command,) = re.findall(r'^pip install "\.\[test\]" && .*$', (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert command == 'pip install ".[test]" && python -m pytest -n 2'
    assert 'pip install "\\.\\[test\\]" && ' in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub("^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_and_every_spine_module_is_in_the_readme():
    from npvgg import cli

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"npvgg {name}" in text for name in cli.COMMANDS)
    spine = ("architecture", "images", "kernels/reference", "weights", "network", "labels", "classify", "hub")
    assert all(f"npvgg/{name}" in text for name in spine)
