"""Small data sets that a tiny network learns at once: squares in which one colour is stronger."""
import os
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from npvgg.training import pictures
from npvgg.training.recipe import of_tables

NAMES = ("ant", "bee", "cat")


def levels(count, seed=0, side=32):
    """(count, side, side, 3) uint8 and their classes, 0, 1, 2 in turn."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 3
    x = rng.integers(0, 90, (count, side, side, 3)).astype(np.uint8)
    x[np.arange(count), :, :, classes] += 120
    return x, classes


def arrays(count=40, seed=0):
    """The same as Pictures."""
    return pictures.of_arrays(*levels(count, seed), NAMES)


def folder(root, count=30, seed=0, side=32):
    """The same as a folder per class → it."""
    for number, (x, k) in enumerate(zip(*levels(count, seed, side), strict=True)):
        path = root / NAMES[k] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(path)
    return root


def recipe(epochs=2, model="vgg11_bn", batch=8, **sections):
    """A recipe for a network of a few thousand parameters."""
    tables = {"network": {"model": model, "width": 1 / 32, "input_size": 32},
              "optimiser": {"rate": 0.05, "nesterov": True, "average": 0.9, "decay_norms": False},
              "schedule": {"warm_up": 0.5}, "augmentation": {"resized_crop": [0.5, 1.0], "flip": "random"}}
    for section, values in sections.items():
        tables[section] = tables.get(section, {}) | values
    tables["training"] = {"epochs": epochs, "batch": batch, "seed": 3} | sections.get("training", {})
    return of_tables(tables, "the test's recipe")


def bits(vgg):
    """{path: bytes} of all parameters."""
    return {path: values.tobytes() for path, values in vgg.parameters.items()}


def killed(arguments, seconds, file, environment=()):
    """`npvgg train` in a process that is killed so long after `file` has appeared; its status where it ended before."""
    child = subprocess.Popen([sys.executable, "-m", "npvgg", "train", *map(str, arguments)], stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, env=os.environ | dict(environment))
    deadline = time.monotonic() + 300
    while not file.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    return child.wait(), child.stderr.read().decode()
