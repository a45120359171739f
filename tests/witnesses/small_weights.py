"""A weights file of some thousand numbers, and everything that can be said of one, for comparison."""
import h5py
import numpy as np

from npvgg import weights
from npvgg.architecture import architecture

NET = architecture("vgg11", width=1 / 64, num_classes=3, hidden=(4,), pooled_size=2, input_size=37)
PRESET = '{"name": "a preset", "crop": 37}'
LABELS = ("ant", "bée", "great grey owl, great gray owl")
SELF_TEST = weights.SelfTest(7, np.array([[0.25, -1.5, 3e-300]]), 1e-4)


def parameters(seed=0, net=NET, dtype=np.float32):
    """{"conv1_1/weight": array}, no two numbers alike."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in net.parameters.items()}


def write(path, seed=0, **changes):
    options = {"architecture": NET, "preset": PRESET, "class_names": LABELS, "source_name": "vgg11.pth",
               "source_sha256": "5" * 64, "notes": "made by a test", "self_test": SELF_TEST}
    return weights.write(path, parameters(seed), **(options | changes))


def said(file):
    """Everything in a weights.Weights, as values that compare."""
    test = file.self_test
    return (file.architecture, file.preset_json, file.class_names, file.source_name, file.source_sha256, file.notes,
            file.created, file.converted_by, test and (test.seed, test.tolerance, test.output.tobytes()),
            [(name, array.dtype.str, array.shape, array.tobytes()) for name, array in file.parameters.items()])


def damage(path, name="conv1_1/weight"):
    """Flip a bit of one array."""
    with h5py.File(path) as file:
        offset = file[name].id.get_offset()
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
