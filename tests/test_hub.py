"""Names become files, whatever is in the cache, the disk and other processes do; the server is the test's."""
import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from witnesses import caffemodel_builder
from witnesses.model_server import CONTENT, FILE, published, send, visible

from npvgg import classify, hub
from npvgg.errors import BadFileError, DownloadError, StorageError, UnsupportedError, UsageError
from weights_convert import catalog

ROOT = Path(__file__).parents[1]
TRUE_WRITE_WEIGHTS, ALL = hub.write_weights, catalog.CHECKPOINTS


def test_force_fetches_again(server, models):
    server.answers[:] = [send()]
    path = hub.download("vgg16")
    path.write_bytes(b"damaged")
    assert hub.download("vgg16").read_bytes() == b"damaged"
    assert hub.download("vgg16", force=True).read_bytes() == CONTENT
    assert visible(models) == ["vgg16.h5"] and len(server.requests) == 2


def test_the_bundled_network_needs_no_network(models):
    assert hub.DEFAULT in hub.BUNDLED and set(hub.BUNDLED) == set(hub.BUNDLED_FACTS)
    try:
        assert hub.locate() == hub.download(hub.DEFAULT) == hub.DATA / hub.BUNDLED[hub.DEFAULT]
    except StorageError as error:
        assert str(error) == (f"{hub.DATA / hub.BUNDLED[hub.DEFAULT]}, the bundled network, is missing from this "
                              "installation; install npvgg again")
        assert not (hub.DATA / hub.BUNDLED[hub.DEFAULT]).exists()


def test_the_conversion_is_told_what_the_catalog_knows(server, models, monkeypatch):
    convert = pytest.importorskip("weights_convert.convert")
    told = []
    monkeypatch.undo()                              # the true write_weights
    monkeypatch.setattr(convert, "convert", lambda *arguments, **options: told.append((arguments, options)))
    entry = catalog.CHECKPOINTS["vgg16_features"]
    hub.write_weights(entry, Path("a.part"), Path("b.h5"))
    told[0][1].pop("accept")
    assert told == [((Path("a.part"), Path("b.h5")), {
        "model": "vgg16", "preset": "torchvision-features", "source_name": entry.url, "force": True,
        "notes": "the download was compared with the published SHA-256 (8/64)"})]


@pytest.mark.parametrize("switch", ["argument", "environment"])
def test_offline_fetches_nothing_and_uses_what_is_here(server, models, monkeypatch, switch):
    if switch == "environment":
        monkeypatch.setenv("NPVGG_OFFLINE", "1")
    with pytest.raises(DownloadError) as caught:
        hub.locate("vgg16", offline=switch == "argument")
    assert str(caught.value) == (
        "vgg16 would have to be fetched, which offline=True or NPVGG_OFFLINE forbids; go online, or fetch "
        f"https://download.pytorch.org/models/{FILE} in another way and run "
        f"`python -m weights_convert {FILE} {models / 'vgg16.h5'}`")
    assert models.is_dir()                          # or that command would have nowhere to write
    (models / "vgg16.h5").write_bytes(b"made by hand")
    assert hub.locate("vgg16", offline=switch == "argument") == models / "vgg16.h5"
    assert not server.requests


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_offline_can_be_switched_off(server, models, monkeypatch, value):
    server.answers[:] = [send()]
    monkeypatch.setenv("NPVGG_OFFLINE", value)
    assert hub.locate("vgg16").is_file()


def test_a_download_is_said_with_its_size(server, models, caplog):
    server.answers[:] = [send()]
    published_size = catalog.CHECKPOINTS["vgg16"].size_bytes
    hub.locate("vgg16")
    hub.locate("vgg16")
    said, = [record.getMessage() for record in caplog.records if "downloading" in record.getMessage()]
    assert f"{published_size / 2**20:,.0f} MiB" in said and str(models) in said


def test_a_switch_that_says_neither_yes_nor_no_is_refused(models, monkeypatch):
    monkeypatch.setenv("NPVGG_OFFLINE", "perhaps")
    with pytest.raises(UsageError, match="NPVGG_OFFLINE is 'perhaps'; give 1 .* or 0"):
        hub.locate("vgg16")


def test_a_file_of_another_network_is_no_success(tmp_path):
    """Whatever its digest: 5 classes at a sixteenth of the width are not the entry's network."""
    from npvgg.network import create

    small = create("vgg11", seed=0, width=1 / 16, num_classes=5, tier="reference", input_size=32)
    file = small.save(tmp_path / "small.h5")
    entry = catalog.CHECKPOINTS["vgg11"]
    with pytest.raises(BadFileError, match="is published as vgg11 with 1000 classes .* width 0.0625 and 5 classes"):
        hub.write_weights(entry, file, tmp_path / "vgg11.h5")
    assert not (tmp_path / "vgg11.h5").exists()


def test_names_without_weights_say_what_to_do(models):
    with pytest.raises(UnsupportedError, match=r"npvgg\.create\('c'\), or .*`python -m weights_convert FILE OUT\.h5"):
        hub.locate("C")
    with pytest.raises(UsageError) as caught:
        hub.locate("resnet50")
    assert str(caught.value) == (
        "there is no model called 'resnet50'; there are vgg13_bn-cifar10, vgg16 and the letters A, B, D and E of the "
        "paper, those that `npvgg models --all` lists, and weights files, given as a path such as ./model.h5")
    with pytest.raises(UsageError, match="^there is no publisher called 'paddle'; npvgg knows torchvision, timm"):
        hub.locate("vgg16@paddle")


@pytest.mark.parametrize("broken", ["cache", "models", ".vgg16.lock"])
def test_a_cache_that_cannot_be_written_is_a_sentence(server, models, broken):
    path = {"cache": models.parent, "models": models, ".vgg16.lock": models / ".vgg16.lock"}[broken]
    path.parent.mkdir(parents=True, exist_ok=True)
    if broken == ".vgg16.lock":
        path.mkdir()
    else:
        path.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot be written .* set NPVGG_CACHE to a folder that you may write to"):
        hub.locate("vgg16")
    assert not server.requests


@pytest.mark.parametrize("error", [StorageError("no room"), KeyboardInterrupt()], ids=["an error", "Ctrl-C"])
def test_an_interrupted_conversion_leaves_no_download_behind(server, models, monkeypatch, error):
    def interrupted(*_):
        raise error

    server.answers[:] = [send()]
    monkeypatch.setattr(hub, "write_weights", interrupted)
    with pytest.raises(type(error)):
        hub.locate("vgg16")
    assert visible(models) == []


def test_what_killed_processes_left_goes_after_a_day(server, models):
    server.answers[:] = [send()]
    models.mkdir(parents=True)
    old, young, others = ".vgg16.1.aa.part", ".vgg16.2.bb.part", ".vgg16_bn.1.cc.part"
    for name in (old, young, others, ".npvgg-dd.tmp"):
        (models / name).write_bytes(b"x")
    for name in (old, others, ".npvgg-dd.tmp"):
        os.utime(models / name, (0, time.time() - 25 * 3600))
    hub.locate("vgg16")
    assert visible(models) == [young, others, "vgg16.h5"]


CHECKPOINT = "0123456789" * 1000


def forked(models, server, *arguments):
    """The lines of tests/witnesses/forked_downloads.py, as objects."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    server.answers[:] = [send(CHECKPOINT.encode())]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CHECKPOINT": CHECKPOINT, "NPVGG_CACHE": str(models.parent)}
    run = subprocess.run([sys.executable, ROOT / "tests/witnesses/forked_downloads.py", *arguments], env=environment,
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_of_four_processes_one_downloads(server, models):
    rounds = forked(models, server, "together", "10")
    assert [line["statuses"] for line in rounds] == [[0] * 4] * 10
    assert len(server.requests) == 10
    assert visible(models) == ["vgg16.h5"]


def test_killed_at_any_step_the_cache_holds_nothing_or_the_whole(server, models):
    """kill −9 at each open, rename, lock, connection and chunk; and the next process finishes the job."""
    lines = forked(models, server, "killed")
    assert len(lines) > 20 and [line["status"] for line in lines] == [-9] * (len(lines) - 1) + [0]
    for line in lines:
        assert line["content"] in ("", "01234") and (line["content"] == "01234") == ("vgg16.h5" in line["left"])
        assert line["again"] == 0 and line["then"] == "01234"
    assert {line["content"] for line in lines[:-1]} == {"", "01234"}      # some died before the result, some after it
    assert any(name.endswith(".part") for line in lines for name in line["left"])


def test_without_locks_the_work_is_done_all_the_same(server, models, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    server.answers[:] = [send()]
    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert hub.locate("vgg16").read_bytes() == CONTENT


def test_who_waits_for_another_s_download_says_so_and_uses_it(server, models, caplog):
    models.mkdir(parents=True)
    asked, lock = threading.Event(), filelock.FileLock(models / ".vgg16.lock")
    paths = []
    with lock:
        waiting = threading.Thread(target=lambda: paths.append(hub.locate("vgg16")))
        waiting.start()
        while not caplog.records and waiting.is_alive():
            asked.wait(0.01)
        (models / "vgg16.h5").write_bytes(b"made by the other")
    waiting.join()
    assert [record.getMessage() for record in caplog.records] == ["vgg16 is being fetched by another process; waiting for it"]
    assert caplog.records[0].name.startswith("npvgg.") and caplog.records[0].levelname == "WARNING"
    assert paths == [models / "vgg16.h5"] and paths[0].read_bytes() == b"made by the other" and not server.requests


FACTS = (1000, 71.592, 90.382, "ImageNet-1K", "torchvision", "SHA-256", "torchvision",
         "torchvision 0.28, models/vgg.py, _metrics", f"https://download.pytorch.org/models/{FILE}", None)


def test_the_list_says_where_each_model_is(server, models):
    server.answers[:] = [send()]
    hub.locate("vgg16")
    listed = {model.name: model for model in hub.list_models()}
    assert list(listed) == [*hub.BUNDLED, "vgg16"]
    assert listed["vgg16"] == hub.ModelEntry("vgg16", "cached", models / "vgg16.h5", len(CONTENT), *FACTS)
    bundled = listed[hub.DEFAULT]
    assert (bundled.state, bundled.num_classes, bundled.dataset) == ("bundled", 10, "CIFAR-10")
    (models / "vgg16.h5").unlink()
    assert hub.list_models()[-1] == hub.ModelEntry("vgg16", "downloadable", None, len(CONTENT), *FACTS)


def test_the_list_needs_neither_cache_nor_network(monkeypatch, tmp_path):
    monkeypatch.setenv("NPVGG_CACHE", str(tmp_path / "absent"))
    models = hub.list_models()
    assert [model.name for model in models[:1]] == [hub.DEFAULT]
    assert {model.state for model in models[1:]} == {"downloadable"} and len(models) == 1 + len(catalog.CHECKPOINTS)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_from_a_server_to_logits(server, models, monkeypatch, tmp_path, zipped):
    monkeypatch.setattr(hub, "require_published", lambda entry, net: None)              # ours is a smaller one
    torch = pytest.importorskip("torch")
    import numpy as np

    from npvgg import network
    from weights_convert.schemes.torchvision import TORCHVISION

    vgg = network.create("vgg11_bn", seed=3, how="he", width=1 / 32, hidden=(6, 5), pooled_size=1, input_size=32)
    state = {key: torch.tensor(vgg.parameters[path]) for key, path in TORCHVISION.paths(vgg.architecture).items()}
    torch.save(state, tmp_path / "made.pth", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "made.pth").read_bytes()
    published(monkeypatch, architecture="vgg11_bn", size_bytes=len(content),
              digest=f"SHA-256:{hashlib.sha256(content).hexdigest()}")
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send(content)]

    loaded = network.load_file(hub.locate("vgg16"), tier="reference")
    assert visible(models) == ["vgg16.h5"]
    assert loaded.class_names[0] == "tench" and loaded.preset.name == "torchvision" and loaded.preset.crop == 224
    x = np.random.default_rng(0).standard_normal((1, 3, 33, 47), np.float32)
    np.testing.assert_array_equal(loaded.forward(x), vgg.using(tier="reference").forward(x))


SMALL = {"width": 1 / 32, "hidden": (6, 5), "num_classes": 3, "pooled_size": 1, "input_size": 32}


def as_published(name, vgg, path):
    """A VGG → the bytes of a file as the publisher of `name` writes it."""
    import h5py

    from weights_convert import export, schemes

    publisher = name.partition("@")[2]
    if publisher == "timm":
        pytest.importorskip("safetensors")
    if publisher in ("timm", "mmpretrain"):
        path = path.with_suffix(".safetensors" if publisher == "timm" else ".pth")
        export.write(vgg, path, publisher)
        return path.read_bytes()
    if publisher == "caffe":
        return caffemodel_builder.model(vgg, 1)
    if publisher == "onnx":
        pytest.importorskip("onnx")
        from witnesses import onnx_graphs

        return (onnx_graphs.caffe2 if "caffe2" in name else onnx_graphs.mxnet)(vgg).SerializeToString()
    with h5py.File(path, "w") as file:
        for key, array in export.tensors(vgg, schemes.find("keras")).items():
            layer, field = key.split("/")
            file[f"{layer}/{layer}_{'W' if field == 'kernel' else 'b'}_1:0"] = array
    return path.read_bytes()


def offered(name, content, monkeypatch):
    """The catalog entry `name`, with the size and, by the same algorithm, the digest of `content`."""
    old = ALL[name]
    algorithm = old.digest.partition(":")[0]
    digest = hashlib.new(algorithm.replace("-", ""), content).hexdigest()
    entry = replace(old, size_bytes=len(content), size_slack=0, digest=f"{algorithm}:{digest}")
    monkeypatch.setattr(catalog, "CHECKPOINTS", ALL | {name: entry})
    return entry


@pytest.mark.parametrize("name", ["vgg16@timm", "vgg13_bn@timm", "vgg11@mmpretrain", "vgg19_bn@mmpretrain", "vgg16@keras",
                                  "vgg19_features@keras", "vgg19@caffe", "vgg16_bn-7@onnx", "vgg19-caffe2-9@onnx"])
def test_what_others_publish_is_fetched_by_name_and_converted(server, models, monkeypatch, tmp_path, name):
    monkeypatch.setattr(hub, "require_published", lambda entry, net: None)              # ours is a smaller one
    import numpy as np

    from npvgg import network

    sizes = {"width": 1 / 32, "num_classes": None} if "features" in name else SMALL
    vgg = network.create(ALL[name].architecture, seed=3, how="he", **sizes)
    content = as_published(name, vgg, tmp_path / "made.h5")
    entry = offered(name, content, monkeypatch)
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send(content)]

    path = hub.locate(name.upper())
    found = network.load_file(path, tier="reference")
    assert path == models / f"{name}.h5" and server.requests == [f"/{entry.file}"]
    assert found.architecture == vgg.architecture and found.preset.name == entry.preset
    assert found.source_output == ("probabilities" if entry.preset == "caffe" else "logits")
    assert all(np.array_equal(found.parameters[key], array) for key, array in vgg.parameters.items())
    assert classify.load(name, tier="reference", offline=True).architecture == vgg.architecture
    (listed,) = [model for model in hub.list_models() if model.name == name]
    assert (listed.state, listed.path, listed.checked_by) == ("cached", path, entry.checked_by)


def test_a_file_that_is_none_leaves_nothing(server, models, monkeypatch):
    offered("vgg16-7@onnx", CONTENT, monkeypatch)
    monkeypatch.setattr(hub, "write_weights", TRUE_WRITE_WEIGHTS)
    server.answers[:] = [send()]
    with pytest.raises(BadFileError):
        hub.locate("vgg16-7@onnx")
    assert server.requests == ["/vgg16-7.onnx"] and [path.name for path in models.iterdir()] == [".vgg16-7@onnx.lock"]


@pytest.mark.parametrize("pattern, names", [
    ("*-cifar10", ["vgg13_bn-cifar10"]), ("VGG16@keras", ["vgg16@keras"]), ("vgg1[69]", ["vgg16", "vgg19"]), ("resnet*", []),
])
def test_a_pattern_lists_the_names_that_fit(pattern, names):
    assert [model.name for model in hub.list_models(pattern)] == names


def test_every_model_fits_a_star_and_what_is_no_text_is_refused():
    assert hub.list_models("*") == hub.list_models()
    with pytest.raises(UsageError, match="pattern is 5; give text such as"):
        hub.list_models(5)
