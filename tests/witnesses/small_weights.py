"""A weights file of some thousand numbers, and everything that can be said of one, for comparison."""
import h5py
import numpy as np

from npvgg import weights
from npvgg.architecture import architecture
from npvgg.projections import Record, digest_of
from npvgg.storage import hdf5_writing

NET = architecture("vgg11", width=1 / 64, num_classes=3, hidden=(4,), pooled_size=2, input_size=37)
PRESET = '{"name": "a preset", "crop": 37}'
LABELS = ("ant", "bée", "great grey owl, great gray owl")
RECORD = Record(3, np.arange(len(NET.layers) * 9.0).reshape(-1, 9), np.full((1, 9), -0.5), digest_of(LABELS))
SELF_TEST = weights.SelfTest(7, np.array([[0.25, -1.5, 3e-300]]), 1e-4, RECORD)


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
            test and test.record and (test.record.seed, test.record.layers.tobytes(), test.record.picture.tobytes(),
                                      test.record.class_names),
            [(name, array.dtype.str, array.shape, array.tobytes()) for name, array in file.parameters.items()])


def rewritten(path, out, arrays=None, **header):
    """The same file with other arrays and attributes under digests that are right again → its path."""
    contents, _ = weights.open_contents(path)
    arrays = {name: contents.array(name) for name in contents.entries} | (arrays or {})
    attributes = contents.attributes | {"": contents.attributes[""] | header}
    del attributes[""]["format"]                                              # which the writer adds
    hdf5_writing.write(out, weights.KIND, arrays, attributes)
    return out


def damage(path, name="conv1_1/weight"):
    """Flip a bit of one array."""
    with h5py.File(path) as file:
        offset = file[name].id.get_offset()
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
