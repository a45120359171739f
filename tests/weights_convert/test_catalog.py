"""The catalog against the layer table, and against torchvision's own source where that is installed."""
import ast
import hashlib
import importlib.util
import math
import re
from pathlib import Path

import pytest

from npvgg import images
from npvgg.architecture import WITH_BATCH_NORM, architecture
from npvgg.counting import describe
from npvgg.errors import UnsupportedError, UsageError
from weights_convert import catalog, schemes
from weights_convert.schemes.torchvision import TORCHVISION

ENTRIES = list(catalog.CHECKPOINTS.values())
NAMES = [entry.name for entry in ENTRIES]
BY_PUBLISHER = {publisher: [entry.name for entry in ENTRIES if entry.publisher == publisher]
                for publisher in catalog.PUBLISHERS}
EIGHT = [*WITH_BATCH_NORM, *(f"{name}_bn" for name in WITH_BATCH_NORM)]

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
each_of_torchvision = pytest.mark.parametrize("entry", catalog.TORCHVISION, ids=lambda entry: entry.name)


def test_every_published_file_is_there_and_torchvisions_come_first():
    assert {
        "torchvision": [*EIGHT, "vgg16_features"],
        "timm": [f"{name}@timm" for name in EIGHT],
        "mmpretrain": [f"{name}@mmpretrain" for name in EIGHT],
        "onnx": ["vgg16-7@onnx", "vgg16-12@onnx", "vgg16_bn-7@onnx", "vgg19-7@onnx", "vgg19_bn-7@onnx",
                 *(f"vgg19-caffe2-{opset}@onnx" for opset in (3, 6, 7, 8, 9))],
        "keras": ["vgg16@keras", "vgg19@keras", "vgg16_features@keras", "vgg19_features@keras"],
        "caffe": ["vgg16@caffe", "vgg19@caffe"],
    } == BY_PUBLISHER
    assert [name for names in BY_PUBLISHER.values() for name in names] == NAMES


def test_publishers_are_sources_of_the_converter():
    assert {*catalog.PUBLISHERS} <= {*schemes.SCHEMES, "onnx"}


@each_entry
def test_digests_are_whole_or_the_eight_digits_of_the_file_name(entry):
    if entry.digest is None:
        assert entry.checked_by == "size only"
        return
    algorithm, digits = entry.digest.split(":")
    assert re.fullmatch(r"[0-9a-f]+", digits)
    if len(digits) == 8:
        assert algorithm == "SHA-256" and entry.file.endswith(f"-{digits}.pth") and entry.checked_by == "SHA-256 (8/64)"
    else:
        assert len(digits) == 2 * hashlib.new(algorithm.replace("-", "")).digest_size and entry.checked_by == algorithm


def test_only_this_one_cannot_be_compared_with_a_digest():
    assert [entry.name for entry in ENTRIES if entry.digest is None] == ["vgg11_bn@timm"]


@each_of_torchvision
def test_torchvisions_digest_continues_the_one_in_the_file_name(entry):
    assert entry.file.endswith(f"-{entry.digest.removeprefix('SHA-256:')[:8]}.pth")
    assert entry.url == f"https://download.pytorch.org/models/{entry.file}"


def test_files_addresses_and_digests_are_all_different():
    for values in ([entry.file for entry in ENTRIES], [entry.url for entry in ENTRIES],
                   [entry.digest for entry in ENTRIES if entry.digest]):
        assert len(set(values)) == len(values)


@each_entry
def test_addresses_are_https_and_names_are_file_names(entry):
    assert entry.url.startswith("https://") and " " not in entry.url
    assert not set('/\\:*?"<>|') & set(entry.name + entry.file)


@each_entry
def test_the_size_is_that_of_the_parameters_and_a_frame(entry):
    """float32 parameters and batch norm's statistics; torchvision's features hold a classifier, as NaN, and Keras' none."""
    has_classifier = entry.num_classes or entry.publisher == "torchvision"
    net = architecture(entry.architecture, num_classes=1000 if has_classifier else None)
    stored = 4 * sum(math.prod(shape) for shape in net.parameters.values())
    # Keras' HDF5 groups of 19 to 37 layers are the largest frame among the sizes that are known exactly.
    assert -entry.size_slack <= entry.size_bytes - stored < 45_000
    assert entry.has_size(entry.size_bytes) and not entry.has_size(entry.size_bytes + entry.size_slack + 1)
    assert not entry.has_size(entry.size_bytes - entry.size_slack - 1)
    assert entry.has_size(entry.size_bytes + 1) == (entry.size_slack > 0)


@each_entry
def test_the_papers_architecture_is_named_and_the_preset_is_the_sources(entry):
    network = entry.name.partition("@")[0].removesuffix("_features")
    assert network == entry.architecture or network.startswith(f"{entry.architecture}-")
    expected = schemes.SCHEMES[entry.publisher].preset if entry.publisher in schemes.SCHEMES else "torchvision"
    if entry.name == "vgg16_features":
        expected = "torchvision-features"
    elif "caffe2" in entry.name:
        expected = "caffe"
    assert entry.preset == expected and images.preset(entry.preset)
    assert (entry.opset is not None) == (entry.publisher == "onnx")
    assert entry.opset is None or entry.file.endswith(f"-{entry.opset}.onnx")


@each_of_torchvision
def test_torchvision_has_keys_for_the_network(entry):
    assert TORCHVISION.paths(architecture(entry.architecture, num_classes=entry.num_classes))


@each_entry
def test_accuracies_are_percentages_with_a_source(entry):
    assert (entry.top1 is None) == (entry.top5 is None) == (entry.accuracy_source == "none is published")
    if entry.num_classes is None:
        assert entry.top1 is None
    if entry.top1:
        assert 60 < entry.top1 < 80 < 85 < entry.top5 < 95


@pytest.mark.parametrize("name, found", [
    ("vgg16", "vgg16"), ("D", "vgg16"), ("e_BN", "vgg19_bn"), ("VGG11", "vgg11"), ("vgg16_features", "vgg16_features"),
    ("VGG16_Features", "vgg16_features"), ("vgg16@torchvision", "vgg16"), ("D@torchvision", "vgg16"),
    ("D@Keras", "vgg16@keras"), ("e_bn@mmpretrain", "vgg19_bn@mmpretrain"), ("vgg16_features@keras", "vgg16_features@keras"),
    ("vgg16-12@onnx", "vgg16-12@onnx"), ("vgg19_bn@onnx", "vgg19_bn-7@onnx"), ("vgg19-bn-7@onnx", "vgg19_bn-7@onnx"),
])
def test_names_and_letters_are_found(name, found):
    assert catalog.find(name) is catalog.CHECKPOINTS[found]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_finds_its_own(name):
    assert catalog.find(name).name == catalog.find(name.upper()).name == name


OWN = ("start from fresh ones with npvgg.create({0!r}), or convert a checkpoint of your own with "
       "`python -m weights_convert FILE OUT.h5 --model {0}`")


@pytest.mark.parametrize("name, known", [("c", "c"), ("C", "c"), ("A-LRN", "a_lrn"), ("a_lrn", "a_lrn")])
def test_networks_without_published_weights_say_what_to_do(name, known):
    with pytest.raises(UnsupportedError) as caught:
        catalog.find(name)
    assert str(caught.value) == f"nobody publishes weights of {known}; {OWN.format(known)}"


def test_what_a_publisher_has_is_named_where_it_lacks_something():
    with pytest.raises(UnsupportedError) as caught:
        catalog.find("vgg13@caffe")
    assert str(caught.value) == ("caffe publishes no weights of vgg13; caffe has vgg16@caffe, vgg19@caffe; or "
                                 + OWN.format("vgg13"))


def test_of_several_files_one_must_be_named():
    with pytest.raises(UsageError) as caught:
        catalog.find("D@onnx")
    assert str(caught.value) == "onnx publishes several files of vgg16: vgg16-7@onnx, vgg16-12@onnx; name one of them"


def test_an_unknown_publisher_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="^there is no publisher called 'paddle'; npvgg knows torchvision, timm, mmpretrain, "):
        catalog.find("vgg16@paddle")


@pytest.mark.parametrize("name", ["resnet50", "", "vgg16 ", "../vgg16", None, "@keras", "vgg16-99@onnx", "resnet50@timm"])
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
    assert set(published) == {entry.url for entry in catalog.TORCHVISION}


@each_of_torchvision
def test_torchvision_gives_the_same_figures(entry, published):
    facts, net = published[entry.url], architecture(entry.architecture)
    assert facts["num_params"] == sum(row.parameters for row in describe(net))
    assert (facts.get("acc@1"), facts.get("acc@5")) == (entry.top1, entry.top5)
    # The exact sizes come from elsewhere, and torchvision's are rounded to 0.001 MiB: both must be the same file.
    assert round(entry.size_bytes / 2**20, 3) == facts["_file_size"]
