"""npvgg bench: how fast is a model on this machine, and how exact?"""
import click

from npvgg.cli import options


@click.command(short_help="Time a model on this machine.")
@options.model
@click.option("--batch", type=click.IntRange(1), multiple=True, default=(1, 8), show_default=True, metavar="N",
              help="Pictures computed together; may be given several times.")
@click.option("--runs", type=click.IntRange(1), default=9, show_default=True, metavar="N", help="Times each is measured.")
@options.threads
@options.tier
@options.algorithm
@options.talking
def command(model, batch, runs, threads, tier, algorithm):
    """Time the forward pass on noise of the model's own size, after one run that is not counted.

    Prints the median and the fastest run, images a second, and the largest gap of the logits to a float64 run over the largest
    logit.  Nothing else should be running.  `python -m benchmarks.peers`, in a checkout, compares with other runtimes.
    """
    import statistics
    import time

    import numpy as np

    from npvgg import text_table
    from npvgg.cli import progress
    from npvgg.gap import relative_gap
    from npvgg.kernels.compiling.threads import number_of

    vgg = progress.load(model, threads=threads, tier=tier, algorithm=algorithm)
    channels, side = vgg.architecture.input_channels, vgg.architecture.input_size
    x = np.random.default_rng(0).standard_normal((max(batch), channels, side, side), np.float32)
    exact = vgg.using(dtype=np.float64).forward(x[:1].astype(np.float64))
    gap = relative_gap(vgg.forward(x[:1]), exact)
    rows = []
    for size in batch:
        times = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            vgg.forward(x[:size])
            times.append((time.perf_counter() - start) * 1e3 / size)
        median = statistics.median(times[1:])
        rows.append((f"{size}", f"{median:.2f}", f"{min(times[1:]):.2f}", f"{1e3 / median:.1f}", f"{gap:.1e}"))
    print(f"{vgg.architecture.name} on {side}×{side}, {tier} tier, {number_of(threads)} threads")
    print("\n".join(text_table.render(("batch", "ms an image", "fastest", "images/s", "error"), rows, left=(),
                                      width=text_table.terminal_width())))
