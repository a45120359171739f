"""Any torch.nn.Module → every output of its innermost modules, under the names that `named_modules` has.

A forward hook copies each output when it is made, so that a ReLU that works in place does not overwrite what was recorded.  A
module that runs more than once has its later outputs under `relu-2`, `relu-3`, ….  What a `forward` computes between modules
(torch.flatten, functional.relu) has no hook; where that is what the network ends with, it is called "output".
"""
from collections import Counter

import numpy as np
import torch

from npvgg import text
from npvgg.errors import UnsupportedError, UsageError
from npvgg.parity.recorders.outcome import Recording


def recording(module: torch.nn.Module, x: object) -> Recording:
    """A module and its input (an array or a tensor), brought to the dtype and the device of its parameters → Recording.

    It runs in the mode that it is in, `train()` or `eval()`; batch norm's running statistics are put back afterwards.
    """
    module = getattr(module, "_orig_mod", module)                     # what torch.compile has wrapped
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedError("the network is a ScriptModule, which runs no hooks; give the module that it was made from")
    x = given(x, next(module.parameters(), None))
    arrays, calls = {"input": array_of(x)}, Counter()
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()] if module.training else []

    def keeping(name):
        def keep(_, inputs, output):
            calls[name] += 1
            place = name if calls[name] == 1 else f"{name}-{calls[name]}"
            tensors = floating(output)
            for number, tensor in enumerate(tensors, start=1):
                arrays[place if len(tensors) == 1 else f"{place}-out{number}"] = array_of(tensor)
        return keep

    hooks = [inner.register_forward_hook(keeping(name)) for name, inner in module.named_modules()
             if name and not any(True for _ in inner.children())]
    try:
        with torch.no_grad():
            output = floating(module(x))
    except Exception as error:                            # whatever the module's own code raises
        raise UsageError(f"{type(module).__name__} cannot run on an input of shape {tuple(x.shape)} and {name_of(x.dtype)} "
                         f"({text.said(error)}); give what it takes, (N, 3, 224, 224) for example") from error
    finally:
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    if len(output) == 1 and not np.array_equal(array_of(output[0]), list(arrays.values())[-1], equal_nan=True):
        arrays["output"] = array_of(output[0])
    dtype = name_of(output[0].dtype if output else x.dtype)
    mode = ", in training mode" if module.training else ""
    return Recording(arrays, type(module).__name__, f"PyTorch {torch.__version__}, {dtype}{mode}", dtype)


def given(x: object, parameter: torch.Tensor | None) -> torch.Tensor:
    """The input as a tensor like the parameter; UsageError where it is none."""
    try:
        tensor = x.detach() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))
    except (TypeError, ValueError) as error:
        raise UsageError(f"the input is of type {type(x).__name__} ({text.said(error)}); give an array or a tensor "
                         "(N, C, H, W)") from None
    if not tensor.ndim or not tensor.is_floating_point():
        raise UsageError(f"the input is {name_of(tensor.dtype)} of shape {tuple(tensor.shape)}; give prepared pictures "
                         "(N, C, H, W) in floating point")
    return tensor.clone() if parameter is None else tensor.to(parameter.device, parameter.dtype, copy=True)


def floating(output: object) -> list[torch.Tensor]:
    """The tensors of floating point in what a module gives: one, or a tuple, list or dictionary of them."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() and output.ndim else []
    inner = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    return [tensor for value in inner for tensor in floating(value)]


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A copy of a tensor as a float32 or float64 array; both hold halves and bfloat16 exactly."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return np.array(tensor.detach().to("cpu", dtype).numpy(), order="C")


def name_of(dtype: torch.dtype) -> str:
    """torch.float32 → "float32"."""
    return str(dtype).removeprefix("torch.")
