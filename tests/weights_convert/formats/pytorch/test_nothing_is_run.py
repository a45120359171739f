"""No source file of npvgg or weights_convert can run what a file says: a walk through all of them."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SOURCES = sorted([*(ROOT / "npvgg").rglob("*.py"), *(ROOT / "weights_convert").rglob("*.py")])

FORBIDDEN_MODULES = {"pickle", "_pickle", "pickletools", "cPickle", "marshal", "shelve", "dill", "cloudpickle",
                     "joblib", "torch", "runpy", "imp"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
WITH_TORCH = ("npvgg/parity/recording.py", "npvgg/parity/recorders/pytorch.py")         # run PyTorch on purpose, and say so


def offences(source, may_import_torch=False):
    """Python source → the lines that import or call what is forbidden."""
    forbidden = FORBIDDEN_MODULES - ({"torch"} if may_import_torch else set())
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            options = {option.arg: option.value for option in node.keywords}
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if called in FORBIDDEN_CALLS and isinstance(node.func, ast.Name) or called in ("extract", "extractall"):
                yield node.lineno, called
            elif called == "import_module" and node.args and isinstance(node.args[0], ast.Constant):
                if node.args[0].value.split(".")[0] in forbidden:
                    yield node.lineno, node.args[0].value
            elif (owner, called) in (("np", "load"), ("numpy", "load")):
                allowed = options.get("allow_pickle")
                if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                    yield node.lineno, "np.load without allow_pickle=False"
            elif "allow_pickle" in options and getattr(options["allow_pickle"], "value", None) is not False:
                yield node.lineno, "allow_pickle"
            continue
        else:
            continue
        yield from ((node.lineno, module) for module in modules if module.split(".")[0] in forbidden)


def test_there_are_sources():
    assert any(path.parts[-2] == "pytorch" for path in SOURCES) and len(SOURCES) > 15


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_cannot_run_a_file(path):
    may_import_torch = path.relative_to(ROOT).as_posix() in WITH_TORCH
    found = list(offences(path.read_text(encoding="utf-8"), may_import_torch))
    assert not found, found


@pytest.mark.parametrize("line", [
    "import pickle", "import os, pickle as p", "from pickle import loads", "import torch.nn", "from torch import load",
    "def f():\n    import marshal", "eval('1')", "exec(code)", "compile(a, b, c)", "__import__('os')", "np.load(path)",
    "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=flag)", "archive.extractall()", "import joblib",
    "import_module('torch')", "importlib.import_module('pickle')", "np.save(f, x, allow_pickle=True)",
])
def test_the_walk_finds(line):
    assert list(offences(line))


@pytest.mark.parametrize("line", ["import numpy", "re.compile('a')", "np.load(path, allow_pickle=False)",
                                  "import_module('numpy')", "model.eval()", "from npvgg import pickle_free"])
def test_the_walk_lets_pass(line):
    assert not list(offences(line))
