"""Everything public has a docstring, and that of an operation begins with which shape becomes which."""
import ast
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import pytest

from npvgg.kernels import contracts, tiers

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "npvgg").rglob("*.py"), *(ROOT / "weights_convert").rglob("*.py")])


def public(body, prefix=""):
    """(name, node) of each class, function and method without a leading underscore; what a function holds is part of it."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def silent(source):
    """The names in a module's source that have no docstring."""
    return [name for name, node in public(ast.parse(source).body) if not ast.get_docstring(node)]


def test_everything_public_has_a_docstring():
    lacking = [f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in silent(path.read_text(encoding="utf-8"))]
    assert not lacking, "say what these do, with shapes, units and errors"


def test_the_rule_sees_functions_methods_and_classes_and_passes_over_private_ones():
    source = 'class A:\n  def b(self):\n    def c(): pass\n  def _d(self): pass\ndef e(): ""\ndef f(): "what it does"\n_g = 0'
    assert silent(source) == ["A", "A.b", "e"]


@pytest.mark.parametrize("tier", [tiers.LADDER[0], tiers.LADDER[1], "contracts"])
def test_an_operation_says_at_once_which_shape_becomes_which(tier):
    operations = contracts.OPERATIONS if tier == "contracts" else import_module(f"npvgg.kernels.{tier}").OPERATIONS
    without = [name for name, operation in operations.items() if "→" not in getdoc(operation).split("\n")[0]]
    assert not without
