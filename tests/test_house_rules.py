"""Rules of the house, checked on the source itself."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from npvgg.kernels import tiers

ROOT = Path(__file__).parents[1]

# The floors inside weights_convert, which stand on one another likewise.
CONVERTER_FLOORS = [
    ["refusals", "arrangement", "elements", "signatures", "catalog"],
    ["opened_file", "containers.zip_archive", "containers.protobuf", "containers.hdf5_child", "containers.references"],
    ["containers.opcodes", "containers.foreign_hdf5"],
    ["formats.contents", "formats.description", "formats.tensor_proto", "formats.layers"],
    ["formats.npz", "formats.shards", "formats.folder", "formats.safetensors", "formats.caffe.messages"],
    ["formats.caffe.operators"],
    ["formats.caffe"],
    ["formats.keras.arrays", "formats.keras.model_config"],
    ["formats.keras.operators"],
    ["formats.keras"],
    ["formats.weights_file"],
    ["formats.pytorch.storages", "formats.pytorch.writing", "formats.pytorch.openmmlab"],
    ["formats.pytorch.tensors"],
    ["formats.pytorch.objects"],
    ["formats.pytorch.arrays", "formats.pytorch.modules"],
    ["formats.pytorch.layers"],
    ["formats.pytorch.state_dict", "formats.pytorch.legacy", "formats.pytorch.zip_checkpoint"],
    ["formats.pytorch.plain_pickle"],
    ["formats.pytorch"],
    ["formats.onnx.side_file"],
    ["formats.onnx.tensors"],
    ["formats.onnx.attributes"],
    ["formats.onnx.constants"],
    ["formats.onnx.chain"],
    ["formats.onnx.classifier"],
    ["formats.onnx.features"],
    ["formats.onnx.operators"],
    ["formats.onnx"],
    ["formats.onnx.writing"],
    ["formats"],
    ["schemes.heads"],
    ["schemes.naming"],
    ["schemes.npvgg", "schemes.torchvision", "schemes.caffe", "schemes.pytorchvggnet"],
    ["schemes.timm", "schemes.mmpretrain", "schemes.onnx", "schemes.keras"],
    ["schemes"],
    ["keys", "recognition", "verify"],
    ["export"],
    ["convert"],
]

# Ground floor first.  A module may import from the floors below its own and, within a package, from its neighbours there.
FLOORS = [
    ["npvgg.errors", "npvgg.arithmetic", "npvgg.text", "npvgg.version"],
    ["npvgg.checks", "npvgg.computed_once", "npvgg.forking", "npvgg.gap", "npvgg.help_page", "npvgg.layer", "npvgg.text_table"],
    ["npvgg.storage"],
    ["npvgg.standard_streams"],
    ["npvgg.command_line"],
    ["npvgg.heads", "npvgg.kernels.contracts", "npvgg.parameters", "npvgg.projections"],
    ["npvgg.architecture", "npvgg.kernels.gradients.contracts"],
    ["npvgg.counting", "npvgg.layer_names", "npvgg.initialisation", "npvgg.kernels.compiling", "npvgg.kernels.reference"],
    ["npvgg.kernels.gradients.reference"],
    ["npvgg.summary"],
    ["npvgg.training.losses"],
    ["npvgg.kernels.jit", "npvgg.kernels.engine.winograd", "npvgg.kernels.engine.machine"],
    ["npvgg.kernels.gradients.jit"],
    ["npvgg.kernels.engine.steps"],
    ["npvgg.kernels.engine.float32.vectors", "npvgg.kernels.engine.float32.memory", "npvgg.kernels.engine.float32.places"],
    ["npvgg.kernels.engine.float32.epilogue", "npvgg.kernels.engine.float32.meeting", "npvgg.kernels.engine.float32.filters"],
    ["npvgg.kernels.engine.float32.feature_map", "npvgg.kernels.engine.float32.product",
     "npvgg.kernels.engine.float32.tile_transforms"],
    ["npvgg.kernels.engine.float32.convolution", "npvgg.kernels.engine.float32.dense_layer"],
    ["npvgg.kernels.engine.float32.run"],
    ["npvgg.kernels.engine.float32.gradients.outer_product", "npvgg.kernels.engine.float32.gradients.parameters",
     "npvgg.kernels.engine.float32.gradients.batch_norm"],
    ["npvgg.kernels.engine.float32.gradients.activation", "npvgg.kernels.engine.float32.gradients.weight_gradient",
     "npvgg.kernels.engine.float32.gradients.dense_gradient"],
    ["npvgg.kernels.engine.float32.gradients"],
    ["npvgg.kernels.engine.float32"],
    ["npvgg.kernels.engine.arenas", "npvgg.kernels.engine.layout", "npvgg.kernels.engine.team"],
    ["npvgg.kernels.engine.packed", "npvgg.kernels.engine.program"],
    ["npvgg.kernels.engine.builder"],
    ["npvgg.kernels.engine.convolution_steps"],
    ["npvgg.kernels.engine.building"],
    ["npvgg.kernels.engine.training.builder"],
    ["npvgg.kernels.engine.training.convolution_steps", "npvgg.kernels.engine.training.head_steps"],
    ["npvgg.kernels.engine.training.group_steps"],
    ["npvgg.kernels.engine.training.building"],
    ["npvgg.kernels.engine.training.plan"],
    ["npvgg.kernels.engine.training"],
    ["npvgg.kernels.engine"],
    ["npvgg.kernels.tiers"],
    ["npvgg.images", "npvgg.weights", "npvgg.labels"],
    ["npvgg.weights_page"],
    ["npvgg.plan"],
    ["npvgg.runner"],
    ["npvgg.differentiation"],
    ["npvgg.explorer"],
    ["npvgg.network"],
    *([f"weights_convert.{name}" for name in names] for names in CONVERTER_FLOORS),
    ["npvgg.converter"],
    ["npvgg.download"],
    ["npvgg.hub"],
    ["npvgg.classify"],
    ["npvgg.training"],
    ["npvgg.parity"],
    ["weights_convert.record_trace"],
    ["npvgg.cli"],
    ["npvgg.__main__", "weights_convert.__main__"],
]
# Packages whose own module says what is inside.
ROOFS = ("npvgg", "npvgg.kernels", "npvgg.kernels.gradients", "npvgg.training", "weights_convert", "weights_convert.containers")
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "fast", "new", "old", "v2"}
FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "jax", "onnxruntime"}

SOURCES = sorted([*(ROOT / "npvgg").rglob("*.py"), *(ROOT / "weights_convert").rglob("*.py")])


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor_of(module):
    """The number of a module's floor and the name it has there, or None for the packages' own __init__."""
    rooms = [(len(name), number, name) for number, names in enumerate(FLOORS) for name in names
             if module == name or module.startswith(f"{name}.")]
    return max(rooms)[1:] if rooms else None


def imports(path):
    """Every npvgg or weights_convert module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def test_there_are_sources_to_check():
    assert len(SOURCES) > 30


def test_every_module_has_a_floor_and_imports_go_down():
    homeless = [name for name in map(module_name, SOURCES) if name not in ROOFS and not floor_of(name)]
    assert not homeless, "these stand on no floor; add them to FLOORS"
    upward = [f"{module_name(path)} imports {imported}" for path in SOURCES if module_name(path) not in ROOFS
              for imported in imports(path) if is_upward(floor_of(module_name(path)), floor_of(imported))]
    assert not upward, "what a module imports lies below it"


def is_upward(here, there):
    return bool(there) and there[1] != here[1] and there[0] >= here[0]


def test_the_floors_notice_an_import_that_goes_up():
    assert is_upward(floor_of("npvgg.images.reading"), floor_of("npvgg.network"))
    assert is_upward(floor_of("npvgg.kernels.engine.float32.vectors"), floor_of("npvgg.kernels.engine.float32.convolution"))
    assert not is_upward(floor_of("npvgg.network"), floor_of("npvgg.images.reading"))


def test_npvgg_reaches_weights_convert_at_one_place():
    doors = {module_name(path) for path in SOURCES for imported in imports(path)
             if imported.startswith("weights_convert") and not module_name(path).startswith("weights_convert")}
    assert doors == {"npvgg.converter"}


def is_recorder(path):
    """Whether the module may import a framework."""
    return path.name == "recording.py" or path.parent.name == "recorders" and path.stem != "__init__"


def test_no_framework_is_imported():
    assert not [module_name(path) for path in SOURCES if not is_recorder(path)
                and FRAMEWORKS & {name.split(".")[0] for name in imports(path)}]


def test_names_say_what_is_inside():
    assert not [path for path in SOURCES if path.stem in FORBIDDEN_NAMES]


def test_every_module_begins_with_a_docstring():
    assert not [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_the_reference_needs_numpy_only():
    folders = ROOT / "npvgg/kernels/reference", ROOT / "npvgg/kernels/gradients/reference"
    outside = {name.split(".")[0] for folder in folders for path in folder.glob("*.py") for name in imports(path)}
    assert outside - {"npvgg"} - set(sys.stdlib_module_names) == {"numpy"}


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("package", ["npvgg.kernels", tiers.GRADIENTS])
def test_tiers_never_import_each_other(tier, package):
    others = tuple(f"{package}.{other}" for package in ("npvgg.kernels", tiers.GRADIENTS)
                   for other in tiers.LADDER if other != tier)
    for path in ROOT.joinpath(*package.split("."), tier).rglob("*.py"):
        assert not any(name.startswith(others) for name in imports(path)), path


def test_compiler_flags_are_written_in_one_place():
    pattern = re.compile(r"fastmath|boundscheck\s*=|cache\s*=\s*True|nogil\s*=")
    found = {module_name(path) for path in SOURCES if pattern.search(path.read_text(encoding="utf-8"))}
    assert found == {"npvgg.kernels.compiling.flags"}


@pytest.mark.parametrize("statement, unwanted", [
    ("import npvgg", {"numba", "h5py", "numpy", "PIL"}),
    ("import npvgg.cli; npvgg.cli.command.get_short_help_str()", {"numba", "h5py", "numpy", "PIL", "rich"}),
    ("import weights_convert.__main__", {"numba", "h5py", "numpy"}),
    ("from npvgg.kernels import tiers; tiers.choose('reference')", {"numba"}),
], ids=["npvgg", "cli", "weights_convert", "reference tier"])
def test_what_is_not_needed_is_not_imported(statement, unwanted):
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not unwanted & set(loaded)


def test_the_repository_holds_no_picture_and_nothing_large():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()]
    pictures = [path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".webp", ".gif", ".tif", ".bmp")]
    assert not pictures
    limits = {path: (8 << 20) if path.parent.name == "data" else (1 << 20) for path in files}
    assert not [path for path, limit in limits.items() if path.stat().st_size > limit]
