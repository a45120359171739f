"""The speed table's first network as a picture: one panel a configuration, one bar a runtime, each with its error."""
import io

from benchmarks import machine, runtimes
from npvgg.errors import UnsupportedError, UsageError

TITLE = "milliseconds an image, npvgg beside other runtimes"
LEGEND = "shorter is faster; at each bar: ms · largest gap of the logits to a float64 run, over the largest logit"
FORMATS = (".svg", ".png")
OURS, THEIRS, TEXT = "#b5532a", "#9aa7b0", "#333333"


def draw(peers, suffix):
    """A document of `benchmarks.peers` → the bytes of a picture; the same document gives the same bytes.

    `suffix` is one of `FORMATS`.  Raises UsageError for another and UnsupportedError without matplotlib.
    """
    if suffix not in FORMATS:
        raise UsageError(f"a plot cannot be written as {suffix!r}; give a name that ends in {' or '.join(FORMATS)}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(f"the plot needs matplotlib, which cannot be imported ({error}); "
                               'install it with `pip install ".[bench]"`') from None
    first = peers["rows"][0]["network"]
    rows = [row for row in peers["rows"] if row["network"] == first and "ms" in row]
    if not rows:
        raise UsageError(f"no runtime has a time for {first}, so there is nothing to plot; measure again")
    panels = sorted({(row["batch"], row["threads"]) for row in rows})
    down = -(-len(panels) // 2)
    # Text stays text in an SVG, and its element names are salted with a constant.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "npvgg", "font.size": 9}):
        figure = Figure(figsize=(10, 0.6 + 2.2 * down), layout="constrained")
        for axes, (batch, threads) in zip(figure.subplots(down, min(2, len(panels)), squeeze=False).flat, panels):
            panel(axes, [row for row in rows if (row["batch"], row["threads"]) == (batch, threads)])
            axes.set_title(f"batch {batch}, {threads} thread{'s' * (threads != 1)}", loc="left", color=TEXT, fontsize=9)
        for axes in figure.axes[len(panels):]:
            axes.set_visible(False)
        figure.suptitle(f"{first}: {TITLE}", x=0.01, ha="left", color=TEXT, fontweight="bold")
        figure.supxlabel(f"{LEGEND}\n{machine.line(peers['machine'])}", x=0.01, ha="left", color=TEXT, fontsize=7)
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix[1:], dpi=150, metadata={"Date": None} if suffix == ".svg" else None)
    return picture.getvalue()


def panel(axes, rows):
    """Bars from the fastest down."""
    rows = sorted(rows, key=lambda row: row["ms"])
    bars = axes.barh([runtimes.RUNTIMES[row["runtime"]].label for row in rows], [row["ms"] for row in rows],
                     color=[OURS if row["runtime"] == "npvgg" else THEIRS for row in rows])
    axes.bar_label(bars, [f"{row['ms']:.0f} · {row['gap']:.1e}" for row in rows], padding=3, color=TEXT, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(row["ms"] for row in rows))
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=TEXT)
    axes.spines[:].set_visible(False)
