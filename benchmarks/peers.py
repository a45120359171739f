"""npvgg beside other runtimes: the same weights, the same picture, the same number of threads, turn by turn.

    pip install ".[bench]"
    python -m benchmarks.peers                                                VGG-16, everything that is installed
    python -m benchmarks.peers vgg16 vgg19_bn --batch 1 --threads 2 --peers ncnn pytorch
    python -m benchmarks.peers --cold                                         process start → first logits, peak memory

How it is measured stands in `contest` and `worker`.
"""
import argparse
import signal
import sys

from benchmarks import command, contest, machine, result_file, runtimes, subject
from npvgg import images, text_table
from npvgg.architecture import canonical_name
from npvgg.errors import UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import processors
from npvgg.storage import atomic_file

PROGRAM = "benchmarks.peers"


def main(arguments=None):
    return command.main(PROGRAM, parser(), run, arguments)


def parser():
    options = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", default=["vgg16"], metavar="NAME", help="networks (default vgg16)")
    options.add_argument("--batch", nargs="+", type=int, default=[1, 8], metavar="N", help="pictures at a time (default 1 8)")
    options.add_argument("--threads", nargs="+", type=int, metavar="N", help="threads (default 1 2)")
    options.add_argument("--runs", type=int, default=7, metavar="N", help="counted rounds (default 7)")
    options.add_argument("--peers", nargs="*", choices=runtimes.PEERS, default=runtimes.PEERS, metavar="PEER",
                         help=f"any of {' '.join(runtimes.PEERS)} (default all)")
    options.add_argument("--tier", choices=tiers.LADDER, help="npvgg's kernels (default: the network's own)")
    options.add_argument("--image", nargs="+", default=[], metavar="FILE", help="photographs instead of random numbers")
    options.add_argument("--cold", action="store_true", help="fresh processes on one picture: start and peak memory")
    options.add_argument("--output", metavar="FILE", help="write the results as JSON")
    options.add_argument("--force", action="store_true", help="replace FILE if it exists")
    return options


def run(options, typed):
    check(options)
    rows = []
    print(machine.line(machine.describe()))
    for name in options.names:
        vgg = subject.draw(name, **({"tier": options.tier} if options.tier else {}))
        pictures = 1 if options.cold else max(options.batch)
        with contest.opened(vgg, ("npvgg", *options.peers), pictures=pictures, files=options.image) as this:
            del vgg
            for threads in options.threads:
                if options.cold:
                    rows += show(this.cold_starts(threads=threads, runs=options.runs))
                    continue
                for batch in options.batch:
                    rows += show(this.turns(batch=batch, threads=threads, runs=options.runs))
    if options.output:
        result_file.write(options.output, "cold" if options.cold else "peers", rows, command=typed, force=options.force)


def check(options):
    """Everything that can be refused before the work begins."""
    cores = processors()
    options.names = [canonical_name(name) for name in options.names]
    options.threads = options.threads or sorted({1, min(2, cores)})
    for threads in options.threads:
        if not 1 <= threads <= cores:
            raise UsageError(f"--threads is {threads}, but this process may use 1 to {cores}; give one of these")
    for what, values in (("--batch", options.batch), ("--runs", [options.runs])):
        if min(values) < 1:
            raise UsageError(f"{what} is {min(values)}; give a whole number of at least 1")
    for file in options.image:
        images.read(file)
    if options.output:
        atomic_file.destination(options.output, options.force)


def show(rows):
    """Print what one contest gave, who was left out last, and hand the rows on."""
    first = rows[0]
    is_cold = any("peak_mib" in row for row in rows)
    print(f"\n{first['network']}, batch {first['batch']}, {first['threads']} thread{'s' * (first['threads'] != 1)}")
    headings = ("runtime", "version", "start ms" if is_cold else "ms/image", "npvgg ÷", "gap", *["peak MiB"] * is_cold)
    measured = [row for row in rows if "ms" in row]
    cells = [(runtimes.RUNTIMES[row["runtime"]].label, " ".join(filter(None, [row["version"], row.get("tier")])),
              f"{row['ms']:.1f}", "—" if row["npvgg_ratio"] is None else f"{row['npvgg_ratio']:.2f}", f"{row['gap']:.1e}",
              *[f"{row['peak_mib']:.0f}" if "peak_mib" in row else "—"] * is_cold) for row in measured]
    if cells:
        print("\n".join(text_table.render(headings, cells, left=(0, 1), width=text_table.terminal_width())))
    for row in rows:
        if "left_out" in row:
            print(f"{runtimes.RUNTIMES[row['runtime']].label} is left out: {row['left_out']}")
    sys.stdout.flush()
    return rows


if __name__ == "__main__":
    # An end by SIGTERM, too, takes the model files along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
