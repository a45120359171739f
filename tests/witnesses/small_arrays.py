"""Four small arrays and their attributes, as storage.hdf5_writing takes them."""
import numpy as np

from npvgg.storage import hdf5_reading, hdf5_writing

KIND = "npvgg sample"
ARRAYS = {
    "one": np.arange(35, dtype=np.float32).reshape(5, 7),
    "group/two": np.array([[-0.0, np.nan], [np.inf, 5e-324]]),
    "group/scalar": np.array(2.5, np.float32),
    "text": np.array([b"a", "é".encode(), b"longer"]),
}
ATTRIBUTES = {"": {"notes": "two\nlines, ä", "empty": "", "count": 2**62}, "group": {"ratio": 0.1}}


def expected(names):
    return lambda attributes: (list(names), ())


def round_trip(path, arrays, attributes=None):
    hdf5_writing.write(path, KIND, arrays, {"": {}} | (attributes or {}), force=True)
    return hdf5_reading.read(path, KIND, expected(arrays))
