"""A process that imports npvgg.hub once and then forks: downloads at the same time, or killed after k steps.

    python forked_downloads.py together ROUNDS    four at once, ROUNDS times, each from an empty cache
    python forked_downloads.py killed             one after another, killed at step 1, 2, … until one survives

Environment: NPVGG_CACHE, NPVGG_MIRROR, and CHECKPOINT, the bytes that the server has.  Prints one JSON object a line.
It has no threads, so that forking is safe, and starts nothing but itself.
"""
import hashlib
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import filelock  # noqa: F401  (imported before the steps are counted)
import pooch  # noqa: F401
import requests  # noqa: F401

from npvgg import converter, download, hub  # noqa: F401
from npvgg.storage import atomic_file, cache_folder
from weights_convert import catalog

CONTENT = os.environ["CHECKPOINT"].encode()
MODELS = cache_folder.cache_folder() / "models"


def main(how, rounds=1):
    digest = hashlib.sha256(CONTENT).hexdigest()
    catalog.CHECKPOINTS = {"vgg16": replace(catalog.CHECKPOINTS["vgg16"], size_bytes=len(CONTENT),
                                              digest=f"SHA-256:{digest}")}
    hub.write_weights = convert
    download.CHUNK = len(CONTENT) // 5
    download.shutil = SimpleNamespace(disk_usage=lambda folder: SimpleNamespace(free=2**40))
    {"together": together, "killed": killed}[how](int(rounds))


def convert(entry, checkpoint, target):
    """In the place of the conversion, which takes longer: a file that appears whole or not at all."""
    atomic_file.write(target, checkpoint.read_bytes()[:5], force=True)


def together(rounds):
    for _ in range(rounds):
        shutil.rmtree(MODELS, ignore_errors=True)
        statuses = [wait(child) for child in [fork(partial(hub.download, "vgg16")) for _ in range(4)]]
        report(statuses=statuses)


def killed(_):
    """The step at which the child dies rises by one until it lives; then a child that nobody kills runs after each."""
    last, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        shutil.rmtree(MODELS, ignore_errors=True)
        last += 1
        status = wait(fork(partial(counted, last)))
        left = sorted(path.name for path in MODELS.glob("*")) if MODELS.is_dir() else []
        content = (MODELS / "vgg16.h5").read_bytes() if (MODELS / "vgg16.h5").exists() else b""
        again = wait(fork(partial(hub.download, "vgg16")))
        report(step=last, status=status, left=left, content=content.decode(), again=again,
               then=(MODELS / "vgg16.h5").read_bytes().decode())


remaining = None


def counted(steps):
    """A download that is killed at the given step: one of Python's audit events, or a call of `step`."""
    global remaining
    sys.addaudithook(lambda event, _: step())
    remaining = steps
    hub.download("vgg16", progress=SimpleNamespace(total=0, update=lambda size: step(), reset=step, close=step))


def step():
    global remaining
    if remaining is not None:
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def fork(work):
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(json.dumps({"error": repr(error)}), flush=True)
        os._exit(1)
    os._exit(0)


def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def report(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
