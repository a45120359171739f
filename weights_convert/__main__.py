"""python -m weights_convert FILE OUT: the command line of the converter."""
import sys
from pathlib import Path

import click

from npvgg import architecture, command_line, heads, help_page, text
from npvgg.cli import options, progress
from npvgg.errors import BadFileError, StorageError, UsageError
from npvgg.version import __version__


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
               epilog="The exit statuses are those that `npvgg --help` lists.")
@click.argument("file", metavar="FILE|NAME", type=options.Model())
@click.argument("out", type=click.Path(readable=False, path_type=Path), required=False)
@click.option("--from", "scheme", metavar="SCHEME",
              help="Whose names the tensors have, where the keys should not decide: torchvision, timm, mmpretrain, …")
@click.option("--keys", metavar="SCHEME", help="Whose names the tensors of OUT get, if it is not .h5: torchvision, timm, …")
@click.option("--opset", type=int, metavar="N", help="Of an .onnx: 17 (the default) or 21.")
@click.option("--softmax", is_flag=True, help="Let an .onnx end with probabilities by soft-max instead of logits.")
@click.option("--sigmoid", is_flag=True, help="Let an .onnx end with probabilities by sigmoid instead of logits.")
@click.option("--model", metavar="NAME", help="The network, where the keys should not decide: vgg16, vgg19_bn, D, …")
@click.option("--head", metavar="TEXT",
              help="What follows pool5, where the tensors do not show it, such as 'avg7 flatten 64 relu drop 10'.")
@click.option("--output", type=click.Choice(heads.OUTPUTS), help="What makes probabilities of the last layer's numbers.")
@click.option("--pooling", type=click.Choice(["max", "avg"]), help="Of pool1 to pool5.")
@click.option("--padding", "padding_mode", type=click.Choice(architecture.PADDING_MODES),
              help="What a convolution sees outside of its map.")
@click.option("--eps", type=float, metavar="NUMBER", help="The ε of batch norm.")
@click.option("--preset", metavar="NAME|FILE",
              help="How pictures are prepared: torchvision, caffe, keras, …, or a .json file with the "
                   "fields of a preset; default: as the scheme does.")
@click.option("--labels", type=click.Path(readable=False, path_type=Path), metavar="FILE",
              help="Class names, one a line, in the order of the logits.")
@click.option("--input-size", type=click.IntRange(32, 16384), metavar="PIXELS", help="Side of the picture it was trained for.")
@click.option("--key", metavar="KEY", help="Where the state dict is, if there are several.")
@options.store
@click.option("--notes", default="", metavar="TEXT", help="Kept in the file: how it was made, its measured accuracy.")
@click.option("--no-checksum", is_flag=True, help="Read a zip checkpoint that was saved with its CRC-32 switched off.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--dry-run", is_flag=True, help="Say where each tensor would go; write nothing.")
@click.version_option(__version__, "-V", "--version", prog_name="weights-convert")
def command(file, out, labels, preset, no_checksum, **options):
    """Convert the weights in FILE into the npvgg weights file OUT (default: FILE with .h5).

    FILE may be an index of shards, and a folder as the Hugging Face hub has them.  A NAME of `npvgg models` stands for that
    network's weights file, which is fetched where it is not here yet; give OUT then.

    Where OUT ends with .safetensors, .pth or .npz, it is written for others, under the keys that --keys names; where it
    ends with .onnx, as a graph.

    No framework is needed, and nothing in the file is run.  Who wrote it and which network it holds are recognised from
    its keys and shapes; every tensor must have exactly one place, or nothing is written and all misfits are listed.  What no
    tensor shows is assumed, said with the option that changes it, and kept in the file.  The result carries digests and a
    self-test: `npvgg verify OUT` runs them.
    """
    from weights_convert.convert import convert  # after --help has had its chance: Numba is slow

    file, out = located(file, out)
    report = convert(file, out, class_names=read_names(labels), preset=read_preset(preset), checksum=not no_checksum, **options)
    net = report.architecture
    say(f"{file}: {report.container} of {report.scheme}, SHA-256 {report.sha256}")
    answers = (f"{net.num_classes} {'classes' if net.output == 'softmax' else 'labels' if net.num_classes > 1 else 'label'}"
               if net.num_classes else "features only")
    ends = f", the file's own last layer gives {report.source_output}" if net.num_classes else ""
    say(f"{net.name}, width {net.width:g}, {net.input_size}×{net.input_size} → {answers}, preset {report.preset}{ends}")
    left_out = f", {len(report.left_out)} left out ({report.left_out[0]}, …)" if report.left_out else ""
    say(f"{report.used} tensors used{left_out}")
    for remark in report.remarks:
        say(f"note: {remark}")
    print(text.file_name(report.path) if report.path else "\n".join(planned(report.plan)))


def located(file, out):
    """What was given as FILE|NAME and as OUT or None → their paths.  UsageError where a name comes without OUT."""
    from npvgg import classify, hub

    if classify.is_path(file) or Path(file).is_dir():
        return Path(file), out or beside(Path(file))
    if out is None:
        raise UsageError(f"{file} is the name of a network, no file; say where to write, or run `npvgg download {file}` for "
                         "its weights file")
    return hub.locate(file, progress=progress.DownloadBar()), out


command.context_class = help_page.Context


def beside(file):
    """FILE, which may be a folder, → where its result goes without OUT; UsageError for a folder without a name."""
    named = file if file.name not in ("", "..") else file.resolve()
    if not named.name:
        raise UsageError(f"{file} has no name that the result could bear; give OUT, vgg.h5 for example")
    return named.with_suffix(".h5")


def planned(plan):
    """The lines of a table: which tensor becomes which parameter."""
    from npvgg import text_table

    return text_table.render(("tensor", "shape", "dtype", "parameter", "shape"),
                             [tuple(map(str, row)) for row in plan], left=(0, 1, 2, 3, 4),
                             width=text_table.terminal_width())


def read_names(path):
    """A text file of class names → a list, or None without a file."""
    try:
        return None if path is None else path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: the class names cannot be read ({error}); give a UTF-8 text file") from None


def read_preset(preset):
    """NAME|FILE → the name as it is, or the Preset that a .json file holds."""
    from npvgg import images

    if preset is None or not preset.endswith(".json"):
        return preset
    try:
        return images.Preset.from_json(Path(preset).read_bytes())
    except OSError as error:
        raise StorageError(f"{preset}: the preset cannot be read ({error.strerror or error}); check the name") from None
    except BadFileError as error:
        raise BadFileError(f"{preset}: {error}") from None


def say(line):
    """Print one line on standard error, where a file's name may stand in it."""
    print(text.shown(line), file=sys.stderr)


def main():
    """The entry point of `python -m weights_convert`: runs the command and exits with its status."""
    command_line.run(command, "weights-convert")


if __name__ == "__main__":
    main()
