"""Every operation on small honest inputs, and PyTorch's answer to the same.

Sizes are odd, oblong and never equal to one another, so that a swapped pair of axes cannot hide.
"""
import importlib
from dataclasses import dataclass, field

import numpy as np

POSITIVE = {"batchnorm2d": (4,), "batchnorm1d": (4,)}          # arguments that are variances


@dataclass(frozen=True)
class Case:
    """One call: `op`, the shapes of its arrays, its options."""

    op: str
    shapes: tuple
    options: dict = field(default_factory=dict)

    def arrays(self, dtype=np.float32, seed=0):
        rng = np.random.default_rng([seed, len(self.op)])
        arrays = [distinct(shape, rng) for shape in self.shapes]
        for position in POSITIVE.get(self.op, ()):
            arrays[position] = 0.25 + abs(arrays[position])
        return [array.astype(dtype) for array in arrays]


def distinct(shape, rng):
    """Values from −2 to 2 in random order, no two alike: every maximum is unique."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) + rng.uniform(0.25, 0.75, size)) * 4 / max(size, 1) - 2).reshape(shape)


CASES = {
    "conv2d-3x3": Case("conv2d", ((2, 3, 7, 11), (5, 3, 3, 3), (5,))),
    "conv2d-1x1": Case("conv2d", ((1, 6, 5, 9), (7, 6, 1, 1), (7,)), {"padding": 0}),
    "conv2d-no-padding": Case("conv2d", ((3, 2, 9, 6), (4, 2, 3, 3), (4,)), {"padding": 0}),
    "conv2d-oblong-filter": Case("conv2d", ((2, 3, 6, 8), (5, 3, 2, 4), (5,)), {"padding": 2}),
    "conv2d-many-tiles": Case("conv2d", ((2, 19, 23, 13), (133, 19, 3, 3), (133,))),
    "conv2d-one-pixel": Case("conv2d", ((2, 3, 1, 1), (4, 3, 3, 3), (4,))),
    "conv2d-no-bias": Case("conv2d", ((2, 5, 6, 9), (7, 5, 3, 3))),
    "conv2d-one-channel": Case("conv2d", ((2, 1, 19, 17), (5, 1, 3, 3), (5,))),
    "conv2d-four-channels": Case("conv2d", ((1, 4, 18, 21), (6, 4, 3, 3), (6,))),
    "conv2d-no-image": Case("conv2d", ((0, 3, 5, 4), (2, 3, 3, 3), (2,))),
    "reflection_pad2d": Case("reflection_pad2d", ((2, 3, 4, 7),)),
    "reflection_pad2d-two": Case("reflection_pad2d", ((1, 2, 3, 5),), {"size": 2}),
    "reflection_pad2d-none": Case("reflection_pad2d", ((2, 3, 1, 4),), {"size": 0}),
    "reflection_pad2d-no-image": Case("reflection_pad2d", ((0, 3, 4, 6),)),
    "maxpool2d-2x2": Case("maxpool2d", ((2, 3, 7, 10),)),
    "maxpool2d-ceil": Case("maxpool2d", ((2, 3, 7, 11),), {"ceil_mode": True}),
    "maxpool2d-3x3-stride-2": Case("maxpool2d", ((1, 4, 9, 6),), {"size": 3, "stride": 2}),
    "maxpool2d-3x3-ceil": Case("maxpool2d", ((2, 3, 8, 5),), {"size": 3, "stride": 2, "ceil_mode": True}),
    "maxpool2d-wide-stride": Case("maxpool2d", ((2, 1, 8, 11),), {"size": 2, "stride": 3, "ceil_mode": True}),
    "maxpool2d-no-image": Case("maxpool2d", ((0, 3, 4, 6),)),
    "avgpool2d-2x2": Case("avgpool2d", ((2, 3, 7, 10),)),
    "avgpool2d-3x3-stride-2": Case("avgpool2d", ((1, 4, 9, 6),), {"size": 3, "stride": 2}),
    "avgpool2d-no-image": Case("avgpool2d", ((0, 3, 4, 6),)),
    "batchnorm2d": Case("batchnorm2d", ((2, 5, 4, 7), (5,), (5,), (5,), (5,))),
    "batchnorm2d-eps": Case("batchnorm2d", ((3, 2, 5, 4), (2,), (2,), (2,), (2,)), {"eps": 1e-2}),
    "batchnorm2d-no-image": Case("batchnorm2d", ((0, 2, 5, 4), (2,), (2,), (2,), (2,))),
    "relu-map": Case("relu", ((2, 3, 7, 5),)),
    "relu-vector": Case("relu", ((20011,),)),
    "relu-no-image": Case("relu", ((0, 4),)),
    "dense": Case("dense", ((3, 7), (5, 7), (5,))),
    "dense-one-image": Case("dense", ((1, 1111), (9, 1111), (9,))),
    "dense-no-image": Case("dense", ((0, 7), (5, 7), (5,))),
    "local_response_norm": Case("local_response_norm", ((2, 9, 4, 6),)),
    "local_response_norm-even": Case("local_response_norm", ((2, 7, 3, 5),), {"size": 4, "alpha": 0.5, "k": 1.0}),
    "local_response_norm-few-channels": Case("local_response_norm", ((1, 2, 3, 5),), {"alpha": 2.0, "beta": 0.5}),
    "local_response_norm-no-image": Case("local_response_norm", ((0, 7, 3, 5),)),
    "adaptive_avgpool2d": Case("adaptive_avgpool2d", ((2, 3, 15, 22),)),
    "adaptive_avgpool2d-same": Case("adaptive_avgpool2d", ((2, 3, 7, 7),)),
    "adaptive_avgpool2d-smaller-map": Case("adaptive_avgpool2d", ((2, 3, 1, 4),)),
    "adaptive_avgpool2d-to-one": Case("adaptive_avgpool2d", ((2, 3, 5, 4),), {"size": 1}),
    "adaptive_avgpool2d-no-image": Case("adaptive_avgpool2d", ((0, 3, 5, 4),)),
    "adaptive_maxpool2d": Case("adaptive_maxpool2d", ((2, 3, 15, 22),)),
    "adaptive_maxpool2d-smaller-map": Case("adaptive_maxpool2d", ((2, 3, 1, 4),)),
    "adaptive_maxpool2d-to-one": Case("adaptive_maxpool2d", ((2, 3, 5, 4),), {"size": 1}),
    "adaptive_maxpool2d-no-image": Case("adaptive_maxpool2d", ((0, 3, 5, 4),)),
    "batchnorm1d": Case("batchnorm1d", ((3, 7), (7,), (7,), (7,), (7,))),
    "batchnorm1d-eps": Case("batchnorm1d", ((2, 5), (5,), (5,), (5,), (5,)), {"eps": 1e-2}),
    "batchnorm1d-no-image": Case("batchnorm1d", ((0, 5), (5,), (5,), (5,), (5,))),
    "softmax": Case("softmax", ((3, 1000),)),
    "softmax-one-class": Case("softmax", ((4, 1),)),
    "softmax-no-image": Case("softmax", ((0, 10),)),
    "log_softmax": Case("log_softmax", ((2, 3, 77),)),
    "log_softmax-vector": Case("log_softmax", ((10,),)),
    "flatten": Case("flatten", ((2, 3, 4, 5),)),
    "flatten-no-image": Case("flatten", ((0, 3, 4, 5),)),
    "dropout": Case("dropout", ((2, 7),)),
}


def pytorch(case, arrays):
    """PyTorch's answer to the case, as an array of the same dtype."""
    import torch

    return answer_of_torch(case, [torch.from_numpy(array) for array in arrays]).numpy()


def answer_of_torch(case, tensors):
    """PyTorch's answer as a tensor, from which it can go backwards; batch norm and dropout as in training too."""
    import torch
    from torch.nn import functional

    def batch_norm(x, weight, bias, mean, var, eps=1e-5, training=False):
        return functional.batch_norm(x, *(None, None) if training else (mean, var), weight, bias, training, eps=eps)

    answers = {
        "conv2d": lambda x, weight, bias=None, padding=1: functional.conv2d(x, weight, bias, padding=padding),
        "reflection_pad2d": lambda x, size=1: functional.pad(x, (size,) * 4, "reflect"),
        "maxpool2d": lambda x, size=2, stride=2, ceil_mode=False: functional.max_pool2d(x, size, stride,
                                                                                        ceil_mode=ceil_mode),
        "batchnorm2d": batch_norm,
        "batchnorm1d": batch_norm,
        "avgpool2d": lambda x, size=2, stride=2: functional.avg_pool2d(x, size, stride),
        "adaptive_maxpool2d": lambda x, size=7: functional.adaptive_max_pool2d(x, size),
        "relu": torch.relu,
        "dense": functional.linear,
        "local_response_norm": lambda x, size=5, alpha=1e-4, beta=0.75, k=2.0: functional.local_response_norm(
            x, size, alpha, beta, k),
        "adaptive_avgpool2d": lambda x, size=7: functional.adaptive_avg_pool2d(x, size),
        "softmax": lambda x: functional.softmax(x, -1),
        "log_softmax": lambda x: functional.log_softmax(x, -1),
        "flatten": lambda x: torch.flatten(x, 1),
        "dropout": lambda x, p=0.5, mask=None: x if mask is None else x * (torch.from_numpy(mask).to(x.dtype) / (1 - p)),
    }
    return answers[case.op](*tensors, **case.options)


def gap(answer, exact):
    """The largest difference over the largest value."""
    return float(abs(answer - exact).max() / abs(exact).max()) if exact.size else 0.0


def same_bits(a, b):
    """Equal, −0.0 told from 0.0, any NaN equal to any other."""
    return (a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
            and np.array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b)))


def modules():
    """The jit tier's modules by name.  (As attributes of the package the operations hide the modules of that name.)"""
    from npvgg.kernels import jit, tiers

    names = [*jit.OPERATIONS, "im2col", "gemm", "exponentials"]
    tiers.choose("jit")
    return {name: importlib.import_module(f"npvgg.kernels.jit.{name}") for name in names}
