"""Another program's HDF5 file → its arrays and a few attributes, read by a process of its own (hdf5_child.py).

Whatever a file makes that process do, this one uses only sizes, which it checks against the bytes, and takes bytes as numbers.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from npvgg.errors import BadFileError
from weights_convert.containers.hdf5_child import MOST_BYTES, MOST_OBJECTS
from weights_convert.refusals import damaged, hostile, printable

CHILD = Path(__file__).with_name("hdf5_child.py")
LONGEST_HEADER = 16 << 20
SECONDS = 180                             # for the whole file; half a gigabyte takes about one
DTYPES = {f"{order}{kind}{size}" for order, kinds in (("<", {"f": (2, 4, 8), "i": (2, 4, 8), "u": (2, 4, 8)}),
                                                      ("|", {"i": (1,), "u": (1,)}))
          for kind, sizes in kinds.items() for size in sizes}


OF_KERAS = "as no weights of Keras do; give a file that model.save or model.save_weights wrote"


def read(file, advice=OF_KERAS):
    """An opened file → ({path: array}, {group path: {name: text}}).

    Raises BadFileError, which ends with `advice` where the file holds what other programs' files may well hold, such as text.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
        file.seek(0)
        child = subprocess.Popen([sys.executable, "-I", CHILD], stdin=file, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, cwd=folder, env=environment)
        alarm = threading.Timer(SECONDS, child.kill)
        alarm.start()
        try:
            return received(child.stdout, advice)
        except EOFError:
            ended = child.wait()
            how = f"was ended by signal {-ended}" if ended < 0 else f"gave up with status {ended}"
            raise damaged(f"it is an HDF5 file, and the process that read it {how}") from None
        finally:
            alarm.cancel()
            child.kill()
            child.stdout.close()
            child.wait()


def received(stream, advice=OF_KERAS):
    """What hdf5_child writes → ({path: array}, attributes).  Raises EOFError where it ends early."""
    line = stream.readline(LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        said = {"attributes": {}, "arrays": [], "refused": ""} | json.loads(line)
        attributes = {str(path): {str(name): str(text) for name, text in texts.items()}
                      for path, texts in said["attributes"].items()}
        described = [(str(path), tuple(map(int, shape)), str(dtype)) for path, shape, dtype in said["arrays"]]
        sizes = [math.prod(shape) * np.dtype(dtype).itemsize for _, shape, dtype in described if dtype in DTYPES]
        is_sound = len(sizes) == len(described) <= MOST_OBJECTS and min(sizes, default=0) >= 0 and sum(sizes) <= MOST_BYTES
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_sound = False
    if not is_sound:
        raise damaged("it is an HDF5 file, and the process that read it gave no sensible answer")
    if said["refused"]:
        what = f"it is an HDF5 file that {printable(str(said['refused']), 200)}"
        if said.get("is_harmless") is True:
            raise BadFileError(f"{what}, {advice}")
        raise hostile(what)
    arrays = {}
    for path, shape, dtype in described:
        arrays[path] = np.empty(shape, dtype)
        view = memoryview(arrays[path]).cast("B") if arrays[path].size else b""
        if arrays[path].size and stream.readinto(view) != len(view):
            raise EOFError
    return arrays, attributes
