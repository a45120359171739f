"""Every public function, method and class says what it does, and a kernel's first line says which shape becomes which."""
import ast
from pathlib import Path

from npvgg.kernels import tiers

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "npvgg").rglob("*.py"), *(ROOT / "weights_convert").rglob("*.py")])


def public(path):
    """(name, node) of each public class, function and method; nested functions are part of what encloses them."""
    def inside(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                yield f"{prefix}{node.name}", node
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body, f"{prefix}{node.name}.")

    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return inside(ast.parse(path.read_text(encoding="utf-8")).body, f"{module}:")


def test_everything_public_has_a_docstring():
    everything = [pair for path in SOURCES for pair in public(path)]
    assert len(everything) > 600
    assert not [name for name, node in everything if not ast.get_docstring(node)]


def test_a_kernel_s_first_line_shows_its_shapes():
    for tier in (*tiers.LADDER, "contracts"):
        path = ROOT / "npvgg/kernels" / tier
        files = [path.with_suffix(".py")] if tier == "contracts" else path.glob("*.py")
        print(tier, list(files))
