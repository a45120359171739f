"""The catalog against the layer table, and against torchvision's own source where that is installed."""
import ast
import importlib.util
import math
import re
from pathlib import Path

import pytest

from npvgg.architecture import WITH_BATCH_NORM, architecture, describe
from npvgg.errors import UnsupportedError, UsageError
from weights_convert import catalog
from weights_convert.sources.torchvision import TORCHVISION

ENTRIES = list(catalog.CHECKPOINTS.values())
NAMES = [entry.name for entry in ENTRIES]

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)


def test_all_networks_that_torchvision_publishes_are_there():
    assert set(NAMES) == {*WITH_BATCH_NORM, *(f"{name}_bn" for name in WITH_BATCH_NORM), "vgg16_features"}


@each_entry
def test_the_digest_continues_the_one_in_the_file_name(entry):
    assert re.fullmatch(r"[0-9a-f]{64}" if entry.full_sha256 else r"[0-9a-f]{8}", entry.sha256)
    assert entry.file.endswith(f"-{entry.sha256[:8]}.pth")
    assert entry.url == f"https://download.pytorch.org/models/{entry.file}"


def test_files_and_digests_are_all_different():
    assert len({entry.file for entry in ENTRIES}) == len({entry.sha256 for entry in ENTRIES}) == len(ENTRIES)


@each_entry
def test_the_size_is_that_of_the_parameters_and_a_small_frame(entry):
    """float32 parameters and batch norm's statistics; every file holds a classifier, the features' one as NaN."""
    stored = 4 * sum(math.prod(shape) for shape in architecture(entry.architecture).parameters.values())
    assert 0 < entry.size_bytes - stored < 24_000
    assert entry.has_size(entry.size_bytes) and not entry.has_size(entry.size_bytes + 1000)
    assert not entry.has_size(entry.size_bytes - entry.size_slack - 1)
    assert entry.has_size(entry.size_bytes + 1) == (entry.size_slack > 0)


@each_entry
def test_the_paper_s_architecture_is_named_and_the_preset_exists(entry):
    images = pytest.importorskip("npvgg.images")
    assert entry.name.removesuffix("_features") == entry.architecture
    assert images.preset(entry.preset)
    net = architecture(entry.architecture, num_classes=entry.num_classes)
    assert TORCHVISION.paths(net)


@each_entry
def test_accuracies_are_percentages(entry):
    if entry.num_classes is None:
        assert entry.top1 is None and entry.top5 is None
    else:
        assert 60 < entry.top1 < 80 < 85 < entry.top5 < 95


@pytest.mark.parametrize("name, found", [("vgg16", "vgg16"), ("D", "vgg16"), ("e_BN", "vgg19_bn"), ("VGG11", "vgg11"),
                                         ("vgg16_features", "vgg16_features"), ("VGG16_Features", "vgg16_features")])
def test_names_and_letters_are_found(name, found):
    assert catalog.find(name) is catalog.CHECKPOINTS[found]


@pytest.mark.parametrize("name, known", [("c", "c"), ("C", "c"), ("A-LRN", "a_lrn"), ("a_lrn", "a_lrn")])
def test_networks_without_published_weights_say_what_to_do(name, known):
    with pytest.raises(UnsupportedError) as caught:
        catalog.find(name)
    assert str(caught.value) == (
        f"torchvision publishes no weights of {known}; start from fresh ones with npvgg.create({known!r}), or convert "
        f"a checkpoint of your own with `python -m weights_convert FILE OUT.h5 --model {known}`")


@pytest.mark.parametrize("name", ["resnet50", "", "vgg16 ", "../vgg16", None])
def test_other_names_are_a_wrong_usage(name):
    with pytest.raises(UsageError, match="no network called"):
        catalog.find(name)


@pytest.fixture(scope="module")
def published():
    """{URL: its facts} out of the text of torchvision's models/vgg.py: read, not imported."""
    found = importlib.util.find_spec("torchvision")
    if found is None:
        pytest.skip("torchvision is not installed")
    tree = ast.parse(Path(found.origin).with_name("models").joinpath("vgg.py").read_text(encoding="utf-8"))
    facts = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Weights":
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            facts[ast.literal_eval(keywords["url"])] = literals(keywords["meta"])
    return facts


def literals(dictionary):
    """The entries of a dict display that are plain values, those of inner dicts too."""
    found = {}
    for key, value in zip(dictionary.keys, dictionary.values):
        if isinstance(value, ast.Dict):
            found |= literals(value)
        elif isinstance(value, ast.Constant):
            found[key.value] = value.value
    return found


def test_torchvision_lists_the_same_files(published):
    assert set(published) == {entry.url for entry in ENTRIES}


@each_entry
def test_torchvision_gives_the_same_figures(entry, published):
    facts, net = published[entry.url], architecture(entry.architecture)
    assert facts["num_params"] == sum(row.parameters for row in describe(net))
    assert (facts.get("acc@1"), facts.get("acc@5")) == (entry.top1, entry.top5)
    # The exact sizes come from elsewhere, and torchvision's are rounded to 0.001 MiB: both must be the same file.
    assert round(entry.size_bytes / 2**20, 3) == facts["_file_size"]
