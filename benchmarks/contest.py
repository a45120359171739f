"""One network in several runtimes: who takes part, whose turn it is, and what comes out as rows.

    with contest.opened(vgg, ["npvgg", "ncnn"], pictures=8) as this:
        this.turns(batch=1, threads=2, runs=7)       warm: each runtime in a process of its own, one turn each a round
        this.cold_starts(threads=2, runs=5)          cold: a fresh process for every run

Both give [row, …], a row being a dictionary for a JSON file: network, batch, threads, runtime, version, and

    gap            largest gap of the logits to the float64 run, over the largest of these
    ms             median over the rounds: an image (warm), or process start to first logits (cold)
    runs_ms        every round
    npvgg_ratio    median over the rounds of npvgg's time over this runtime's in the same round
    peak_mib       (cold) median of the peak resident memory

or, instead of times, `left_out`: the reason.  The first round is not counted: it fills caches, of the disk and of compiled
kernels.  The order moves on by one every round, so that no runtime always follows the same other.
"""
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import runtimes, subject, worker
from npvgg.gap import FLOAT32_BOUND, relative_gap

ROOT = Path(__file__).parents[1]
WORKER = "benchmarks.worker"

PATIENCE_S = 600                    # for an answer
GRACE_S = 10                        # for an end that was asked for


class LeftOut(Exception):
    """Why a runtime gets no time, in one sentence."""


@contextmanager
def opened(vgg, names, *, pictures=1, files=()):
    """Write the model files of all `names` into a temporary folder, once → Contest; who cannot is left out of it."""
    x = subject.pictures(vgg, pictures, files)
    with tempfile.TemporaryDirectory(prefix="npvgg-bench-") as folder:
        folder = Path(folder)
        subject.save(vgg, folder)
        np.save(folder / worker.PICTURES, x)
        this = Contest(folder, vgg.architecture.name, vgg.options.tier, tuple(names), x.shape, subject.exact(vgg, x))
        del vgg, x
        for name in names:
            with this.leaving_out(name, this.left_out):
                if absent := runtimes.missing(name):
                    raise LeftOut(f"not installed ({', '.join(absent)})")
                with this.process(name, "write") as process:
                    process.answer()
        yield this


@dataclass
class Contest:
    """A network on disk, in the files of every runtime that takes part."""

    folder: Path
    network: str
    tier: str
    names: tuple
    shape: tuple                                           # of all pictures
    exact: np.ndarray                                      # their float64 logits
    left_out: dict = field(default_factory=dict)           # runtime: reason

    def turns(self, *, batch, threads, runs):
        """[row, …] of warm runs: ms an image, on the first `batch` pictures."""
        left_out, processes, gaps, rounds = dict(self.left_out), {}, {}, []
        with ExitStack() as stack:
            for name in self.present(left_out):
                with self.leaving_out(name, left_out):
                    processes[name] = stack.enter_context(self.process(name, "run", batch, threads))
                    gaps[name] = self.judged(processes[name].answer(), batch)
                if name in left_out and name in processes:
                    processes[name].close()
            for number in range(1 + runs):
                times = {}
                for name in in_turn(self.present(left_out), number):
                    with self.leaving_out(name, left_out):
                        times[name] = processes[name].turn() / batch
                    if name in left_out:
                        processes[name].close()
                rounds.append(times)
        return self.rows(batch, threads, left_out, gaps, rounds[1:])

    def cold_starts(self, *, threads, runs):
        """[row, …] of fresh processes on one picture: ms to the first logits, and peak memory."""
        left_out, gaps, rounds, peaks = dict(self.left_out), {}, [], {}
        for number in range(1 + runs):
            times = {}
            for name in in_turn(self.present(left_out), number):
                with self.leaving_out(name, left_out):
                    start = time.perf_counter()
                    with self.process(name, "run", 1, threads) as process:
                        answer = process.answer()
                        times[name] = round((time.perf_counter() - start) * 1e3, 4)
                    gaps[name] = self.judged(answer, 1)
                    if number and answer["peak_bytes"]:
                        peaks.setdefault(name, []).append(answer["peak_bytes"] / 2**20)
            rounds.append(times)
        return self.rows(1, threads, left_out, gaps, rounds[1:], peaks)

    def present(self, left_out):
        return [name for name in self.names if name not in left_out]

    @contextmanager
    def leaving_out(self, name, left_out):
        """Note the reason if the block fails."""
        try:
            yield
        except LeftOut as reason:
            left_out[name] = str(reason)

    def process(self, name, do, batch=1, threads=1):
        job = {"do": do, "runtime": name, "folder": str(self.folder)}
        if do == "run":
            options = {"tier": self.tier} if name == "npvgg" else {}
            job |= {"shape": [batch, *self.shape[1:]], "threads": threads, "options": options}
        return Process(job, self.folder / f"{name}.log")

    def judged(self, answer, batch):
        """The first answer of a process → its gap, or LeftOut where that is too large."""
        logits, expected = np.asarray(answer["logits"], np.float64), self.exact[:batch]
        if logits.shape != expected.shape:
            raise LeftOut(f"its logits have the shape {logits.shape} instead of {expected.shape}")
        gap = relative_gap(logits, expected)
        if not gap <= FLOAT32_BOUND:
            raise LeftOut(f"disagrees with the float64 run by {gap:.1e} of the largest logit")
        return gap

    def rows(self, batch, threads, left_out, gaps, rounds, peaks=None):
        rows = []
        for name in self.names:
            row = {"network": self.network, "batch": batch, "threads": threads, "runtime": name}
            if name == "npvgg":
                row["tier"] = self.tier
            if name in left_out:
                row["left_out"] = left_out[name]
            else:
                row |= {"version": runtimes.version(name), "gap": gaps[name], **times_of(name, rounds)}
                if peaks and name in peaks:
                    row["peak_mib"] = statistics.median(peaks[name])
            rows.append(row)
        return rows


def times_of(name, rounds):
    """[{runtime: ms}, …] → median, every round, and npvgg's time over this one's, paired by round."""
    ratios = [times["npvgg"] / times[name] for times in rounds if "npvgg" in times]
    return {"ms": statistics.median(times[name] for times in rounds), "runs_ms": [times[name] for times in rounds],
            "npvgg_ratio": statistics.median(ratios) if ratios else None}


def in_turn(names, number):
    """The names, beginning `number` places later."""
    start = number % max(1, len(names))
    return names[start:] + names[:start]


class Process:
    """The other end of `worker`: a process that answers with a line of JSON, and dies with the block."""

    def __init__(self, job, log):
        self.log = log
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(job.get("threads", 1))}
        with open(log, "wb") as errors:
            self.popen = subprocess.Popen([sys.executable, "-m", WORKER, json.dumps(job)], env=environment,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ask the process to end, and end it if it does not."""
        with suppress(OSError):
            self.popen.stdin.close()
        try:
            self.popen.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()

    def turn(self):
        """Milliseconds of one run, when the process sleeps again."""
        with suppress(BrokenPipeError):
            self.popen.stdin.write(b"\n")
            self.popen.stdin.flush()
        answer = self.answer()
        if not answer["asleep"]:
            raise LeftOut(f"its threads spin for more than {worker.SPIN_LIMIT_S:g} s after a run, which slows the others")
        return answer["ms"]

    def answer(self):
        """The next answer, or LeftOut with the reason why there is none."""
        readable, _, _ = select.select([self.popen.stdout], [], [], PATIENCE_S)
        if not readable:
            self.popen.kill()
            raise LeftOut(f"gave no answer within {PATIENCE_S} s")
        line = self.popen.stdout.readline()
        if not line:
            self.close()
            raise LeftOut(f"{ending(self.popen.returncode)}; {last_line(self.log)}")
        answer = json.loads(line)
        if "error" in answer:
            raise LeftOut(answer["error"])
        return answer


def ending(status):
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def last_line(log):
    lines = log.read_text(errors="replace").split("\n")
    return next((f"its last line was: {line.strip()[:160]}" for line in reversed(lines) if line.strip()), "it printed nothing")
