"""Writers of weights files that are killed, and a reader of mutated ones, in processes of their own.

    python -m witnesses.weights_writers FUNCTION ARGUMENT…
"""
import collections
import itertools
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from witnesses import small_weights
from witnesses.failing_disk import OPERATIONS, FailingDisk

from npvgg import weights
from npvgg.architecture import architecture
from npvgg.errors import NpvggError, StorageError

# A megabyte: large enough to be killed in the middle of it.
WIDE = architecture("vgg11", width=1 / 8, num_classes=3, hidden=(), pooled_size=1, input_size=32)


def write_for_ever(path):
    """Overwrite the file again and again with the networks of seeds 0, 1, 2, …"""
    for seed in itertools.cycle(range(3)):
        weights.write(path, small_weights.parameters(seed, WIDE), architecture=WIDE, preset=small_weights.PRESET,
                      notes=str(seed), force=True)


def write_until(path, operation, force):
    """Write the small file and die by SIGKILL at the given operation on the disk."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        FailingDisk(monkeypatch, operation, lambda: os.kill(os.getpid(), signal.SIGKILL), (*OPERATIONS, "unlink"))
        small_weights.write(path, seed=1, force=force)


def forked(function, *arguments):
    """Start a child that calls the function; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function(*arguments)
        status = 0
    finally:
        os._exit(status)


def kill_at_operations(folder, *operations):
    """For each operation, a writer of folder/<operation>/out.h5 that is killed there; prints which signal ended it."""
    for operation in operations:
        path = Path(folder, operation, "out.h5")
        print(operation, os.waitpid(forked(write_until, path, int(operation), path.exists()), 0)[1], flush=True)


def kill_at_moments(folder, rounds):
    """A writer of folder/out.h5 that is killed after a random time, again and again; what is left is kept."""
    path = Path(folder, "out.h5")
    for number in range(int(rounds)):
        child = forked(write_for_ever, path)
        time.sleep(random.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if path.exists():
            shutil.copy(path, path.with_name(f"{number}.h5"))


def write_in_two(path):
    """Two writers of one file, until standard input ends."""
    children = [forked(write_for_ever, path) for _ in range(2)]
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def write_within_limits(path):
    """Overwrite the small file under every limit on the size of files that is too small; prints what comes of it."""
    size = os.path.getsize(path)
    for limit in [0, 1, 47, 48, 4000, *range(5000, size - 1, size // 25), size - 1]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            small_weights.write(path, seed=1, force=True)
            print("written")
        except StorageError as error:
            print(str(error).partition(" cannot ")[2])


def mutated(data, rng):
    """A few bits or bytes changed, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 50])):
        place = rng.randrange(len(changed))
        changed[place] = rng.choice([changed[place] ^ 1 << rng.randrange(8), 0, 255, 127, 128, rng.randrange(256)])
    return changed[:rng.randrange(len(changed))] if rng.random() < 0.05 else changed


def fuzz(path, seconds, seed):
    """Read mutants of the file `path` → {"refused", "identical", "different", "escaped": count}, [escape]."""
    rng, counts, escapes = random.Random(seed), collections.Counter(), []
    data = Path(path).read_bytes()
    truth = small_weights.said(weights.read(path, verify=True))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with open(path, "wb") as file:
            file.write(mutated(data, rng))
        try:
            counts["identical" if small_weights.said(weights.read(path, verify=True)) == truth else "different"] += 1
        except NpvggError as error:
            counts["refused" if "\n" not in str(error) else "escaped"] += 1
        except Exception as error:
            counts["escaped"] += 1
            escapes.append(repr(error)[:200])
    return counts, escapes


def fuzz_in_a_thread(path, seconds, seed):
    """Fuzz in a second thread, where HDF5 keeps a separate error stack, with little memory to ask for."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    found = []
    thread = threading.Thread(target=lambda: found.append(fuzz(path, float(seconds), int(seed))))
    thread.start()
    thread.join()
    counts, escapes = found[0]
    print(*(counts[kind] for kind in ("refused", "identical", "different", "escaped")), *escapes[:3])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
