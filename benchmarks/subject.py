"""What is measured: a network of seeded or published weights, pictures, and the logits that are exact for them."""
from dataclasses import replace
from pathlib import Path

import numpy as np

from npvgg import images, network, weights
from npvgg.architecture import architecture
from npvgg.errors import BadFileError, NpvggError, StorageError, UnsupportedError

FILE = "vgg.h5"

# Colour photographs that lie in scikit-image's wheel.
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg",
               "retina.jpg", "ihc.png")


def draw(name, *, seed=0, **options):
    """A VGG with He-scaled weights; biases and batch-norm statistics are random too, so that leaving one out shows.

    Biases and means are N(0, 0.2²), batch-norm scales and variances uniform from 0.5 to 1.5; `options` as in
    `network.create`.
    """
    vgg = network.create(name, seed=seed, how="he", **options)
    rng = np.random.Generator(np.random.PCG64(seed))
    return replace(vgg, parameters={path: drawn(rng, path, array) for path, array in vgg.parameters.items()})


def drawn(rng, path, array):
    if path.endswith(("/bias", "/mean")):
        return np.float32(0.2) * rng.standard_normal(array.shape, np.float32)
    return np.float32(0.5) + rng.random(array.shape, np.float32) if path.startswith("bn") else array


def published(file):
    """An ONNX file with the convolutions of a VGG-16 → the VGG of these, up to pool5, and Caffe's preparation.

    Only the weights are taken from the file: those of its nodes called Conv, in their order.  StorageError where it cannot be
    read, BadFileError where the convolutions are not those of a VGG-16 of some width, UnsupportedError without onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(f"filters are read by onnx, which cannot be imported ({error}); "
                               'install it with `pip install "npvgg[onnx]"`') from None
    try:
        graph = onnx.ModelProto.FromString(Path(file).read_bytes()).graph
        arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        arrays = [arrays[name] for node in graph.node if node.op_type == "Conv" for name in node.input[1:]]
        net = architecture("vgg16", head="", width=len(arrays[0]) / 64)
        return network.VGG(net, dict(zip(net.parameters, arrays, strict=True)), images.preset("caffe"), source=str(file))
    except OSError as error:
        raise StorageError(f"{file} cannot be read ({error.strerror or error}); give an ONNX file of a VGG-16") from None
    except NpvggError as error:
        raise BadFileError(f"{file} does not hold the convolutions of a VGG-16 ({error}); give another file") from None
    except Exception as error:                             # a protocol buffer, names and shapes may be wrong in any way
        raise BadFileError(f"{file} does not hold the convolutions of a VGG-16 ({type(error).__name__}: {error!s:.120}); "
                           "give another file") from None


def photographs(count):
    """The paths of the first `count` of PHOTOGRAPHS; UnsupportedError without scikit-image, or with one that lacks them."""
    try:
        from skimage import data
    except ImportError as error:
        raise UnsupportedError(f"the photographs are those of scikit-image, which cannot be imported ({error}); "
                               "install it with `pip install scikit-image`") from None
    paths = [Path(data.__file__).parent / name for name in PHOTOGRAPHS[:count]]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UnsupportedError(f"this scikit-image has no {', '.join(missing)}; run `pip install --upgrade scikit-image`")
    return paths


def pictures(vgg, count, files=()):
    """(count, 3, S, S) float32: the files, prepared and taken in turn, or standard normal numbers without any."""
    if files:
        return images.batch([files[number % len(files)] for number in range(count)], vgg.preset, dtype=np.float32)
    size = vgg.architecture.input_size
    return np.random.Generator(np.random.PCG64(1)).standard_normal((count, 3, size, size), np.float32)


def exact(vgg, x):
    """(N, 3, H, W) → (N, classes) float64 logits, one picture at a time, by the kernels that are not on trial."""
    oracle = vgg.using(tier="jit", dtype=np.float64)
    return np.concatenate([oracle.forward(picture[np.newaxis].astype(np.float64)) for picture in x])


def save(vgg, folder):
    """Write the network as `FILE`, from which every runtime makes the model files that it likes best."""
    weights.write(folder / FILE, vgg.parameters, architecture=vgg.architecture, preset=vgg.preset)
