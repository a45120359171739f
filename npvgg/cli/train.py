"""npvgg train DATA: learn the classes of pictures."""
import click

from npvgg.cli import options


@click.command(short_help="Train a network on pictures of your own.")
@click.argument("data", type=options.file)
@click.option("--val", metavar="DATA|FRACTION", help="Pictures to judge by after every epoch, or the share of DATA that is "
              "held out for it, the same for a seed; 0: none.  Default: the recipe's, 0.1.")
@click.option("--config", metavar="NAME|FILE.toml", help="A recipe: cifar10, tiny-imagenet, paper, torchvision, mmpretrain, "
              "gluon, pytorchvggnet, or a file (docs/training.md).")
@click.option("--from", "source", type=options.Model(), metavar="NAME|FILE", help="Begin with a trained network, its last "
              "layer made anew for the classes of DATA.")
@click.option("--model", metavar="NAME", help="Which VGG: vgg11 … vgg19_bn, or a letter of the paper.")
@click.option("--width", type=float, metavar="W", help="Its channels, as a multiple of the paper's.")
@click.option("--head", metavar="HEAD",
              help="What follows pool5, with the word classes for their number: 'avg1 flatten classes'.")
@click.option("--input-size", type=click.IntRange(32), metavar="PIXELS", help="The side of the pictures.")
@click.option("--teacher", type=options.file, metavar="FILE", help="A trained network of the same classes, whose answers are "
              "half of each target.")
@click.option("--freeze", metavar="LAYERS", help="Do not train these: conv1:conv4, or conv1,conv2.")
@click.option("--probe", is_flag=True, help="Train the last layer alone, on features that are computed once.")
@click.option("--epochs", type=click.IntRange(1), metavar="N",
              help="How often to go through the pictures; the schedule scales along.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Pictures a step.")
@click.option("--rate", type=float, metavar="RATE", help="The largest learning rate.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What all draws depend on.")
@click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="Any other value of the recipe, as "
              "TOML: --set training.smoothing=0.1.")
@click.option("-o", "--out", type=options.file, default="run", show_default=True, metavar="RUN",
              help="The folder of this training.")
@click.option("--resume", is_flag=True, help="Go on with the training in RUN, bit for bit; begin where there is none.")
@click.option("--every", type=click.FloatRange(min=0, min_open=True), default=5, show_default=True, metavar="MINUTES",
              help="How often a checkpoint is written.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N",
              help="Threads that decode and change pictures beside those that compute.")
@click.option("--report", is_flag=True, help="Also draw RUN/report.html and its pictures (pip install \"npvgg[plot]\").")
@options.store
@options.threads
@options.tier
@options.talking
def command(data, val, config, source, assignments, out, resume, every, workers, freeze, probe, report, store, threads,
            tier, **choices):
    """Train a network on a folder per class, a list of `path label` lines, CIFAR's .bin, MNIST's idx, or x and y in an .npz.

    \b
    npvgg train flowers/                                          a folder with a folder per class
    npvgg train flowers/ --from vgg16 --freeze conv1:conv4        fine-tune
    npvgg train flowers/ --from vgg16 --probe                     a new last layer only
    npvgg train train/ --val val/ --config tiny-imagenet --out RUN
    npvgg predict picture.jpg --model RUN/weights.h5

    Ctrl-C ends with a checkpoint, and the same command with --resume goes on, bit for bit; also after a kill or a power
    failure, from the last checkpoint.  A picture that cannot be read is left out, counted, and listed in RUN/skipped.txt.
    """
    import shlex
    import sys

    from npvgg.cli import training

    notes = f"made by: npvgg train {shlex.join(sys.argv[2:])}" if sys.argv[1:2] == ["train"] else ""
    return training.train(data, val, config, source, assignments, out, resume=resume, every=60 * every, workers=workers,
                          freeze=freeze, is_probe=probe, is_reported=report, store=store or "float32",
                          threads=threads, tier=tier, choices=choices, notes=notes)
