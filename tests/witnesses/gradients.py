"""Gradients of every operation on small honest inputs, and PyTorch's gradients of the same."""
import numpy as np
from witnesses.operations import CASES, Case, answer_of_torch, distinct

from npvgg.kernels import contracts, tiers
from npvgg.kernels.gradients.reference.dropout import masked

TIERS = tiers.LADDER[:2]
FORWARD = {tier: tiers.choose(tier) for tier in TIERS}
BACKWARD = {tier: tiers.choose(tier, tiers.GRADIENTS) for tier in TIERS}
KEEP = np.random.default_rng(7).random((3, 5, 2)) < 0.7

GRADIENT_CASES = CASES | {
    "conv2d-more-padding-than-filter": Case("conv2d", ((2, 3, 4, 6), (5, 3, 1, 2), (5,)), {"padding": 2}),
    "conv2d-many-pixels": Case("conv2d", ((3, 2, 37, 29), (3, 2, 3, 3), (3,))),
    "maxpool2d-overlapping": Case("maxpool2d", ((2, 3, 9, 7),), {"size": 4, "stride": 1}),
    "avgpool2d-overlapping": Case("avgpool2d", ((2, 3, 9, 7),), {"size": 3, "stride": 1}),
    "avgpool2d-wide-stride": Case("avgpool2d", ((2, 3, 9, 8),), {"size": 2, "stride": 3}),
    "batchnorm2d-training": Case("batchnorm2d", ((3, 5, 4, 7), (5,), (5,), (5,), (5,)), {"training": True}),
    "batchnorm2d-training-eps": Case("batchnorm2d", ((1, 2, 3, 5), (2,), (2,), (2,), (2,)), {"training": True, "eps": 1e-2}),
    "batchnorm1d-training": Case("batchnorm1d", ((6, 7), (7,), (7,), (7,), (7,)), {"training": True}),
    "local_response_norm-pair": Case("local_response_norm", ((2, 6, 3, 5),), {"size": 2, "alpha": 0.7, "beta": 1.5}),
    "local_response_norm-alone": Case("local_response_norm", ((2, 3, 2, 5),), {"size": 1, "alpha": 0.7, "k": 0.5}),
    "dropout-mask": Case("dropout", ((3, 5, 2),), {"p": 0.3, "mask": KEEP}),
}
WITH_IMAGES = {name: case for name, case in GRADIENT_CASES.items() if case.shapes[0][0] > 0}


def arrays_of(case, dtype=np.float64, seed=0):
    """The arrays of a case, for batch norm in training with the batch's own statistics, and a gradient of its answer."""
    arrays = case.arrays(dtype, seed)
    if case.options.get("training"):
        arrays[3:] = BACKWARD["reference"]["batch_statistics"](arrays[0])
    options = {name: value for name, value in case.options.items() if name not in ("training", "mask")}
    shape = contracts.OPERATIONS[case.op](*arrays, **options)
    return distinct(shape, np.random.default_rng([seed, 1])).astype(dtype), arrays


def gradients(case, g, arrays, tier):
    """{"x": array, …} by a tier."""
    return BACKWARD[tier][case.op](g, *arrays, **case.options)


def forward(case, arrays, tier):
    """The answer of the operation, whose gradients they are: in training by the batch's statistics, or masked."""
    options = dict(case.options)
    if options.pop("training", False):
        arrays = [*arrays[:3], *BACKWARD[tier]["batch_statistics"](arrays[0])]
    if "mask" in options:
        return masked(*arrays, **options)
    return FORWARD[tier][case.op](*arrays, **options)


def gradients_of_torch(case, g, arrays):
    """{"x": array, …} by PyTorch's autograd."""
    import torch

    tensors = [torch.tensor(array, requires_grad=position < 3) for position, array in enumerate(arrays)]
    answer_of_torch(case, tensors).backward(torch.from_numpy(g))
    return {name: tensor.grad.numpy() for name, tensor in zip(("x", "weight", "bias"), tensors)}
