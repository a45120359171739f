"""npvgg models: which networks are there?"""
import json
from dataclasses import asdict

import click

from npvgg import text, text_table
from npvgg.errors import UsageError

HEADINGS = ("name", "state", "MiB", "classes", "top-1", "top-5", "checked by")
USUAL = ("npvgg", "torchvision")          # publishers whose networks are shown without --all


@click.command(short_help="List the networks: bundled, cached, downloadable.")
@click.argument("pattern", required=False, metavar="[PATTERN]")
@click.option("--all", "is_all", is_flag=True, help="Also what others than torchvision publish: timm, mmpretrain, Keras, …")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for every network.")
def command(pattern, is_all, as_json):
    """List the networks with published or bundled weights: where they are, size, classes, accuracy, how they are checked.

    With a PATTERN, all whose names fit it: vgg16, 'vgg16*', '*@keras'.

    Accuracies are per cent of the 50,000 validation pictures of ImageNet-1K, as the publishers state them.  "SHA-256 (8/64)":
    8 of the digest's 64 digits are published.
    """
    from npvgg import hub
    from npvgg.converter import catalog

    models = hub.list_models() if pattern is None else hub.list_models(pattern)
    if not models:
        names = [model.name for model in hub.list_models()]
        raise UsageError(f"no name fits {pattern!r}{text.meant(pattern, names)}; `npvgg models --all` lists them all")
    if as_json:
        for model in models:
            print(json.dumps(asdict(model) | {"path": model.path and str(model.path)}))
        return
    shown = [model for model in models if is_all or pattern or model.publisher in USUAL or model.state == "cached"]
    about = {"npvgg": "in this package; its accuracy is on CIFAR-10's test pictures"} | catalog.PUBLISHERS
    width = text_table.terminal_width()
    print("\n".join(grouped(shown, about, width)))
    if len(shown) < len(models):
        others = ", ".join(name for name in catalog.PUBLISHERS if name not in USUAL)
        print("", *text_table.wrapped(f"{len(models) - len(shown)} more of {others}: npvgg models --all", width), sep="\n")


def grouped(models, about, width=None):
    """ModelEntries, publisher → what to say of it → the lines of a table with a line before each publisher's."""
    heading, rule, *rows = text_table.render(HEADINGS, [cells(model) for model in models], left=(0, 1, 6), width=width)
    yield from (heading, rule)
    publisher = None
    for model, row in zip(models, rows, strict=True):
        if model.publisher != publisher:
            publisher = model.publisher
            yield from text_table.wrapped(f"{publisher}: {about[publisher]}", width)
        yield row


def cells(model):
    """A ModelEntry → the texts of its row in the table, under HEADINGS."""
    return (model.name, model.state, f"{model.size_bytes / 2**20:.1f}", str(model.num_classes or "—"), percent(model.top1),
            percent(model.top5), model.checked_by)


def percent(value):
    """Per cent with two decimals; a dash for None."""
    return "—" if value is None else f"{value:.2f}"
