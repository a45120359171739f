"""npvgg models: which networks are there?"""
import json

import click


@click.command(short_help="List the networks: bundled, cached, downloadable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(as_json):
    """List the networks with published or bundled weights: where they are, size, classes, published accuracy."""
    from npvgg import hub, text_table

    models = hub.list_models()
    if as_json:
        for model in models:
            print(json.dumps({"name": model.name, "state": model.state, "path": model.path and str(model.path),
                              "size_bytes": model.size_bytes, "num_classes": model.num_classes, "top1": model.top1,
                              "top5": model.top5, "dataset": model.dataset}))
        return
    print("\n".join(text_table.render(
        ("name", "state", "MiB", "classes", "top-1 %", "top-5 %", "measured on"),
        [(model.name, model.state, f"{model.size_bytes / 2**20:.1f}", str(model.num_classes or "—"), percent(model.top1),
          percent(model.top5), model.dataset) for model in models], left=(0, 1, 6))))


def percent(value):
    return "—" if value is None else f"{value:.2f}"
