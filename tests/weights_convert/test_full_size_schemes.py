"""Files of full size as timm, torchvision before 2017, mmpretrain, Caffe and Keras write them: converted, the network gives the
logits of their own runtime within the parity bound, by way of `npvgg verify --test-data`.

timm, torchvision and Keras (on JAX) are the genuine libraries.  mmpretrain's and Caffe's files are written here, around the
parameters of torchvision's network, which computes the answer.  Half a gigabyte a file and minutes in all; needs timm,
safetensors, keras and jax:

    KERAS_BACKEND=jax python -m pytest -m heavy tests/weights_convert/test_full_size_schemes.py
"""
from dataclasses import replace

import numpy as np
import pytest
from witnesses import caffemodel_builder
from witnesses.command import npvgg
from witnesses.keras_witness import keras as keras_library
from witnesses.networks import photograph
from witnesses.torchvision_witness import torchvision

from npvgg import images, network
from npvgg.architecture import architecture
from npvgg.layer_names import torchvision_names
from npvgg.parity import layer_table, recorded_answers, verdicts
from weights_convert.convert import convert

LEVELS = 1 / 64                           # pictures of levels up to 150 instead of 2.6: otherwise the soft-max is 1 and zeros

# (scheme, network, the ending of its file, container, preset)
CASES = {
    "timm, safetensors": ("timm", "vgg16", ".safetensors", "safetensors", "torchvision"),
    "timm, pth": ("timm", "vgg11_bn", ".pth", "PyTorch zip", "torchvision"),
    "torchvision before 2017": ("torchvision", "vgg13", ".pth", "PyTorch legacy stream", "torchvision"),
    "mmpretrain": ("mmpretrain", "vgg16_bn", ".pth", "PyTorch legacy stream", "mmpretrain"),
    "Caffe": ("caffe", "vgg16", ".caffemodel", "Caffe model", "caffe"),
    "Keras VGG16": ("keras", "vgg16", ".weights.h5", "Keras HDF5", "caffe"),
    "Keras VGG19": ("keras", "vgg19", ".weights.h5", "Keras HDF5", "caffe"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("scheme, name, ending, container, preset", CASES.values(), ids=CASES)
def test_the_logits_are_those_of_the_schemes_own_runtime(tmp_path, scheme, name, ending, container, preset):
    path, weights = tmp_path / f"full{ending}", tmp_path / "full.h5"
    x = images.batch([photograph(1)], images.preset(preset))
    theirs = WRITERS[scheme](scheme, name, path, x)
    found = convert(path, weights)
    path.unlink()
    assert (found.scheme, found.container, found.preset) == (scheme, container, preset)
    early = {"head": "avg7 flatten drop 4096 relu drop 4096 relu 1000"} if scheme == "torchvision" else {}
    assert found.architecture == architecture(name, **early)

    # The recorded logits are compared with ours before the soft-max, whatever the published network ends with.
    vgg = network.load_file(weights, verify=False)
    (tmp_path / "tests").mkdir()
    np.savez(tmp_path / "tests" / "logits.npz", input=x, output=theirs)
    outcome = recorded_answers.check(replace(vgg, source_output="logits"), tmp_path / "tests" / "logits.npz")
    print(f"{scheme} {name}: gap {layer_table.number(outcome.difference.largest_relative)} of the largest logit")
    assert outcome.verdict == verdicts.CLOSE and outcome.argmax_flips == 0 and outcome.bound == 1e-4
    assert np.ptp(theirs) > 0.5 * abs(theirs).max()                    # logits of both signs, none dominating the rest

    if vgg.source_output == "probabilities":
        theirs = np.exp(theirs - theirs.max()) / np.exp(theirs - theirs.max()).sum()
        np.savez(tmp_path / "tests" / "logits.npz", input=x, output=theirs)
    run = npvgg("verify", weights, "--test-data", tmp_path / "tests")
    assert run.status == 0 and f"recorded {vgg.source_output}" in run.out and run.out.splitlines()[-1].split()[-1] == "ok"


# ------------------------------------------------------------------------------------------------- PyTorch's


def by_timm(scheme, name, path, x):
    library = torchvision()
    timm, safetensors = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch")
    from timm.models.vgg import _filter_fn

    model = timm.create_model(name).eval()
    model.load_state_dict(_filter_fn(settled(library, name).state_dict()))
    if path.suffix == ".safetensors":
        safetensors.save_file(model.state_dict(), path, metadata={"format": "pt"})
    else:
        torch().save(model.state_dict(), path)
    return answer(model, x)


def by_early_torchvision(scheme, name, path, x):
    model = settled(torchvision(), name)
    moved = {"classifier.0": "classifier.1", "classifier.3": "classifier.4"}
    state = {moved.get(key.rpartition(".")[0], key.rpartition(".")[0]) + "." + key.rpartition(".")[2]: tensor
             for key, tensor in model.state_dict().items()}
    torch().save(state, path, _use_new_zipfile_serialization=False)
    return answer(model, x)


def by_mmpretrain(scheme, name, path, x):
    """torchvision's positions count convolution, batch norm and ReLU each; mmpretrain's one module for all three."""
    model = settled(torchvision(), name)
    state, position = {}, -1
    for module in model.features:
        kind = {"Conv2d": "conv", "BatchNorm2d": "bn"}.get(type(module).__name__)
        position += type(module).__name__ in ("Conv2d", "MaxPool2d")
        if kind:
            state |= {f"backbone.features.{position}.{kind}.{key}": tensor for key, tensor in module.state_dict().items()}
    state |= {f"backbone.classifier.{key}": tensor for key, tensor in model.classifier.state_dict().items()}
    torch().save({"meta": {"mmcls_version": "0.9.0"}, "state_dict": state}, path, _use_new_zipfile_serialization=False)
    return answer(model, x)


def by_caffe(scheme, name, path, x):
    model, net = settled(torchvision(), name), architecture(name)
    model.features[0].weight.data *= LEVELS
    paper = torchvision_names(net)
    parameters = {f"{paper[key.rpartition('.')[0]]}/{key.rpartition('.')[2]}": tensor.numpy()
                  for key, tensor in model.state_dict().items()}
    path.write_bytes(caffemodel_builder.model(network.VGG(net, parameters, images.preset("caffe")), version=1))
    return answer(model, x)


def torch():
    return pytest.importorskip("torch")


def settled(library, name):
    """torchvision's network with seeded He weights, and with biases and statistics away from 0 and 1."""
    with torch().device("meta"):
        model = getattr(library.models, name)(init_weights=False)
    model = model.to_empty(device="cpu").eval()
    generator = torch().Generator().manual_seed(11)
    for key, tensor in model.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif key.endswith(("running_var", ".weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim:
            tensor.normal_(0, 0.2, generator=generator)
    return model


def answer(model, x):
    with torch().inference_mode():
        return model(torch().from_numpy(x)).numpy()


# ------------------------------------------------------------------------------------------------- Keras


def by_keras(scheme, name, path, x):
    keras = keras_library()
    if keras.backend.backend() != "jax":
        pytest.skip("for this, Keras has to run on JAX: set KERAS_BACKEND=jax")
    model = getattr(keras.applications, name.upper())(weights=None, classifier_activation=None)
    rng = np.random.default_rng(12)
    first, *others = [he(rng, array.shape) for array in model.get_weights()]
    model.set_weights([first * np.float32(LEVELS), *others])
    model.save_weights(path)
    return np.asarray(model(np.ascontiguousarray(x.transpose(0, 2, 3, 1))))


def he(rng, shape):
    scale = 0.2 if len(shape) == 1 else (2 / np.prod(shape[:-1])) ** 0.5
    return rng.standard_normal(shape, np.float32) * np.float32(scale)


WRITERS = {"timm": by_timm, "torchvision": by_early_torchvision, "mmpretrain": by_mmpretrain, "caffe": by_caffe,
           "keras": by_keras}
