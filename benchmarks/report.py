"""results/*.json → the README's tables of errors and speeds, and the plot.  python -m benchmarks.report

    results/peers.json      python -m benchmarks.peers …  --output benchmarks/results/peers.json
    results/networks.json   the same for other networks, beside fewer runtimes   (may be absent)
    results/cold.json       python -m benchmarks.peers --cold …  --output benchmarks/results/cold.json   (may be absent)
    results/exactness.json  python -m benchmarks.exactness …  --output benchmarks/results/exactness.json   (may be absent)

Tables stand between two marks each in README.md, and nothing outside these is touched.  The first network of a file of speeds
is shown beside every runtime, the others beside the fastest.
"""
import argparse
import os
import sys
from pathlib import Path

from benchmarks import exactness, machine, plot, result_file, rounding, runtimes
from npvgg import command_line
from npvgg.errors import BadFileError, NpvggError
from npvgg.storage import atomic_file

ROOT = Path(__file__).parents[1]
PROGRAM = "benchmarks.report"
SPEED = "<!-- speed: made by python -m benchmarks.report -->", "<!-- end of speed -->"
EXACTNESS = "<!-- exactness: made by python -m benchmarks.report -->", "<!-- end of exactness -->"
NOTHING = "—"


def main(arguments=None):
    options = parser().parse_args(arguments)
    try:
        peers = result_file.read(options.results / "peers.json", "peers")
        networks, cold = optional(options.results / "networks.json", "peers"), optional(options.results / "cold.json", "cold")
        errors = optional(options.results / "exactness.json", "exactness")
        link = Path(os.path.relpath(options.plot, options.readme.parent)).as_posix()
        readme = options.readme.read_text(encoding="utf-8")
        readme = inserted(options.readme, readme, SPEED, f"{tables(peers, networks, cold)}\n\n![{plot.TITLE}]({link})")
        if errors:
            readme = inserted(options.readme, readme, EXACTNESS, exactness_tables(errors))
        atomic_file.write(options.plot, plot.draw(peers, options.plot.suffix), force=True)
        atomic_file.write(options.readme, readme, force=True)
    except NpvggError as error:
        return command_line.fail(PROGRAM, str(error), error.exit_code)
    print(f"wrote {options.readme} and {options.plot}")
    return 0


def optional(path, kind):
    return result_file.read(path, kind) if path.exists() else None


def parser():
    options = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    options.add_argument("--results", type=Path, default=ROOT / "benchmarks/results", metavar="FOLDER")
    options.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    options.add_argument("--plot", type=Path, default=ROOT / "docs/speed.svg", metavar="FILE", help=".svg or .png")
    return options


def inserted(name, page, marks, text):
    """The page with `text` between its two marks; `name` is for the sentence that asks for them."""
    begin, end = marks
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise BadFileError(f"{name} does not hold the line {begin!r} once and {end!r} once after it; "
                           "put them where the table belongs")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


def tables(peers, networks=None, cold=None):
    """Documents of `benchmarks.peers` → the tables in Markdown, each time beside its error."""
    beside = "npvgg's ms an image and, in brackets, its time over that of the fastest peer."
    first, *others = dict.fromkeys(row["network"] for row in peers["rows"])
    parts = [f"{machine.line(peers['machine'])}; {peers['taken'][:10]}, `{peers['command']}`.",
             f"{first}, ms an image and, in brackets, npvgg's time over it; gap: largest gap of the logits to the float64 run "
             "over the largest logit.", beside_every_runtime(peers["rows"], first)]
    if others:
        parts += [f"The other networks: {beside}", beside_the_fastest(peers["rows"], others)]
    if networks:
        names = dict.fromkeys(row["network"] for row in networks["rows"])
        parts += [f"Other networks, `{networks['command']}`: {beside}", beside_the_fastest(networks["rows"], names)]
    if cold:
        parts += [f"A fresh process, from its start to the first logits, `{cold['command']}`.", cold_table(cold["rows"])]
    return "\n\n".join(parts)


def beside_every_runtime(rows, network):
    rows = [row for row in rows if row["network"] == network and "ms" in row]
    columns = configurations(rows)
    body = []
    for name in runtimes.RUNTIMES:
        own = {configuration(row): row for row in rows if row["runtime"] == name}
        if own:
            body.append([called(next(iter(own.values()))), *(cell(own.get(column)) for column in columns), worst(own.values())])
    return markdown(["runtime", *map(heading, columns), "gap"], body)


def beside_the_fastest(rows, networks):
    columns = configurations(rows)
    body = []
    for network in networks:
        cells, ours = [], [row for row in rows if row["network"] == network and row["runtime"] == "npvgg" and "ms" in row]
        for column in columns:
            (own,) = [row for row in ours if configuration(row) == column] or [None]
            rivals = [row for row in rows if row["network"] == network and configuration(row) == column
                      and row["runtime"] != "npvgg" and "ms" in row and row["npvgg_ratio"] is not None]
            fastest = min(rivals, key=lambda row: row["ms"], default=None)
            cells.append(NOTHING if own is None else milliseconds(own) if fastest is None else
                         f"{milliseconds(own)} ({fastest['npvgg_ratio']:.2f} × {label(fastest)})")
        body.append([network, *cells, worst(ours)])
    return markdown(["network", *map(heading, columns), "gap"], body)


def cold_table(rows):
    first = rows[0]["network"]
    threads = max(row["threads"] for row in rows)
    body = [[called(row), f"{row['ms'] / 1e3:.2f}", ratio(row), f"{row['peak_mib']:.0f}" if "peak_mib" in row else NOTHING,
             f"{row['gap']:.1e}"]
            for row in rows if row["network"] == first and row["threads"] == threads and "ms" in row]
    return markdown([f"{first}, {heading((1, threads))}", "s", "npvgg ÷", "peak MiB", "gap"], body)


def exactness_tables(errors):
    """A document of `benchmarks.exactness` → the tables in Markdown, a row a layer and four columns a kind of processor."""
    rows = errors["rows"]
    kinds = list(dict.fromkeys(row["processor"] for row in rows))
    called = " and ".join(exactness.CALLED[kind] for kind in kinds)
    parts = [f"{machine.line(errors['machine'])}, PyTorch {errors['machine']['torch']}; {errors['taken'][:10]}, "
             f"`{errors['command']}`. Largest gap to the float64 run over the largest value of the layer, the worst of "
             f"{rows[0]['pictures']} photographs, with {called}; in brackets over PyTorch's."]
    for weights, title, label in (("seeded", "Seeded He-scaled weights, the last layer", "network"),
                                  ("published", "VGG-16's published filters, every ReLU and pool5", "layer")):
        own = {(row[label], row["processor"]): row for row in rows if row["weights"] == weights}
        if own:
            headings = [cell for kind in kinds for cell in (f"auto, {exactness.CALLED[kind]}", "direct", "jit", "PyTorch")]
            body = [[name, *(cell for kind in kinds for cell in errors_of(own.get((name, kind))))]
                    for name in dict.fromkeys(name for name, _ in own)]
            parts += [f"{title}:", markdown([label, *headings], body)]
    return "\n\n".join(parts)


def errors_of(row):
    """The cells of one kind of processor."""
    if row is None:
        return [NOTHING] * len(rounding.RUNS)
    return [error(row[run]) + ("" if run == "pytorch" else f" ({row[run] / row['pytorch']:.2f})") for run in rounding.RUNS]


# ------------------------------------------------------------------------------------------------- cells


def configuration(row):
    return row["batch"], row["threads"]


def configurations(rows):
    return sorted({configuration(row) for row in rows})


def heading(column):
    batch, threads = column
    return f"batch {batch}, {threads} thread{'s' * (threads != 1)}"


def label(row):
    return runtimes.RUNTIMES[row["runtime"]].label


def called(row):
    return " ".join(filter(None, [label(row), row["version"], row.get("tier") and f"({row['tier']})"]))


def cell(row):
    if row is None:
        return NOTHING
    return milliseconds(row) if row["runtime"] == "npvgg" else f"{milliseconds(row)} ({ratio(row)})"


def milliseconds(row):
    return f"{row['ms']:.1f}" if row["ms"] < 100 else f"{row['ms']:.0f}"


def ratio(row):
    return NOTHING if row["npvgg_ratio"] is None else f"{row['npvgg_ratio']:.2f}"


def error(gap):
    """4.1e-7 of 4.1e-07."""
    return f"{gap:.1e}".replace("e-0", "e-")


def worst(rows):
    return f"{max(gaps):.1e}" if (gaps := [row["gap"] for row in rows]) else NOTHING


def markdown(headings, body):
    lines = [headings, ["---"] * len(headings), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
