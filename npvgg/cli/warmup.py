"""npvgg warmup: compile now what would be compiled at the first run."""
import click

from npvgg.cli import options
from npvgg.kernels import tiers


@click.command(short_help="Compile the kernels, so that no later run has to.")
@options.tier
@click.option("--training", is_flag=True, help="Also those of training, which take as long again.")
@options.talking
def command(tier, training):
    """Compile the kernels of a tier for this machine and keep them, for container images and continuous integration.

    \b
    RUN npvgg warmup

    They lie in $NUMBA_CACHE_DIR, or else in the cache folder, which NPVGG_CACHE moves.  A folder that belongs to the user or to
    root, and that only its owner can write to, is used by later runs; the processor must be the same.
    """
    import numpy as np

    from npvgg import network, text
    from npvgg.errors import StorageError
    from npvgg.kernels.compiling import code_files

    if tier != tiers.LADDER[0]:
        code_files.require_folder()                                  # refused now rather than after the work
    sizes = {"width": 1 / 16, "input_size": 32, "tier": tier}
    others = {"head": "max1 flatten 8 bn relu 3", "pooling": "avg", "bias": False, "input_channels": 1}
    for name, fields in (("vgg11_bn", {}), ("a_lrn", {}), ("vgg11", others)):       # between them they have every operation
        vgg = network.create(name, **sizes, **fields or {"hidden": (8,), "num_classes": 3})
        x = np.zeros((1, vgg.architecture.input_channels, 32, 32), np.float32)
        vgg.forward(x)
        vgg.probabilities(vgg.trace(x)[vgg.architecture.layers[-1].name])
        if training:
            learn(vgg, x, tier)
    if code_files.UNKEPT:
        raise StorageError(code_files.UNKEPT[0])
    print(text.file_name(code_files.folder()))


def learn(vgg, x, tier):
    """A step of training, and the gradients of a network at rest."""
    import warnings

    import numpy as np

    from npvgg.differentiation import Backward
    from npvgg.errors import TierWarning
    from npvgg.training import losses
    from npvgg.training.optimisers import SGD, AdamW

    def loss(logits):
        return losses.cross_entropy(logits, np.zeros(len(logits), np.int64))

    x = np.concatenate([x, x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TierWarning)                 # that the engine leaves some to the tier below is known
        gradients = Backward(vgg.architecture, tier)(vgg.parameters, x, loss).gradients
        vgg.gradients(x, loss)
    for optimiser in (SGD(), AdamW()):
        optimiser.step({path: np.array(vgg.parameters[path]) for path in gradients}, gradients, 1e-3)
