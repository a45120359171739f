"""One runtime in a process of its own:  python -m benchmarks.worker JOB, where JOB is JSON.

    {"do": "write", "runtime": "ncnn", "folder": "/tmp/…"}                 vgg.h5 → ncnn's own files; answers {}
    {"do": "run", "runtime": "ncnn", "folder": "/tmp/…", "shape": [1, 3, 224, 224], "threads": 2, "options": {}}
                                                                           pictures.npy → {"logits", "peak_bytes"}
        then for every line on standard input, one turn                    {"ms", "asleep"}

Answers are lines of JSON on standard output, {"error": sentence} the last one if something fails; what the runtime prints
goes to standard error.  A turn is a run without a clock, which wakes the threads and fills the caches, and one with it.

The threads of a runtime spin for a while after a run, in the hope of more work (seen: ONNX Runtime 0.1 s, the OpenMP of
PyTorch, ncnn and Numba 0.03 s, OpenVINO and MNN not at all), and would take cores from the next process.  Forbidding it
would slow the run itself, so a turn is answered only when the process has stopped using the processor, or with
"asleep": false where it does not within `SPIN_LIMIT_S`.
"""
import json
import os
import sys
import time
from pathlib import Path

PICTURES = "pictures.npy"
SPIN_LIMIT_S = 3.0
LOOK_S, QUIET_S = 0.05, 0.002       # asleep: at most 2 ms of processor time in 50 ms


def main():
    job = json.loads(sys.argv[1])
    # Runtimes print to descriptor 1 from C++; the answers keep the pipe for themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        for answer in ACTIONS[job.pop("do")](**job):
            print(json.dumps(answer), file=answers)
    except Exception as error:                             # whatever the runtime raises is its reason
        print(json.dumps({"error": sentence(error)}), file=answers)
        sys.exit(1)


def write(runtime, folder):
    """Make the runtime's model files from vgg.h5 in the same folder."""
    from benchmarks import runtimes, subject
    from npvgg import classify

    vgg = classify.load(Path(folder) / subject.FILE, tier="reference", verify=False)
    runtimes.module(runtime).write(vgg, Path(folder))
    yield {}


def run(runtime, folder, shape, threads, options):
    """Load, answer the first run with its logits, then every line on standard input with the time of one run."""
    import numpy as np

    from benchmarks import runtimes

    x = np.load(Path(folder) / PICTURES)[:shape[0]]
    forward = runtimes.module(runtime).load(Path(folder), tuple(shape), threads, **options)
    yield {"logits": forward(x).tolist(), "peak_bytes": peak_bytes()}
    for _ in sys.stdin:
        forward(x)
        start = time.perf_counter()
        forward(x)
        elapsed = time.perf_counter() - start
        yield {"ms": round(elapsed * 1e3, 4), "asleep": falls_asleep()}


def falls_asleep():
    """Wait until the threads of this process rest; whether they did within the limit."""
    end = time.monotonic() + SPIN_LIMIT_S
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(LOOK_S)
        if time.process_time() - before <= QUIET_S:
            return True
    return False


def peak_bytes():
    """The largest resident memory of this process so far, mapped files included; None where it is not known.

    Not getrusage on Linux: there the peak of the parent, from before exec, counts too.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), None)


def sentence(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


ACTIONS = {"write": write, "run": run}

if __name__ == "__main__":
    main()
