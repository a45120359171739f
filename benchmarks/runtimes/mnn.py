"""MNN's CPU backend, with the file that its converter makes of an ONNX model.

The converter is called in its compiled module: importing `MNN.tools` runs pip to install another package and reports
the conversion over the network.

Winograd convolutions are kept to small tiles.  Left to itself MNN takes larger ones, which are faster, and VGG-16's logits
are then off by 1.1e-4 of the largest instead of 9e-7: more than `gap.FLOAT32_BOUND` lets pass.
"""
import _tools
import MNN
import numpy as np

from benchmarks import onnx_file

FILE = "mnn.mnn"

# Interpreter::WINOGRAD_MEMORY_LEVEL in MNN/Interpreter.hpp: 0 without Winograd, 1 small tiles, … 3 (default) any.
WINOGRAD_MEMORY_LEVEL, SMALL_TILES = 3, 1


def write(vgg, folder):
    source = onnx_file.write(vgg, folder)
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(folder / FILE),
                       "--bizCode", "npvgg"])
    if not (folder / FILE).exists():
        raise RuntimeError("the converter wrote no file")


def load(folder, shape, threads):
    interpreter = MNN.Interpreter(str(folder / FILE))
    interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, SMALL_TILES)
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    entrance = interpreter.getSessionInput(session, onnx_file.INPUT)
    interpreter.resizeTensor(entrance, tuple(shape))
    interpreter.resizeSession(session)
    answer = interpreter.getSessionOutput(session)

    def run(x):
        entrance.copyFrom(tensor(x))
        interpreter.runSession(session)
        logits = tensor(np.empty(answer.getShape(), np.float32))
        answer.copyToHostTensor(logits)
        return np.array(logits.getNumpyData()).reshape(answer.getShape())

    return run


def tensor(array):
    return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)
