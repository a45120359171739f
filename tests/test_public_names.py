"""What `import npvgg` offers: exactly its public names, each at its first use, with types."""
import ast
import contextlib
import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import npvgg
from npvgg import differentiation, images, initialisation, network, parameters, runner
from npvgg.storage import identity
from npvgg.training import losses

ROOT = Path(__file__).parents[1]
FUNCTIONS = {"VGG", "NpvggError", "Prediction", "create", "list_models", "load", "predict"}
MODULES = {"architecture", "classify", "hub", "images", "kernels", "labels", "network", "parity", "runner", "training",
           "weights"}


def python(code):
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_dir_shows_the_public_names_and_nothing_else():
    assert set(dir(npvgg)) == set(npvgg.__all__) == FUNCTIONS | MODULES | {"__version__"}
    assert dir(npvgg) == sorted(dir(npvgg)) and len(npvgg.__all__) == len(set(npvgg.__all__))


def test_every_name_resolves_in_a_process_that_has_used_none():
    code = "import npvgg; print(*(f'{name}={getattr(npvgg, name).__name__}' for name in dir(npvgg) if name != '__version__'))"
    found = dict(pair.split("=") for pair in python(code).split())
    assert found == {name: name for name in FUNCTIONS} | {name: f"npvgg.{name}" for name in MODULES}


def test_dir_imports_nothing():
    assert "numpy" not in python("import sys, npvgg; dir(npvgg); print(*sys.modules)").split()


def test_modules_that_the_docstring_names_are_there():
    last = npvgg.__doc__.split("\n\n")[-1]
    named = {word.strip(",.;") for word in last.replace("\n", " ").split()} & {path.stem for path in (ROOT / "npvgg").iterdir()}
    assert named == MODULES


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="^module 'npvgg' has no attribute 'nothing'$"):
        npvgg.nothing  # noqa: B018


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse((ROOT / "npvgg/__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: statement.module for statement in block.body for alias in statement.names}
    assert seen == {name: f"npvgg.{home}" for name, home in npvgg.HOMES.items()} | dict.fromkeys(MODULES, "npvgg")
    assert (ROOT / "npvgg/py.typed").exists()
    assert "npvgg = data/*, data/recipes/*, py.typed" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def public_functions():
    """(name, function) of what these modules offer; methods of their public classes too."""
    yield from (("load", npvgg.load), ("predict", npvgg.predict))
    for module, names in ((network, ("VGG", "load_file", "create")), (runner, ("Options", "Runner")),
                          (initialisation, ("initial", *initialisation.INITIALISATIONS)),
                          (differentiation, ("Backward",)),
                          (losses, ("cross_entropy", "binary_cross_entropy", "mean_squared_error")),
                          (parameters, ("sealed",)), (identity, ("FileIdentity", "MappedFile", "mapped_file"))):
        for name in names:
            member = getattr(module, name)
            if not inspect.isclass(member):
                yield name, member
                continue
            for attribute, value in vars(member).items():
                value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if inspect.isfunction(value) and value.__module__ == module.__name__ and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", value


@pytest.mark.parametrize("name, function", list(public_functions()), ids=lambda value: value if isinstance(value, str) else "")
def test_public_functions_have_annotations_and_a_docstring(name, function):
    signature = inspect.signature(function)
    assert function.__doc__ and signature.return_annotation is not inspect.Signature.empty
    bare = [parameter.name for parameter in signature.parameters.values() if parameter.annotation is inspect.Parameter.empty]
    assert set(bare) <= {"self", "cls", "inputs", "path", "progress", "options"}


GREY = np.full((40, 50, 3), 128, np.uint8)
ODD = (None, 5, b"x", [], np.zeros(3), "\udce9", 10**30)


@pytest.mark.parametrize("call", [
    lambda value: npvgg.load(value), lambda value: npvgg.load(verify=value), lambda value: npvgg.hub.locate(value),
    lambda value: npvgg.hub.download(value), lambda value: npvgg.list_models(value), lambda value: npvgg.create(value),
    lambda value: images.batch(np.zeros((1, 3, 32, 32), np.float32), images.preset("cifar10"), value),
    lambda value: images.default_preset(value), lambda value: images.preset(value), lambda value: images.find(value),
    lambda value: replace(images.preset("cifar10"), interpolation=value),
    lambda value: npvgg.load().using(dtype=value), lambda value: npvgg.load().features("a.png", value),
    lambda value: npvgg.load().forward(np.zeros((1, 3, 32, 32), np.float32), value),
    lambda value: npvgg.load().with_head(value),
    lambda value: npvgg.load().gradients(np.zeros((1, 3, 32, 32), np.float32), value),
    lambda value: npvgg.load().gradients(np.zeros((1, 3, 32, 32), np.float32), {"fc6": np.zeros((1, 10), np.float32)}, value),
    lambda value: list(npvgg.classify.stream([], npvgg.load(), batch=value)),
    lambda value: npvgg.load().explain(GREY, value), lambda value: npvgg.load().explain(GREY, "conv1_1", value, value),
    lambda value: npvgg.load().explain(value, "conv1_1"), lambda value: npvgg.load().why(GREY, value),
    lambda value: npvgg.load().ablate(GREY, "conv1_1", value), lambda value: npvgg.load().ablate(GREY, "conv1_1", [0], value),
    lambda value: npvgg.load().attribute(GREY, value), lambda value: npvgg.load().attribute(GREY, "saliency", value),
    lambda value: npvgg.load().attribute(GREY, "occlusion", window=value, stride=16),
    lambda value: npvgg.load().run_from("conv1_2", value), lambda value: npvgg.load().run_from(value, GREY),
    lambda value: npvgg.load().save(value), lambda value: npvgg.parity.compare(value, value),
    lambda value: npvgg.parity.compare([np.ones((1, 2))], [np.ones((1, 2))], value, tolerance=value),
    lambda value: npvgg.parity.record(value, value), lambda value: npvgg.parity.record(npvgg.load(), value, value),
], ids=["load", "verify", "locate", "download", "list_models", "create", "dtype", "default_preset", "preset", "find",
        "interpolation", "using", "features", "forward", "with_head", "loss", "of", "stream", "explained", "place", "picture",
        "why", "channels", "factor", "method", "target", "window",
        "run_from", "first", "save", "compare", "network", "record", "input"])
def test_an_odd_argument_is_answered_in_a_sentence(call, monkeypatch, tmp_path):
    monkeypatch.setenv("NPVGG_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    for value in ODD:
        with contextlib.suppress(npvgg.NpvggError):
            call(value)
