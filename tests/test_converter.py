"""The door to the converter."""
import numpy as np
from witnesses.networks import lively

from npvgg import converter


def test_what_is_understood_shares_no_memory_with_the_callers_arrays():
    vgg = lively("vgg11_bn", width=1 / 16, head="avg1 flatten 3")
    tensors = {path: np.array(array) for path, array in vgg.parameters.items()}
    parameters = converter.understood(tensors, model="vgg11_bn").parameters
    assert not any(np.shares_memory(array, tensors[path]) for path, array in parameters.items())
