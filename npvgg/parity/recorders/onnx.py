"""An ONNX file → what every node gives, by ONNX Runtime, from the input on.

A node is called by the module that it was exported from, where its name tells: "/features/features.0/Conv" is features.0, and
"model/block1_conv1/Relu" block1_conv1; of several nodes of one module the last has its name, the others `features.0-MatMul`.
Any other node is called by what it gives.  Only arrays of floating point with the pictures along the first axis are kept.
"""
import os
import re
from collections import Counter

import numpy as np
import onnx
import onnxruntime

from npvgg import text
from npvgg.errors import BadFileError, NpvggError, UnsupportedError, UsageError
from npvgg.parity.recorders.outcome import Recording
from npvgg.storage import hdf5_reading

DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def recording(path: str | os.PathLike, x: object) -> Recording:
    """An ONNX file and its input, brought to the dtype that the file wants → Recording.  Raises BadFileError, UsageError."""
    hdf5_reading.open_file(path).close()                              # a sentence for what is no file
    try:
        model = onnx.load(path)
        own = {tensor.name for tensor in model.graph.initializer}
        entrances = [entrance.name for entrance in model.graph.input if entrance.name not in own]
        layers = named(model.graph, entrances)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in layers)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:                            # protobuf, onnx and ONNX Runtime raise whatever they stumble over
        raise BadFileError(f"{os.fsdecode(path)}: ONNX Runtime cannot load it ({text.said(error)}); give an ONNX file, or a "
                           "network loaded by its own library") from None
    if len(entrances) != 1:
        raise UnsupportedError(f"{os.fsdecode(path)}: it takes {len(entrances)} inputs; give the file of a network with one")
    entrance = session.get_inputs()[0]
    x = given(x, DTYPES.get(entrance.type, np.float32))
    try:
        answers = session.run(None, {entrance.name: x})
    except Exception as error:
        raise UsageError(f"{os.fsdecode(path)} cannot run on an input of shape {x.shape} ({text.said(error)}); "
                         f"it takes {entrance.shape}") from None
    arrays = {"input": widened(x)} | {name: widened(array) for name, array in zip(layers.values(), answers)
                                      if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim
                                      and len(array) == len(x) and array.size}
    dtype = x.dtype.name
    producer = f"{model.producer_name} {model.producer_version}".strip()
    made_by = f"ONNX Runtime {onnxruntime.__version__}, {dtype}"
    if producer:
        made_by += f", a file of {text.shown(producer, 60)}"
    return Recording(arrays, text.shown(os.path.basename(os.fsdecode(path)), 200), made_by, dtype)


def named(graph: "onnx.GraphProto", entrances: list[str]) -> dict[str, str]:
    """{tensor: name of the array} for whatever is computed from the input, in the order of the graph."""
    reached, found = set(entrances), []
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output) - {""}
            found.append((node.output[0], node.op_type, place(node)))
    last = {name: tensor for tensor, _, name in found}
    names, seen = {}, Counter()
    for tensor, operation, name in found:
        name = name if last[name] == tensor else f"{name}-{operation}"
        seen[name] += 1
        names[tensor] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return names


def place(node: "onnx.NodeProto") -> str:
    """The module that a node was exported from, or the tensor that it gives, in letters that a trace takes."""
    scopes = [scope for scope in node.name.split("/") if scope]
    name = scopes[-2] if len(scopes) > 1 else node.output[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:60] or "unnamed"


def given(x: object, dtype: type) -> np.ndarray:
    """The input as an array of floating point in this dtype; UsageError where it is none."""
    try:
        array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    except NpvggError:
        raise
    except Exception as error:
        raise UsageError(f"the input is of type {type(x).__name__} ({text.said(error)}); give an array (N, C, H, W)") from None
    if array.dtype.kind != "f" or not array.ndim:
        raise UsageError(f"the input is {array.dtype} of shape {array.shape}; give prepared pictures (N, C, H, W) in floating "
                         "point")
    return np.ascontiguousarray(array, dtype)


def widened(array: np.ndarray) -> np.ndarray:
    """float16 → float32, which holds it exactly; others as they are."""
    return array.astype(np.float32) if array.dtype == np.float16 else np.array(array)
