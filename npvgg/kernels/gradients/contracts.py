"""What gradients accept: what the operation accepts, the gradient of its answer, and the names of what is wanted."""
from npvgg.errors import ShapeError, UsageError
from npvgg.kernels import contracts
from npvgg.text import meant

WANTED = ("x", "weight", "bias")


def check(op: str, g, x, *arrays, wanted=(), **options) -> None:
    """ShapeError unless g has the shape and dtype of the answer of `op` to the rest; errors of `op` and of `wanted` too."""
    shape = contracts.OPERATIONS[op](x, *arrays, **options)
    contracts.check_arrays(op, x=(x, None), g=(g, None))
    if g.shape != shape:
        raise ShapeError(f"{op}: g {g.shape} is no gradient of an answer of shape {shape}; give one of that shape")
    for name in wanted:
        if name not in WANTED:
            raise UsageError(f"{op}: there is no gradient of {name!r}{meant(name, WANTED)}; choose among {', '.join(WANTED)}")


def check_training(op: str, x) -> None:
    """ShapeError unless each channel of x has two values, without which there is no unbiased variance."""
    contracts.check_arrays(op, x=(x, None))
    if x.ndim < 2 or x.size < 2 * x.shape[1]:
        raise ShapeError(f"{op}: x {x.shape} has fewer than two values a channel, which have no variance; give more images")
